/* Calendar: days and microseconds since 1970 UTC from the text of a date or time, and back (proleptic
 * Gregorian). */
#ifndef HEADRACE_CALENDAR_H
#define HEADRACE_CALENDAR_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define HEADRACE_DAY_US 86400000000ll

/* Source: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", days_from_civil and
 * civil_from_days. */
static inline int64_t headrace_days_of(int64_t year, int64_t month, int64_t day) {
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t of_era = year - era * 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

/* `count` digits as a number, -1 where one is no digit; the caller has checked that they are there. */
static inline int64_t headrace_digits(const unsigned char *at, size_t count) {
    int64_t value = 0;
    for (size_t n = 0; n < count; n++) {
        unsigned digit = (unsigned)at[n] - '0';
        if (digit > 9)
            return -1;
        value = value * 10 + digit;
    }
    return value;
}

/* yyyy-mm-dd of the years 0001 to 9999, 10 bytes: days since 1970 in *days; 0 where it is no date. */
static inline int headrace_date_of(const unsigned char *at, int64_t *days) {
    static const unsigned char lengths[13] = {0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int64_t year = headrace_digits(at, 4), month = headrace_digits(at + 5, 2),
            day = headrace_digits(at + 8, 2);
    if (year < 1 || month < 1 || month > 12 || day < 1 || at[4] != '-' || at[7] != '-')
        return 0;
    int leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    if (day > lengths[month] + (month == 2 && leap))
        return 0;
    *days = headrace_days_of(year, month, day);
    return 1;
}

/* yyyy-mm-ddThh:mm:ss[.f]Z with 1 to 6 digits of fraction: microseconds in *micros; 0 where it is something
 * else. */
static inline int headrace_time_of(const unsigned char *at, size_t size, int64_t *micros) {
    int64_t days, fraction = 0;
    if (size < 20 || size == 21 || size > 27 || at[size - 1] != 'Z' || !headrace_date_of(at, &days))
        return 0;
    int64_t hour = headrace_digits(at + 11, 2), minute = headrace_digits(at + 14, 2);
    int64_t second = headrace_digits(at + 17, 2);
    if (at[10] != 'T' || at[13] != ':' || at[16] != ':')
        return 0;
    if (hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 59)
        return 0;
    if (size > 20) {
        fraction = headrace_digits(at + 20, size - 21);
        if (at[19] != '.' || fraction < 0)
            return 0;
        for (size_t digits = size - 21; digits < 6; digits++)
            fraction *= 10;
    }
    *micros = days * HEADRACE_DAY_US + ((hour * 60 + minute) * 60 + second) * 1000000 + fraction;
    return 1;
}

/* A time of the years 1970 to 9999 as yyyy-mm-ddThh:mm:ss.ffffffZ, else the number; gives the bytes written
   to `text`, which has room for 32. */
static inline size_t headrace_time_text(int64_t micros, int64_t micros_max, unsigned char *text) {
    if (micros < 0 || micros > micros_max)
        return (size_t)snprintf((char *)text, 32, "%lld", (long long)micros);
    int64_t days = micros / HEADRACE_DAY_US + 719468, rest = micros % HEADRACE_DAY_US;
    int64_t era = days / 146097, of_era = days % 146097;
    int64_t years = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * years + years / 4 - years / 100);
    int64_t shifted = (5 * of_year + 2) / 153;
    int64_t day = of_year - (153 * shifted + 2) / 5 + 1, month = shifted < 10 ? shifted + 3 : shifted - 9;
    int64_t year = years + era * 400 + (month <= 2);
    const int64_t parts[7] = {
        year, month, day, rest / 3600000000ll, rest / 60000000 % 60, rest / 1000000 % 60, rest % 1000000};
    static const unsigned char widths[7] = {4, 2, 2, 2, 2, 2, 6};
    static const char behind[] = "--T::.Z";
    size_t at = 0;
    for (int part = 0; part < 7; part++) {
        int64_t value = parts[part];
        for (size_t digit = widths[part]; digit-- > 0; value /= 10)
            text[at + digit] = (unsigned char)('0' + value % 10);
        at += widths[part];
        text[at++] = (unsigned char)behind[part];
    }
    return at;
}

#endif
