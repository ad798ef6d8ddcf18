/* Inside decode, the Cython twin: takes the bytes of one record of ours, gives the cells of its row.

   Whatever is not plainly the record of a collector (foreign, damaged, not UTF-8, a header twice) is left
   to _native/columns_rows_py.py: HEADRACE_SLOW. So that there is one place only that says what becomes of
   those. */
#ifndef HEADRACE_COLUMNS_ROW_H
#define HEADRACE_COLUMNS_ROW_H

#include "calendar.h"
#include "columns_headers.h"
#include "utf8.h"

#define HEADRACE_COLUMNS_MAX 320 /* of a table, promoted ones included */
#define HEADRACE_HOUR_US 3600000000ll

/* As _native/columns_layout.py QUARANTINE; checked when the twin is imported. */
enum {
    AT_EVENT_ID,
    AT_EVENT_TYPE,
    AT_EVENT_NAME,
    AT_SOURCE,
    AT_DIALECT,
    AT_USER_ID,
    AT_ANONYMOUS_ID,
    AT_EVENT_TIME,
    AT_RECEIVED,
    AT_APPENDED,
    AT_CLIENT_IP,
    AT_USER_AGENT,
    AT_PAYLOAD,
    AT_PAYLOAD_BYTES,
    AT_CONTENT_TYPE,
    AT_ATTRIBUTES,
    AT_ACK,
    AT_FLAGS,
    AT_COLLECTOR,
    AT_SEQUENCE,
    AT_INCARNATION,
    AT_PARTITION,
    AT_OFFSET,
    AT_REASON,
    AT_POSITION,
    COLUMNS_LANDED = AT_REASON,
    COLUMNS_QUARANTINE = AT_POSITION + 1
};

/* As _native/record.py Flags. */
enum {
    TYPE_MISSING = 1 << 1,
    KEY_IS_USER = 1 << 2,
    KEY_IS_ANON = 1 << 3,
    TIME_UNREADABLE = 1 << 6,
    PLACED_BY_APPEND = 1 << 17,
    DOOR_FLAGS = 0xFFFF
};

typedef struct {
    int32_t incarnation, partition;
    int64_t grace_us, time_us_max;
    int quarantine; /* the topic is the quarantine */
} headrace_place;

typedef struct {
    headrace_cell cells[HEADRACE_COLUMNS_MAX];
    headrace_headers headers;
    unsigned char collector[16], sent[32];
} headrace_row;

/* 1 where the media type is JSON: application/json, text/json, anything+json; parameters may follow. */
static int headrace_is_json(headrace_slice type) {
    const unsigned char *at = type.at, *end = at + type.size, *from;
#define HEADRACE_SPACE(byte) ((byte) == ' ' || ((byte) >= '\t' && (byte) <= '\r'))
    while (at < end && HEADRACE_SPACE(*at))
        at++;
    for (from = at; at < end && *at != ';' && !HEADRACE_SPACE(*at);)
        at++;
    char lower[16] = {0};
    size_t size = (size_t)(at - from), tail = size < 16 ? size : 16;
    for (size_t byte = 0; byte < tail; byte++) {
        unsigned char letter = at[(ptrdiff_t)byte - (ptrdiff_t)tail];
        lower[byte] = (char)(letter >= 'A' && letter <= 'Z' ? letter | 0x20 : letter);
    }
    while (at < end && HEADRACE_SPACE(*at))
        at++;
    if (at < end && *at != ';')
        return 0;
    if (size == 16 && memcmp(lower, "application/json", 16) == 0)
        return 1;
    if (size == 9 && memcmp(lower, "text/json", 9) == 0)
        return 1;
    return size > 5 && memcmp(lower + tail - 5, "+json", 5) == 0;
#undef HEADRACE_SPACE
}

