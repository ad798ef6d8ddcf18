/* Inside decode, the Cython twin: reads batch headers and the parts of a record through one bounded cursor.

   The byte tables stand in _native/columns_py.py and _native/columns_record_py.py. */
#ifndef HEADRACE_COLUMNS_RECORD_H
#define HEADRACE_COLUMNS_RECORD_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define HEADRACE_PREFIX_BYTES 12
#define HEADRACE_HEAD_BYTES 61
#define HEADRACE_VARINT_BYTES_MAX 10
#define HEADRACE_MAGIC 2

typedef struct {
    const unsigned char *at, *end;
} headrace_cursor;

/* `at` NULL: null (length -1). */
typedef struct {
    const unsigned char *at;
    size_t size;
} headrace_slice;

typedef struct {
    int64_t base_offset, first_timestamp, max_timestamp, producer_id;
    int32_t leader_epoch, last_delta, record_count;
    int magic, attributes; /* magic -1: no whole header, one offset */
    uint32_t crc;
    size_t start, end; /* place in the fetch */
} headrace_batch;

static inline uint64_t headrace_big(const unsigned char *at, int size) {
    uint64_t value = 0;
    for (int byte = 0; byte < size; byte++)
        value = value << 8 | at[byte];
    return value;
}

static inline int64_t headrace_big64(const unsigned char *at) { return (int64_t)headrace_big(at, 8); }

static inline int32_t headrace_big32(const unsigned char *at) {
    return (int32_t)(uint32_t)headrace_big(at, 4);
}

/* The batch that begins at `at`, at most `size`; 0 where it is cut off. */
static int headrace_read_batch(
    const unsigned char *data, size_t size, size_t at, int64_t offset_max, headrace_batch *batch) {
    if (size - at < HEADRACE_PREFIX_BYTES)
        return 0;
    const unsigned char *from = data + at;
    int64_t base_offset = headrace_big64(from), length = headrace_big32(from + 8);
    size_t room = size - at, whole = length < 0 ? room : HEADRACE_PREFIX_BYTES + (size_t)length;
    if (whole > room || base_offset < 0 || base_offset > offset_max)
        return 0;
    *batch =
        (headrace_batch){.base_offset = base_offset, .producer_id = -1, .leader_epoch = -1, .magic = -1};
    batch->start = at;
    batch->end = at + whole;
    if (whole < HEADRACE_HEAD_BYTES || length < 0 || from[16] != HEADRACE_MAGIC)
        return 1;
    batch->leader_epoch = headrace_big32(from + 12);
    batch->crc = (uint32_t)headrace_big32(from + 17);
    batch->attributes = (int)headrace_big(from + 21, 2);
    batch->last_delta = headrace_big32(from + 23);
    batch->first_timestamp = headrace_big64(from + 27);
    batch->max_timestamp = headrace_big64(from + 35);
    batch->producer_id = headrace_big64(from + 43);
    batch->record_count = headrace_big32(from + 57);
    if (batch->last_delta < 0)
        batch->last_delta = 0;
    else
        batch->magic = HEADRACE_MAGIC;
    return 1;
}

/* The offset behind the batch. */
static inline int64_t headrace_batch_next(const headrace_batch *batch) {
    return batch->base_offset + batch->last_delta + 1;
}

/* Where a damaged batch ends: as its header says, but not behind the beginning of the next batch. */
static int64_t headrace_batch_believed(
    const headrace_batch *batch, const unsigned char *data, size_t size, int64_t offset_max) {
    int64_t next = headrace_batch_next(batch);
    headrace_batch behind;
    if (headrace_read_batch(data, size, batch->end, offset_max, &behind) &&
        batch->base_offset < behind.base_offset && behind.base_offset < next)
        return behind.base_offset;
    return next;
}

/* A zigzag varint of at most 64 bits (higher ones are dropped); 0 where it does not end in time. */
static inline int headrace_take_varint(headrace_cursor *cursor, int64_t *value) {
    const unsigned char *at = cursor->at;
    const unsigned char *stop = cursor->end;
    if (at < stop && *at < 0x80) { /* one byte is the rule */
        *value = (int64_t)(*at >> 1) ^ -(int64_t)(*at & 1);
        cursor->at = at + 1;
        return 1;
    }
    if (stop - at > HEADRACE_VARINT_BYTES_MAX)
        stop = at + HEADRACE_VARINT_BYTES_MAX;
    uint64_t result = 0;
    for (int shift = 0; at < stop; shift += 7) {
        unsigned char byte = *at++;
        result |= (uint64_t)(byte & 0x7F) << shift;
        if (byte < 0x80) {
            *value = (int64_t)(result >> 1) ^ -(int64_t)(result & 1);
            cursor->at = at;
            return 1;
        }
    }
    return 0;
}

/* Bytes behind their length; 0 where they do not fit. */
static inline int headrace_take_slice(headrace_cursor *cursor, headrace_slice *slice) {
    int64_t size;
    if (!headrace_take_varint(cursor, &size) || size < -1)
        return 0;
    if (size == -1) {
        *slice = (headrace_slice){NULL, 0};
        return 1;
    }
    if (size > cursor->end - cursor->at)
        return 0;
    *slice = (headrace_slice){cursor->at, (size_t)size};
    cursor->at += size;
    return 1;
}

/* What stands before the key: cuts `record` from `data`, both then stand behind it and at the key; 0:
 * malformed. */
static inline int headrace_take_head(
    headrace_cursor *data, headrace_cursor *record, int64_t *millis, int64_t *delta) {
    headrace_cursor ahead = *data;
    int64_t size;
    if (!headrace_take_varint(&ahead, &size) || size < 1 || size > ahead.end - ahead.at)
        return 0;
    *record = (headrace_cursor){ahead.at + 1, ahead.at + size}; /* behind the attributes */
    if (!headrace_take_varint(record, millis) || !headrace_take_varint(record, delta))
        return 0;
    data->at = record->end;
    return 1;
}

#endif
