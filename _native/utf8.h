/* UTF-8: whether bytes are text by RFC 3629 (no surrogates, no overlong forms, nothing above U+10FFFF). */
#ifndef HEADRACE_UTF8_H
#define HEADRACE_UTF8_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define HEADRACE_HIGH_BITS 0x8080808080808080ull

static inline int headrace_utf8_more(unsigned char byte) { return (byte & 0xC0) == 0x80; }

/* The byte after the character that begins at data[at] with a byte above 0x7F, or `at` where none stands
   there (RFC 3629 section 4); reads below `size` only. One branch for each length: a loop over the bytes that
   follow makes the scan of Chinese a quarter slower; pointers in place of offsets that of Russian a tenth. */
static inline ptrdiff_t headrace_utf8_end(const unsigned char *data, ptrdiff_t at, ptrdiff_t size) {
    unsigned char lead = data[at], low = 0x80, high = 0xBF;
    if (lead < 0xE0) {
        if (lead >= 0xC2 && at + 2 <= size && headrace_utf8_more(data[at + 1]))
            return at + 2;
        return at;
    }
    if (lead < 0xF0) {
        if (lead == 0xE0)
            low = 0xA0;
        else if (lead == 0xED)
            high = 0x9F;
        if (at + 3 <= size && low <= data[at + 1] && data[at + 1] <= high && headrace_utf8_more(data[at + 2]))
            return at + 3;
        return at;
    }
    if (lead > 0xF4 || at + 4 > size)
        return at;
    if (lead == 0xF0)
        low = 0x90;
    else if (lead == 0xF4)
        high = 0x8F;
    if (low <= data[at + 1] && data[at + 1] <= high && headrace_utf8_more(data[at + 2])
        && headrace_utf8_more(data[at + 3]))
        return at + 4;
    return at;
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
static int headrace_utf8_walk(const unsigned char *data, size_t bytes) {
    ptrdiff_t at = 0, end, size = (ptrdiff_t)bytes;
    while (at < size) {
        uint64_t word;
        for (; size - at >= 8; at += 8) {
            memcpy(&word, data + at, 8);
            if (word & HEADRACE_HIGH_BITS)
                break;
        }
        while (at < size && data[at] < 0x80)
            at++;
        for (; at < size && data[at] >= 0x80; at = end) {
            end = headrace_utf8_end(data, at, size);
            if (end == at)
                return 0;
        }
    }
    return 1;
}

/* 1 where `size` bytes are UTF-8. */
static inline int headrace_utf8_valid(const unsigned char *at, size_t size) {
    return headrace_ascii(at, size) || headrace_utf8_walk(at, size);
}

#endif