/* payload, payload_bytes, content_type; `gone` gets the header that needs no place in the attributes. */
static inline int headrace_put_value(headrace_row *row, headrace_slice value, uint32_t *gone) {
    headrace_slice type = headrace_header(&row->headers, CONTENT_TYPE);
    int plain = headrace_is(type, "application/json", 16);
    int json = plain || (type.at && headrace_is_json(type));
    row->cells[AT_PAYLOAD] = row->cells[AT_PAYLOAD_BYTES] = row->cells[AT_CONTENT_TYPE] =
        (headrace_cell){NULL, 0};
    if (value.size == 0 && (json || type.size == 0))
        return HEADRACE_FINE;
    if (json && !headrace_utf8_valid(value.at, value.size))
        return HEADRACE_SLOW;
    row->cells[json ? AT_PAYLOAD : AT_PAYLOAD_BYTES] = headrace_text(value);
    if (!json && type.size) {
        if (!headrace_utf8_valid(type.at, type.size))
            return HEADRACE_SLOW;
        row->cells[AT_CONTENT_TYPE] = headrace_text(type);
    }
    if (plain || !json)
        *gone |= 1u << CONTENT_TYPE;
    return HEADRACE_FINE;
}

/* Leaves in `pairs` what belongs into the attributes; hr_sent comes last. */
static inline int headrace_put_attributes(headrace_row *row, uint32_t gone, int64_t time_us_max) {
    size_t kept = 0;
    for (size_t at = 0; at < row->headers.pairs_count; at++) {
        headrace_pair pair = row->headers.pairs[at];
        int header = row->headers.pair_headers[at];
        if (header < HEADERS && (gone >> header & 1))
            continue;
        if (!headrace_utf8_valid(pair.value.at, (size_t)pair.value.number) ||
            !headrace_utf8_valid(pair.name.at, (size_t)pair.name.number))
            return HEADRACE_SLOW;
        row->headers.pairs[kept++] = pair;
    }
    headrace_slice sent = headrace_header(&row->headers, HR_SENT);
    if (sent.at != NULL) {
        if (sent.size != 8)
            return HEADRACE_SLOW;
        size_t size = headrace_time_text(headrace_big64(sent.at), time_us_max, row->sent);
        static const unsigned char name[] = "hr_sent";
        row->headers.pairs[kept].name = (headrace_cell){name, 7};
        row->headers.pairs[kept++].value = (headrace_cell){row->sent, (int64_t)size};
    }
    row->headers.pairs_count = kept;
    row->cells[AT_ATTRIBUTES] = headrace_number(0);
    return HEADRACE_FINE;
}

static const unsigned char headrace_texts[][2] = {
    {AT_EVENT_ID, CE_ID},     {AT_EVENT_TYPE, CE_TYPE}, {AT_EVENT_NAME, HR_NAME},   {AT_SOURCE, HR_SOURCE},
    {AT_DIALECT, HR_DIALECT}, {AT_USER_ID, HR_USER},    {AT_ANONYMOUS_ID, HR_ANON}, {AT_CLIENT_IP, HR_IP},
    {AT_USER_AGENT, HR_UA},   {AT_ACK, HR_ACK},         {AT_REASON, HR_REASON}};

/* The columns of text; the last of `headrace_texts` is the quarantine's own. */
static inline int headrace_put_texts(headrace_row *row, headrace_slice key, int64_t flags, int quarantine) {
    size_t count = sizeof headrace_texts / sizeof headrace_texts[0] - (quarantine ? 0 : 1);
    for (size_t at = 0; at < count; at++) {
        int column = headrace_texts[at][0];
        headrace_slice text = headrace_header(&row->headers, headrace_texts[at][1]);
        if (column == AT_EVENT_TYPE && (flags & TYPE_MISSING))
            text.at = NULL;
        else if (column == AT_USER_ID && (flags & KEY_IS_USER))
            text = key;
        else if (column == AT_ANONYMOUS_ID && (flags & KEY_IS_ANON))
            text = key;
        if (text.at != NULL && !headrace_utf8_valid(text.at, text.size))
            return HEADRACE_SLOW;
        row->cells[column] = headrace_text(text);
    }
    return HEADRACE_FINE;
}

