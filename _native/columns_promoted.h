/* Inside decode, the Cython twin: takes a JSON scalar of a payload, gives the cell of a promoted column.

   The rules stand in _native/columns_promoted_py.py. What is read was proved to be a JSON scalar, but the
   text of a string may be anything. */
#ifndef HEADRACE_COLUMNS_PROMOTED_H
#define HEADRACE_COLUMNS_PROMOTED_H

#include <float.h>
#include <locale.h>
#include <math.h>
#include <stdlib.h>

#include "columns_row.h"
#include "pack_time.h"

#define HEADRACE_WRONG 0
#define HEADRACE_READ 1
#define HEADRACE_ASK 2 /* the specification has to say */
#define HEADRACE_DOUBLE_BYTES_MAX 512
#define HEADRACE_DECIMAL_DIGITS 38
#define HEADRACE_DECIMAL_SCALE 9
#define HEADRACE_COLUMN_NULLED (1 << 18)

static locale_t headrace_locale; /* C: a decimal point whatever the process has set */

static int headrace_promoted_prepare(void) {
    headrace_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    return headrace_locale != (locale_t)0;
}

/* A JSON number, taken apart: digits of `whole`, of `fraction` (may be none), and the power of ten. */
typedef struct {
    headrace_slice whole, fraction;
    int negative, exponent_digits; /* leading zeros left out */
    int64_t power;                 /* of up to 6 digits */
} headrace_written;

static inline headrace_slice headrace_take_digits(headrace_cursor *cursor) {
    headrace_slice digits = {cursor->at, 0};
    while (cursor->at < cursor->end && (unsigned)*cursor->at - '0' <= 9)
        cursor->at++;
    digits.size = (size_t)(cursor->at - digits.at);
    return digits;
}

/* Whether all of [at, at + size) is a number by RFC 8259. */
static inline int headrace_take_number(const unsigned char *at, size_t size, headrace_written *written) {
    headrace_cursor cursor = {at, at + size};
    *written = (headrace_written){.fraction = {at, 0}};
    if (cursor.at < cursor.end && *cursor.at == '-') {
        written->negative = 1;
        cursor.at++;
    }
    written->whole = headrace_take_digits(&cursor);
    if (written->whole.size == 0 || (written->whole.size > 1 && written->whole.at[0] == '0'))
        return 0;
    if (cursor.at < cursor.end && *cursor.at == '.') {
        cursor.at++;
        written->fraction = headrace_take_digits(&cursor);
        if (written->fraction.size == 0)
            return 0;
    }
    if (cursor.at < cursor.end && (*cursor.at | 0x20) == 'e') {
        cursor.at++;
        int minus = cursor.at < cursor.end && *cursor.at == '-';
        if (cursor.at < cursor.end && (*cursor.at == '-' || *cursor.at == '+'))
            cursor.at++;
        headrace_slice digits = headrace_take_digits(&cursor);
        if (digits.size == 0)
            return 0;
        for (; digits.size && *digits.at == '0'; digits.size--)
            digits.at++;
        written->exponent_digits = digits.size > 6 ? 7 : (int)digits.size;
        if (digits.size <= 6)
            written->power = headrace_digits(digits.at, digits.size) * (minus ? -1 : 1);
    }
    return cursor.at == cursor.end;
}

static inline int headrace_int64_of(const unsigned char *at, size_t size, int64_t *value) {
    size_t sign = size && at[0] == '-';
    uint64_t sum = 0;
    if (size - sign > 19)
        return HEADRACE_WRONG;
    for (size_t digit = sign; digit < size; digit++) {
        if ((unsigned)at[digit] - '0' > 9)
            return HEADRACE_WRONG;
        sum = sum * 10 + (at[digit] - '0');
    }
    if (sum > (uint64_t)INT64_MAX + sign)
        return HEADRACE_WRONG;
    *value = (int64_t)(sign ? 0 - sum : sum);
    return HEADRACE_READ;
}

/* The nearest double: exact operands give it by one operation (Clinger), else the C library finds it. */
static int headrace_double_of(const unsigned char *at, size_t size, int64_t *bits) {
    static const double powers[23] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                      1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                      1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    headrace_written written;
    double value;
    if (!headrace_take_number(at, size, &written))
        return HEADRACE_ASK;
    int64_t power = written.power - (int64_t)written.fraction.size, mantissa = -1;
    if (FLT_EVAL_METHOD == 0 && written.whole.size + written.fraction.size <= 18 &&
        written.exponent_digits <= 3) {
        mantissa = headrace_digits(written.whole.at, written.whole.size);
        for (size_t digit = 0; digit < written.fraction.size; digit++)
            mantissa = mantissa * 10 + (written.fraction.at[digit] - '0');
    }
    if (mantissa >= 0 && mantissa <= (int64_t)1 << 53 && power >= -22 && power <= 22) {
        value = power < 0 ? (double)mantissa / powers[-power] : (double)mantissa * powers[power];
        value = written.negative ? -value : value;
    } else {
        char text[HEADRACE_DOUBLE_BYTES_MAX];
        if (size >= sizeof text)
            return HEADRACE_ASK;
        memcpy(text, at, size);
        text[size] = 0;
        value = strtod_l(text, NULL, headrace_locale);
    }
    memcpy(bits, &value, 8);
    return isfinite(value) ? HEADRACE_READ : HEADRACE_WRONG;
}

/* Exactly the number times 10 to the scale as 16 bytes, or WRONG. */
static int headrace_decimal_of(const unsigned char *at, size_t size, unsigned char *out) {
    headrace_written written;
    if (!headrace_take_number(at, size, &written))
        return HEADRACE_WRONG;
    size_t whole = written.whole.size, all = whole + written.fraction.size, first = 0, last = all;
#define HEADRACE_DIGIT(n) ((n) < whole ? written.whole.at[n] : written.fraction.at[(n) - whole])
    while (first < all && HEADRACE_DIGIT(first) == '0')
        first++;
    while (last > first && HEADRACE_DIGIT(last - 1) == '0')
        last--;
    unsigned __int128 sum = 0;
    if (first < last) {
        int64_t zeros = written.power - (int64_t)written.fraction.size + (int64_t)(all - last);
        zeros += HEADRACE_DECIMAL_SCALE;
        if (written.exponent_digits > 6 || zeros < 0 || last - first > HEADRACE_DECIMAL_DIGITS ||
            zeros > HEADRACE_DECIMAL_DIGITS - (int64_t)(last - first))
            return HEADRACE_WRONG;
        for (size_t digit = first; digit < last; digit++)
            sum = sum * 10 + (unsigned)(HEADRACE_DIGIT(digit) - '0');
        for (; zeros > 0; zeros--)
            sum *= 10;
    }
#undef HEADRACE_DIGIT
    __int128 value = written.negative ? -(__int128)sum : (__int128)sum;
    memcpy(out, &value, 16);
    return HEADRACE_READ;
}

/* `day`: the date that the column had last, zeros before the first. */
static inline int headrace_timestamp_of(
    const unsigned char *at, size_t size, headrace_time_day *day, int64_t *micros) {
    int told = headrace_time_of_client(at, size, day, micros);
    if (told == HEADRACE_TIME_ODD)
        return HEADRACE_ASK;
    return told == HEADRACE_TIME_READ ? HEADRACE_READ : HEADRACE_WRONG;
}

static inline int headrace_promoted_date_of(const unsigned char *at, size_t size, int64_t *days) {
    return size == 10 && headrace_date_of(at, days) ? HEADRACE_READ : HEADRACE_WRONG;
}

#endif
