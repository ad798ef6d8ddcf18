/* UTF-8: whether bytes are text by RFC 3629 (no surrogates, no overlong forms, nothing above U+10FFFF). */
#ifndef HEADRACE_UTF8_H
#define HEADRACE_UTF8_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define HEADRACE_HIGH_BITS 0x8080808080808080ull

/* Length of the sequence that begins with a byte above 0x7F, or 0 where it is none; reads below `end` only.
 */
static inline size_t headrace_utf8_sequence(const unsigned char *at, const unsigned char *end) {
    unsigned char lead = at[0], low = 0x80, high = 0xBF;
    size_t size = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    if (lead < 0xC2 || lead > 0xF4 || size > (size_t)(end - at))
        return 0;
    if (lead == 0xE0)
        low = 0xA0;
    else if (lead == 0xED)
        high = 0x9F;
    else if (lead == 0xF0)
        low = 0x90;
    else if (lead == 0xF4)
        high = 0x8F;
    if (at[1] < low || at[1] > high)
        return 0;
    for (size_t more = 2; more < size; more++)
        if ((at[more] & 0xC0) != 0x80)
            return 0;
    return size;
}

/* 1 where `size` bytes are UTF-8. ASCII goes 32 bytes at a time, as long as 32 remain. */
static inline int headrace_utf8_valid(const unsigned char *at, size_t size) {
    const unsigned char *end = at + size;
    while (at < end) {
        while (end - at >= 32) {
            uint64_t words[4];
            memcpy(words, at, 32);
            if ((words[0] | words[1] | words[2] | words[3]) & HEADRACE_HIGH_BITS)
                break;
            at += 32;
        }
        while (end - at >= 8) {
            uint64_t word;
            memcpy(&word, at, 8);
            if (word & HEADRACE_HIGH_BITS)
                break;
            at += 8;
        }
        while (at < end && *at < 0x80)
            at++;
        while (at < end && *at >= 0x80) {
            size_t step = headrace_utf8_sequence(at, end);
            if (step == 0)
                return 0;
            at += step;
        }
    }
    return 1;
}

#endif