/* The cells of the record that ends at the cursor's end. FINE, or SLOW: nothing of `row` may be used. */
static int headrace_read_row(
    headrace_row *row, headrace_cursor cursor, const headrace_place *place, int64_t offset,
    int64_t appended_us) {
    headrace_slice key, value;
    if (!headrace_take_slice(&cursor, &key) || !headrace_take_slice(&cursor, &value) || value.at == NULL ||
        headrace_take_headers(&row->headers, &cursor))
        return HEADRACE_SLOW;
    headrace_slice seq = headrace_header(&row->headers, HR_SEQ),
                   time = headrace_header(&row->headers, HR_TIME);
    if (seq.at == NULL || seq.size != 16 || seq.at[8] >= 0x80 || time.at == NULL || time.size != 8)
        return HEADRACE_SLOW;
    int64_t received_us = headrace_big64(time.at), flags = 0, micros = 0;
    headrace_slice bits = headrace_header(&row->headers, HR_FLAGS),
                   text = headrace_header(&row->headers, CE_TIME);
    if (received_us < 0 || received_us > place->time_us_max || (bits.at != NULL && bits.size != 4))
        return HEADRACE_SLOW;
    if (bits.at != NULL)
        flags = headrace_big32(bits.at) & DOOR_FLAGS;
    if (headrace_put_texts(row, key, flags, place->quarantine))
        return HEADRACE_SLOW;
    uint32_t gone = 0;
    row->cells[AT_EVENT_TIME] = (headrace_cell){NULL, 0};
    if (text.at != NULL && headrace_time_of(text.at, text.size, &micros)) {
        row->cells[AT_EVENT_TIME] = headrace_number(micros);
        gone |= 1u << CE_TIME;
    } else if (text.at != NULL) {
        flags |= TIME_UNREADABLE;
    }
    if (headrace_put_value(row, value, &gone))
        return HEADRACE_SLOW;
    headrace_slice source = headrace_header(&row->headers, HR_SOURCE),
                   ce_source = headrace_header(&row->headers, CE_SOURCE);
    if (headrace_is(headrace_header(&row->headers, CE_SPECVERSION), "1.0", 3))
        gone |= 1u << CE_SPECVERSION;
    if (source.at != NULL && headrace_is(ce_source, (const char *)source.at, source.size))
        gone |= 1u << CE_SOURCE;
    if (place->quarantine) {
        headrace_slice position = headrace_header(&row->headers, HR_POSITION);
        if (position.at != NULL && position.size != 4)
            return HEADRACE_SLOW;
        row->cells[AT_POSITION] =
            (headrace_cell){position.at, position.at ? headrace_big32(position.at) : 0};
        gone |= 1u << HR_REASON | 1u << HR_POSITION;
    }
    if (headrace_put_attributes(row, gone, place->time_us_max))
        return HEADRACE_SLOW;
    for (int byte = 0; byte < 8; byte++) {
        row->collector[byte * 2] = (unsigned char)"0123456789abcdef"[seq.at[byte] >> 4];
        row->collector[byte * 2 + 1] = (unsigned char)"0123456789abcdef"[seq.at[byte] & 15];
    }
    row->cells[AT_COLLECTOR] = (headrace_cell){row->collector, 16};
    row->cells[AT_RECEIVED] = headrace_number(received_us);
    row->cells[AT_APPENDED] = headrace_number(appended_us);
    row->cells[AT_FLAGS] = headrace_number(flags);
    row->cells[AT_SEQUENCE] = headrace_number(headrace_big64(seq.at + 8));
    row->cells[AT_INCARNATION] = headrace_number(place->incarnation);
    row->cells[AT_PARTITION] = headrace_number(place->partition);
    row->cells[AT_OFFSET] = headrace_number(offset);
    return HEADRACE_FINE;
}

#endif
