/* Between decode and parquet, the Cython twin: takes the cells of rows, keeps the columns of one table. */
#ifndef HEADRACE_COLUMNS_TABLE_H
#define HEADRACE_COLUMNS_TABLE_H

#include "columns_column.h"

typedef struct {
    int32_t partition;
    int64_t first, next, rows;
} headrace_span;

typedef struct {
    size_t rows, rows_room, pairs, pairs_room, spans_count, spans_room, span;
    int count, received_at, partition_at, offset_at; /* columns that the table knows by place */
    headrace_column *columns, keys, values;          /* keys and values: children of the map */
    headrace_span *spans;
    int64_t received_min, received_max; /* of rows > 0 */
} headrace_table;

static size_t headrace_table_bytes(const headrace_table *table) {
    size_t sum = headrace_column_bytes(&table->keys, table->pairs);
    sum += headrace_column_bytes(&table->values, table->pairs);
    for (int at = 0; at < table->count; at++)
        sum += headrace_column_bytes(&table->columns[at], table->rows);
    return sum;
}

static int headrace_table_grow(headrace_table *table) {
    size_t room = table->rows_room ? table->rows_room * 2 : HEADRACE_ROWS_MIN;
    for (int at = 0; at < table->count; at++)
        if (headrace_column_grow(&table->columns[at], table->rows_room, room))
            return HEADRACE_NO_MEMORY;
    table->rows_room = room;
    return HEADRACE_FINE;
}

static int headrace_pairs_reserve(headrace_table *table, const headrace_pair *pairs, size_t count) {
    if (count > (size_t)INT32_MAX - table->pairs)
        return HEADRACE_TOO_LARGE;
    while (table->pairs + count > table->pairs_room) {
        size_t room = table->pairs_room ? table->pairs_room * 2 : HEADRACE_ROWS_MIN;
        if (headrace_column_grow(&table->keys, table->pairs_room, room) ||
            headrace_column_grow(&table->values, table->pairs_room, room))
            return HEADRACE_NO_MEMORY;
        table->pairs_room = room;
    }
    headrace_cell names = {table->keys.fixed, 0}, values = {table->keys.fixed, 0};
    for (size_t at = 0; at < count; at++) {
        names.number += pairs[at].name.number;
        values.number += pairs[at].value.number;
    }
    int failed = headrace_reserve(&table->keys, &names, table->pairs_room);
    return failed ? failed : headrace_reserve(&table->values, &values, table->pairs_room);
}

/* The span of a Kafka partition, made where there is none (with rows 0); NULL: no memory. */
static headrace_span *headrace_span_of(headrace_table *table, int32_t partition) {
    if (table->span < table->spans_count && table->spans[table->span].partition == partition)
        return &table->spans[table->span];
    for (table->span = 0; table->span < table->spans_count; table->span++)
        if (table->spans[table->span].partition == partition)
            return &table->spans[table->span];
    if (table->spans_count == table->spans_room) {
        size_t room = table->spans_room ? table->spans_room * 2 : 8;
        headrace_span *spans = realloc(table->spans, room * sizeof(headrace_span));
        if (spans == NULL)
            return NULL;
        table->spans = spans;
        table->spans_room = room;
    }
    table->spans[table->spans_count] = (headrace_span){partition, 0, 0, 0};
    return &table->spans[table->spans_count++];
}

/* Adds one row of `table->count` cells; the pairs are the map's. Not FINE: nothing was added. */
static int headrace_table_append(
    headrace_table *table, const headrace_cell *cells, const headrace_pair *pairs, size_t count) {
    size_t row = table->rows;
    headrace_span *span = headrace_span_of(table, (int32_t)cells[table->partition_at].number);
    int failed = span == NULL ? HEADRACE_NO_MEMORY : HEADRACE_FINE;
    if (!failed && row == table->rows_room)
        failed = headrace_table_grow(table);
    for (int at = 0; at < table->count && !failed; at++)
        failed = headrace_reserve(&table->columns[at], &cells[at], table->rows_room);
    if (!failed && count)
        failed = headrace_pairs_reserve(table, pairs, count);
    if (failed)
        return failed;
    for (size_t at = 0; at < count; at++) {
        headrace_put(&table->keys, &pairs[at].name, table->pairs);
        headrace_put(&table->values, &pairs[at].value, table->pairs++);
    }
    for (int at = 0; at < table->count; at++) {
        headrace_column *column = &table->columns[at];
        if (column->kind == HEADRACE_MAP)
            ((int32_t *)column->fixed)[row + 1] = (int32_t)table->pairs;
        else
            headrace_put(column, &cells[at], row);
    }
    int64_t received = cells[table->received_at].number, offset = cells[table->offset_at].number;
    if (row == 0 || received < table->received_min)
        table->received_min = received;
    if (row == 0 || received > table->received_max)
        table->received_max = received;
    if (span->rows++ == 0)
        span->first = offset;
    span->next = offset + 1;
    table->rows = row + 1;
    return HEADRACE_FINE;
}

static void headrace_table_free(headrace_table *table) {
    for (int at = 0; at < table->count; at++)
        headrace_column_free(&table->columns[at]);
    headrace_column_free(&table->keys);
    headrace_column_free(&table->values);
    free(table->columns);
    free(table->spans);
}

/* Without rows again, the memory stays. */
static void headrace_table_clear(headrace_table *table) {
    for (int at = 0; at < table->count; at++)
        headrace_column_clear(&table->columns[at], table->rows_room);
    headrace_column_clear(&table->keys, table->pairs_room);
    headrace_column_clear(&table->values, table->pairs_room);
    table->rows = table->pairs = table->spans_count = table->span = 0;
}

/* Bytes of memory that the table has, used or not. */
static size_t headrace_table_room(const headrace_table *table) {
    size_t sum = table->keys.heap_room + table->values.heap_room + table->pairs_room * 8;
    for (int at = 0; at < table->count; at++)
        sum +=
            headrace_fixed_bytes(table->columns[at].kind, table->rows_room) + table->columns[at].heap_room;
    return sum;
}

#endif
