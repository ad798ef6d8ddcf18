/* Decode, the Cython twin: the loop over the records of one batch. It holds no Python object and stops
   whenever the caller has to do something; called again it goes on. */
#ifndef HEADRACE_COLUMNS_WALK_H
#define HEADRACE_COLUMNS_WALK_H

#include "columns_row.h"

/* Why the loop stopped; an error of the table is negative. */
#define HEADRACE_ENDED 0 /* nothing more that can be read */
#define HEADRACE_ODD 1   /* the record from `at` to `stop` is not for this path: see `headrace_pass` */
#define HEADRACE_HOLE 2  /* Kafka has nothing from `next_offset` to `offset` */
#define HEADRACE_TABLE 3 /* rows of `hour` have no table yet */

#define HEADRACE_BOUND_MAX 4 /* tables at hand; the caller knows all */

typedef struct {
    int64_t hour, rows;
    headrace_table *table;
} headrace_bound;

typedef struct {
    headrace_place place;
    headrace_row row;
    headrace_bound *bound[HEADRACE_BOUND_MAX];
    /* fills the promoted columns; NULL where there are none */
    int (*lift)(void *context, headrace_cell *cells);
    void *lift_context;
    /* the batch */
    const unsigned char *data;
    size_t size, at, stop, rest; /* the record under way begins at `at`, its key at `rest` */
    int64_t base_offset, first_timestamp, max_timestamp, least;
    int32_t last_delta, record_count, count;
    int append_time;
    /* what the caller is told */
    int64_t next_offset, offset, appended_us, hour, rows;
} headrace_walk;

/* Kafka's timestamp in microseconds; what no calendar has becomes the nearest that it has. */
static inline int64_t headrace_micros(int64_t millis, int64_t micros_max) {
    if (millis < 0)
        return 0;
    return millis > micros_max / 1000 ? micros_max : millis * 1000;
}

static inline int64_t headrace_sum(int64_t left, int64_t right) {
    int64_t sum;
    if (__builtin_add_overflow(left, right, &sum))
        return left < 0 ? INT64_MIN : INT64_MAX;
    return sum;
}

/* columns_layout.CLOCK_AHEAD_US_MAX */
#define HEADRACE_CLOCK_AHEAD_US_MAX 1000000

/* The hour since 1970 UTC by receive time, or by append time (then flagged) where that can't be right. */
static inline int64_t headrace_place_row(headrace_cell *cells, int64_t grace_us) {
    int64_t received_us = cells[AT_RECEIVED].number, appended_us = cells[AT_APPENDED].number;
    const headrace_cell *ack = &cells[AT_ACK];
    int spooled = ack->at != NULL && ack->number == 4 && memcmp(ack->at, "disk", 4) == 0;
    if ((received_us < appended_us - grace_us && !spooled) ||
        received_us > appended_us + HEADRACE_CLOCK_AHEAD_US_MAX) {
        cells[AT_FLAGS].number |= PLACED_BY_APPEND;
        return appended_us / HEADRACE_HOUR_US;
    }
    return received_us / HEADRACE_HOUR_US;
}

/* Makes a table the first at hand, the last one goes. */
static void headrace_bind(headrace_walk *walk, headrace_bound *bound) {
    for (int at = HEADRACE_BOUND_MAX - 1; at > 0; at--)
        walk->bound[at] = walk->bound[at - 1];
    walk->bound[0] = bound;
}

static inline headrace_bound *headrace_bound_of(const headrace_walk *walk, int64_t hour) {
    for (int at = 0; at < HEADRACE_BOUND_MAX; at++)
        if (walk->bound[at] != NULL && walk->bound[at]->hour == hour)
            return walk->bound[at];
    return NULL;
}

/* Goes behind the record under way, whose row is in its table. */
static inline void headrace_pass(headrace_walk *walk) {
    walk->least = walk->offset - walk->base_offset + 1;
    walk->at = walk->stop;
    walk->count++;
}

static int headrace_walk_records(headrace_walk *walk) {
    while (walk->at < walk->size && walk->count < walk->record_count) {
        headrace_cursor data = {walk->data + walk->at, walk->data + walk->size}, record;
        int64_t millis, delta;
        if (!headrace_take_head(&data, &record, &millis, &delta))
            return HEADRACE_ENDED;
        if (delta < walk->least || delta > walk->last_delta)
            return HEADRACE_ENDED;
        walk->stop = (size_t)(data.at - walk->data);
        walk->rest = (size_t)(record.at - walk->data);
        walk->offset = walk->base_offset + delta;
        if (walk->offset >= walk->next_offset) {
            if (walk->offset > walk->next_offset)
                return HEADRACE_HOLE;
            millis = walk->append_time ? walk->max_timestamp : headrace_sum(walk->first_timestamp, millis);
            walk->appended_us = headrace_micros(millis, walk->place.time_us_max);
            if (headrace_read_row(&walk->row, record, &walk->place, walk->offset, walk->appended_us))
                return HEADRACE_ODD;
            walk->hour = headrace_place_row(walk->row.cells, walk->place.grace_us);
            headrace_bound *bound = headrace_bound_of(walk, walk->hour);
            if (bound == NULL)
                return HEADRACE_TABLE;
            if (walk->lift != NULL) {
                int told = walk->lift(walk->lift_context, walk->row.cells);
                if (told)
                    return told > 0 ? HEADRACE_ODD : told;
            }
            int failed = headrace_table_append(
                bound->table, walk->row.cells, walk->row.headers.pairs, walk->row.headers.pairs_count);
            if (failed)
                return failed;
            bound->rows++;
            walk->rows++;
            walk->next_offset++;
        }
        headrace_pass(walk);
    }
    return HEADRACE_ENDED;
}

/* The cells of a quarantine row of which only the place on Kafka and the times are known; `payload_bytes`
   and `reason` may be null. */
static void headrace_blank_row(
    headrace_row *row, const headrace_place *place, int64_t offset, int64_t appended_us,
    headrace_slice payload_bytes, headrace_slice reason) {
    for (int at = 0; at < COLUMNS_QUARANTINE; at++)
        row->cells[at] = (headrace_cell){NULL, 0};
    row->cells[AT_RECEIVED] = row->cells[AT_APPENDED] = headrace_number(appended_us);
    row->cells[AT_FLAGS] = row->cells[AT_ATTRIBUTES] = headrace_number(0);
    row->cells[AT_INCARNATION] = headrace_number(place->incarnation);
    row->cells[AT_PARTITION] = headrace_number(place->partition);
    row->cells[AT_OFFSET] = headrace_number(offset);
    row->cells[AT_PAYLOAD_BYTES] = headrace_text(payload_bytes);
    row->cells[AT_REASON] = headrace_text(reason);
    row->headers.pairs_count = 0;
}

#endif
