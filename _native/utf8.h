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

/* 1 where every byte is ASCII: 32 or 8 bytes at a time, the last words may overlap those before. */
static inline int headrace_ascii(const unsigned char *at, size_t size) {
    uint64_t words[4], word, high = 0;
    uint32_t first, last;
    if (size < 8) {
        if (size < 4) {
            while (size > 0)
                high |= at[--size];
            return high < 0x80;
        }
        memcpy(&first, at, 4);
        memcpy(&last, at + size - 4, 4);
        return ((first | last) & 0x80808080u) == 0;
    }
    const unsigned char *end = at + size;
    for (; end - at >= 32; at += 32) {
        memcpy(words, at, 32);
        if ((words[0] | words[1] | words[2] | words[3]) & HEADRACE_HIGH_BITS)
            return 0;
    }
    for (; end - at >= 8; at += 8) {
        memcpy(&word, at, 8);
        high |= word;
    }
    memcpy(&word, end - 8, 8);
    return ((high | word) & HEADRACE_HIGH_BITS) == 0;
}

/* As headrace_utf8_valid, of bytes that are not all ASCII. */
static int headrace_utf8_walk(const unsigned char *at, size_t size) {
    const unsigned char *end = at + size;
    while (at < end) {
        uint64_t word;
        for (; end - at >= 8; at += 8) {
            memcpy(&word, at, 8);
            if (word & HEADRACE_HIGH_BITS)
                break;
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

/* 1 where `size` bytes are UTF-8. */
static inline int headrace_utf8_valid(const unsigned char *at, size_t size) {
    return headrace_ascii(at, size) || headrace_utf8_walk(at, size);
}

#endif
