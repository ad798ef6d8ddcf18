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

/* The header of this name: first those that our own order puts next. */
static inline int headrace_find_header(headrace_slice name, int *next) {
    static const unsigned char sizes[HEADERS] = {6,  7, 9, 10, 6, 8, 14, 5, 9, 7, 7,
                                                 12, 7, 7, 7,  5, 5, 7,  6, 9, 11};
    for (int turn = 0, at = *next; turn < HEADERS; turn++, at++) {
        if (at >= HEADERS)
            at = 0;
        if (sizes[at] == name.size && memcmp(headrace_header_names[at], name.at, name.size) == 0) {
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
