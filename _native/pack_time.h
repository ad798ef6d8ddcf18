/* A client's time for the Cython pack: what `_native.timestamp.parse_us` reads, but for the odd kinds of
   number, and back. Reads only [at, at + size). The rules stand in _native/timestamp.py. */
#ifndef HEADRACE_PACK_TIME_H
#define HEADRACE_PACK_TIME_H

#include <string.h>

#include "calendar.h"

#define HEADRACE_TIME_NONE 0 /* no time, or one out of bounds */
#define HEADRACE_TIME_READ 1
#define HEADRACE_TIME_ODD 2 /* for parse_us to say */
#define HEADRACE_TIME_MIN_US (-2208988800000000ll)
#define HEADRACE_TIME_END_US 7258118400000000ll
#define HEADRACE_TIME_BYTES_MAX 64
#define HEADRACE_TIME_DIGITS_MAX 18 /* so that no number below overflows an int64 */

/* The days that were read and written last: the events of one request are mostly of one day. Begins as zeros,
   which are no text of a day. */
typedef struct {
    int64_t read_days, written_days;
    unsigned char read[10];     /* yyyy-mm-dd */
    unsigned char written[11]; /* yyyy-mm-ddT */
} headrace_time_day;

static inline int headrace_time_space(unsigned char byte) { return byte == ' ' || (byte >= 9 && byte <= 13); }

static inline int headrace_time_digit(const unsigned char *at, const unsigned char *end) {
    return at < end && (unsigned)*at - '0' <= 9;
}

/* Two digits at *at, which then stands behind them; -1 where there are none. */
static inline int64_t headrace_time_pair(const unsigned char **at, const unsigned char *end) {
    if (end - *at < 2)
        return -1;
    unsigned tens = (unsigned)(*at)[0] - '0', ones = (unsigned)(*at)[1] - '0';
    if (tens > 9 || ones > 9)
        return -1;
    *at += 2;
    return tens * 10 + ones;
}

static inline int headrace_time_bounded(int64_t micros, int64_t *result) {
    *result = micros;
    int within = micros >= HEADRACE_TIME_MIN_US && micros < HEADRACE_TIME_END_US;
    return within ? HEADRACE_TIME_READ : HEADRACE_TIME_NONE;
}

/* Up to six digits of a fraction as microseconds; *at then stands behind all of its digits. */
static inline int64_t headrace_time_fraction(const unsigned char **at, const unsigned char *end, int digits) {
    int64_t value = 0;
    for (; headrace_time_digit(*at, end); (*at)++)
        if (digits > 0) {
            value = value * 10 + (**at - '0');
            digits--;
        }
    while (digits-- > 0)
        value *= 10;
    return value;
}

/* RFC 3339 and its relatives; the caller has seen that at least 10 bytes are there. */
static inline int headrace_time_text_us(
    const unsigned char *at, const unsigned char *end, headrace_time_day *day, int64_t *result) {
    int64_t days = day->read_days, micros = 0, zone = 0;
    if (memcmp(at, day->read, sizeof(day->read)) != 0) {
        if (!headrace_date_of(at, &days))
            return HEADRACE_TIME_NONE;
        memcpy(day->read, at, sizeof(day->read));
        day->read_days = days;
    }
    at += 10;
    if (at < end) {
        if (*at != 'T' && *at != 't' && *at != ' ')
            return HEADRACE_TIME_NONE;
        at++;
        int64_t hour = headrace_time_pair(&at, end), second = 0;
        if (hour < 0 || hour > 23 || at == end || *at++ != ':')
            return HEADRACE_TIME_NONE;
        int64_t minute = headrace_time_pair(&at, end);
        if (minute < 0 || minute > 59)
            return HEADRACE_TIME_NONE;
        if (at < end && *at == ':') {
            at++;
            second = headrace_time_pair(&at, end);
            if (second < 0 || second > 60) /* 60: a leap second is the second after it */
                return HEADRACE_TIME_NONE;
            if (at < end && (*at == '.' || *at == ',')) {
                at++;
                if (!headrace_time_digit(at, end))
                    return HEADRACE_TIME_NONE;
                micros = headrace_time_fraction(&at, end, 6);
            }
        }
        micros += ((hour * 60 + minute) * 60 + second) * 1000000;
        if (at < end && *at == ' ')
            at++;
        if (at < end && (*at == 'Z' || *at == 'z')) {
            at++;
        } else if (at < end && (*at == '+' || *at == '-')) {
            int west = *at++ == '-';
            int64_t hours = headrace_time_pair(&at, end), minutes = 0;
            if (hours < 0 || hours > 23)
                return HEADRACE_TIME_NONE;
            if (at < end && *at == ':')
                at++;
            if (at < end)
                minutes = headrace_time_pair(&at, end);
            if (minutes < 0 || minutes > 59)
                return HEADRACE_TIME_NONE;
            zone = (hours * 60 + minutes) * (west ? -60000000ll : 60000000ll);
        }
    }
    if (at != end)
        return HEADRACE_TIME_NONE;
    return headrace_time_bounded(days * HEADRACE_DAY_US + micros - zone, result);
}

