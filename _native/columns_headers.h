/* Inside decode, the Cython twin: takes the headers of a record, finds those that a collector writes by
 * name. */
#ifndef HEADRACE_COLUMNS_HEADERS_H
#define HEADRACE_COLUMNS_HEADERS_H

#include "columns_record.h"
#include "columns_table.h"

#define HEADRACE_SLOW 1            /* not for this path: the specification says what becomes of it */
#define HEADRACE_ATTRIBUTES_MAX 64 /* of a row on this path */

/* As _native/record.py HEADERS. */
enum {
    HR_SEQ,
    HR_TIME,
    HR_SOURCE,
    HR_DIALECT,
    HR_ACK,
    HR_FLAGS,
    CE_SPECVERSION,
    CE_ID,
    CE_SOURCE,
    CE_TYPE,
    CE_TIME,
    CONTENT_TYPE,
    HR_NAME,
    HR_USER,
    HR_ANON,
    HR_IP,
    HR_UA,
    HR_SENT,
    HR_CTX,
    HR_REASON,
    HR_POSITION,
    HEADERS,
    HEADER_OTHER = HEADERS
};

static const char *const headrace_header_names[HEADERS] = {
    "hr_seq",  "hr_time",   "hr_source", "hr_dialect", "hr_ack",       "hr_flags",  "ce_specversion",
    "ce_id",   "ce_source", "ce_type",   "ce_time",    "content-type", "hr_name",   "hr_user",
    "hr_anon", "hr_ip",     "hr_ua",     "hr_sent",    "hr_ctx",       "hr_reason", "hr_position"};

/* The headers of a record; `pairs` are those that may be attributes, in their order. */
typedef struct {
    headrace_pair pairs[HEADRACE_ATTRIBUTES_MAX + HEADERS];
    unsigned char pair_headers[HEADRACE_ATTRIBUTES_MAX + HEADERS];
    size_t pairs_count;
    headrace_slice found[HEADERS];
    uint32_t seen;
} headrace_headers;

static const unsigned char headrace_set[1] = {0};

static inline headrace_cell headrace_number(int64_t value) { return (headrace_cell){headrace_set, value}; }

static inline headrace_cell headrace_text(headrace_slice slice) {
    return (headrace_cell){slice.at, (int64_t)slice.size};
}

/* A name of HEADER_BYTES_MIN to HEADER_BYTES_MAX bytes as two words that together have all of its bytes. */
typedef struct {
    uint64_t head, tail;
    size_t size;
} headrace_name;

#define HEADER_BYTES_MIN 5 /* of the names above */
#define HEADER_BYTES_MAX 14

static headrace_name headrace_names[HEADERS];

static inline headrace_name headrace_name_of(const unsigned char *at, size_t size) {
    headrace_name name = {0, 0, size};
    uint32_t first, last;
    if (size >= 8) {
        memcpy(&name.head, at, 8);
        memcpy(&name.tail, at + size - 8, 8);
    } else {
        memcpy(&first, at, 4);
        memcpy(&last, at + size - 4, 4);
        name.head = (uint64_t)last << 32 | first;
    }
    return name;
}

/* Once, before any record; 0 where a name has another size than the bounds say. */
static int headrace_headers_prepare(void) {
    for (int at = 0; at < HEADERS; at++) {
        const char *text = headrace_header_names[at];
        if (strlen(text) < HEADER_BYTES_MIN || strlen(text) > HEADER_BYTES_MAX)
            return 0;
        headrace_names[at] = headrace_name_of((const unsigned char *)text, strlen(text));
    }
    return 1;
}

/* The header of this name: first those that our own order puts next. */
static inline int headrace_find_header(headrace_slice slice, int *next) {
    if (slice.size < HEADER_BYTES_MIN || slice.size > HEADER_BYTES_MAX)
        return HEADER_OTHER;
    headrace_name name = headrace_name_of(slice.at, slice.size);
    const headrace_name *likely = &headrace_names[*next % HEADERS];
    if (likely->head == name.head && likely->tail == name.tail && likely->size == name.size)
        return (*next)++ % HEADERS;
    for (int turn = 0, at = *next; turn < HEADERS; turn++, at++) {
        if (at >= HEADERS)
            at = 0;
        const headrace_name *known = &headrace_names[at];
        if (known->head == name.head && known->tail == name.tail && known->size == name.size) {
            *next = at + 1;
            return at;
        }
    }
    return HEADER_OTHER;
}

static inline int headrace_is(headrace_slice slice, const char *text, size_t size) {
    return slice.at != NULL && slice.size == size && memcmp(slice.at, text, size) == 0;
}

/* Whether a header may stay in the attributes: all but those that always have a column of their own. */
static inline int headrace_may_stay(int header) {
    const uint32_t stay = 1u << CE_SPECVERSION | 1u << CE_SOURCE | 1u << CE_TIME | 1u << CONTENT_TYPE |
                          1u << HR_CTX | 1u << HR_REASON | 1u << HR_POSITION;
    return header == HEADER_OTHER || (stay >> header & 1);
}

static inline int headrace_is_other_twice(const headrace_headers *headers, headrace_slice name) {
    for (size_t at = 0; at < headers->pairs_count; at++) {
        const headrace_cell *other = &headers->pairs[at].name;
        if ((size_t)other->number == name.size && memcmp(other->at, name.at, name.size) == 0)
            return 1;
    }
    return 0;
}

/* Reads the headers up to the record's end into `headers` and, in their order, `pairs`. */
static inline int headrace_take_headers(headrace_headers *headers, headrace_cursor *cursor) {
    int64_t count;
    int next = 0;
    headers->seen = 0;
    headers->pairs_count = 0;
    if (!headrace_take_varint(cursor, &count) || count < 0)
        return HEADRACE_SLOW;
    for (int64_t turn = 0; turn < count; turn++) {
        headrace_slice name, value;
        if (!headrace_take_slice(cursor, &name) || name.at == NULL || !headrace_take_slice(cursor, &value))
            return HEADRACE_SLOW;
        if (value.at == NULL)
            value.at = cursor->at;
        int header = headrace_find_header(name, &next);
        if (header < HEADERS) {
            if (headers->seen >> header & 1)
                return HEADRACE_SLOW;
            headers->seen |= 1u << header;
            headers->found[header] = value;
        } else if (
            headers->pairs_count >= HEADRACE_ATTRIBUTES_MAX || headrace_is_other_twice(headers, name)) {
            return HEADRACE_SLOW;
        }
        if (headrace_may_stay(header)) {
            headers->pairs[headers->pairs_count] =
                (headrace_pair){headrace_text(name), headrace_text(value)};
            headers->pair_headers[headers->pairs_count++] = (unsigned char)header;
        }
    }
    return cursor->at == cursor->end ? HEADRACE_FINE : HEADRACE_SLOW;
}

static inline headrace_slice headrace_header(const headrace_headers *headers, int header) {
    return headers->seen >> header & 1 ? headers->found[header] : (headrace_slice){NULL, 0};
}

#endif
