/* A pen: writes the pieces of a Kafka record up to a fixed end; what does not fit is noted, not written. */
#ifndef HEADRACE_PEN_H
#define HEADRACE_PEN_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define HEADRACE_VARINT_BYTES 10

typedef struct {
    unsigned char *at, *end;
    int over;
} headrace_pen;

static inline int headrace_pen_room(headrace_pen *pen, size_t size) {
    if (size <= (size_t)(pen->end - pen->at))
        return 1;
    pen->over = 1;
    return 0;
}

static inline uint64_t headrace_zigzag(int64_t value) {
    return ((uint64_t)value << 1) ^ (value < 0 ? ~(uint64_t)0 : 0);
}

/* Bytes of a zigzag varint, 1 to 10 (KIP-98). */
static inline size_t headrace_varint_bytes(int64_t value) {
    uint64_t rest = headrace_zigzag(value);
    size_t size = 1;
    for (; rest >= 0x80; rest >>= 7)
        size++;
    return size;
}

/* Bytes of `size` bytes behind their length. */
static inline size_t headrace_sized_bytes(size_t size) {
    return (size < 64 ? 1 : headrace_varint_bytes((int64_t)size)) + size;
}

static inline void headrace_put_byte(headrace_pen *pen, unsigned char value) {
    if (headrace_pen_room(pen, 1))
        *pen->at++ = value;
}

static inline void headrace_put_varint(headrace_pen *pen, int64_t value) {
    uint64_t rest = headrace_zigzag(value);
    if (rest < 0x80) { /* one byte is the rule */
        headrace_put_byte(pen, (unsigned char)rest);
        return;
    }
    if (!headrace_pen_room(pen, headrace_varint_bytes(value)))
        return;
    for (; rest >= 0x80; rest >>= 7)
        *pen->at++ = (unsigned char)(rest | 0x80);
    *pen->at++ = (unsigned char)rest;
}

/* Moves of 4 to 64 bytes in place of the call were tried and are slower: texts vary in length, so that the
   branches are guessed wrong. */
static inline void headrace_put_bytes(headrace_pen *pen, const unsigned char *data, size_t size) {
    if (size == 0 || !headrace_pen_room(pen, size)) /* memcpy takes no NULL, not even for nothing */
        return;
    memcpy(pen->at, data, size);
    pen->at += size;
}

static inline void headrace_put_sized(headrace_pen *pen, const unsigned char *data, size_t size) {
    headrace_put_varint(pen, (int64_t)size);
    headrace_put_bytes(pen, data, size);
}

static inline void headrace_put_big32(headrace_pen *pen, uint32_t value) {
    if (!headrace_pen_room(pen, 4))
        return;
    unsigned char *at = pen->at;
    at[0] = (unsigned char)(value >> 24);
    at[1] = (unsigned char)(value >> 16);
    at[2] = (unsigned char)(value >> 8);
    at[3] = (unsigned char)value;
    pen->at = at + 4;
}

static inline void headrace_put_big64(headrace_pen *pen, uint64_t value) {
    headrace_put_big32(pen, (uint32_t)(value >> 32));
    headrace_put_big32(pen, (uint32_t)value);
}

#endif