/* A count of seconds, milliseconds, microseconds or nanoseconds, told apart by its size. */
static inline int headrace_time_number_us(
    const unsigned char *at, const unsigned char *end, int64_t *result) {
    const unsigned char *first = at;
    int64_t value = 0;
    if (end - at > HEADRACE_TIME_DIGITS_MAX + 1 || !headrace_time_digit(at, end))
        return HEADRACE_TIME_ODD;
    for (; headrace_time_digit(at, end); at++) {
        if (at - first == HEADRACE_TIME_DIGITS_MAX)
            return HEADRACE_TIME_ODD;
        value = value * 10 + (*at - '0');
    }
    const unsigned char *fraction = at;
    if (at < end) {
        if (*at++ != '.' || !headrace_time_digit(at, end))
            return HEADRACE_TIME_ODD;
        fraction = at;
        while (headrace_time_digit(at, end))
            at++;
        if (at != end)
            return HEADRACE_TIME_ODD;
    }
    if (value < 100000000000ll)
        return headrace_time_bounded(value * 1000000 + headrace_time_fraction(&fraction, end, 6), result);
    if (value < 100000000000000ll)
        return headrace_time_bounded(value * 1000 + headrace_time_fraction(&fraction, end, 3), result);
    return headrace_time_bounded(value < 100000000000000000ll ? value : value / 1000, result);
}

static inline int headrace_time_of_client(
    const unsigned char *at, size_t size, headrace_time_day *day, int64_t *result) {
    const unsigned char *end = at + size;
    while (at < end && headrace_time_space(*at))
        at++;
    while (at < end && headrace_time_space(end[-1]))
        end--;
    if (at == end || end - at > HEADRACE_TIME_BYTES_MAX)
        return HEADRACE_TIME_NONE;
    if (end - at >= 10 && at[4] == '-' && headrace_digits(at, 4) >= 0)
        return headrace_time_text_us(at, end, day, result);
    if (*at == '-')
        return HEADRACE_TIME_ODD;
    return headrace_time_digit(at, end) ? headrace_time_number_us(at, end, result) : HEADRACE_TIME_NONE;
}

static inline void headrace_time_put_pair(unsigned char *at, uint32_t value) {
    at[0] = (unsigned char)('0' + value / 10);
    at[1] = (unsigned char)('0' + value % 10);
}

/* yyyy-mm-ddThh:mm:ss.ffffffZ, 27 bytes, of a time from 1970 to 2199. */
static inline void headrace_time_put(int64_t micros, headrace_time_day *day, unsigned char *out) {
    int64_t days = micros / HEADRACE_DAY_US;
    if (days != day->written_days || !day->written[0]) {
        unsigned char text[32];
        headrace_time_text(micros, HEADRACE_TIME_END_US, text);
        memcpy(day->written, text, sizeof(day->written));
        day->written_days = days;
    }
    int64_t rest = micros - days * HEADRACE_DAY_US;
    uint32_t seconds = (uint32_t)(rest / 1000000), fraction = (uint32_t)(rest % 1000000);
    memcpy(out, day->written, sizeof(day->written));
    headrace_time_put_pair(out + 11, seconds / 3600);
    out[13] = ':';
    headrace_time_put_pair(out + 14, seconds / 60 % 60);
    out[16] = ':';
    headrace_time_put_pair(out + 17, seconds % 60);
    out[19] = '.';
    headrace_time_put_pair(out + 20, fraction / 10000);
    headrace_time_put_pair(out + 22, fraction / 100 % 100);
    headrace_time_put_pair(out + 24, fraction % 100);
    out[26] = 'Z';
}

#endif
