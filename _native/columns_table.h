/* Between decode and parquet, the Cython twin: the memory of one table, whose columns grow row by row.

   Laid out as _native/columns_layout.py says. `fixed` holds what a row has of the same size (offsets or
   values), `heap` the bytes of text. A column without a null has no validity bits. Room grows by half and
   more at a time, so a row costs a constant; what was not written yet costs address space and no memory. */
#ifndef HEADRACE_COLUMNS_TABLE_H
#define HEADRACE_COLUMNS_TABLE_H

#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define HEADRACE_FINE 0
#define HEADRACE_NO_MEMORY (-1)
#define HEADRACE_TOO_LARGE (-2) /* more than 2 GiB of text in one column: its offsets are int32 */
#define HEADRACE_ROWS_MIN 64    /* a multiple of 8: validity has whole bytes */
#define HEADRACE_HEAP_MIN 1024

enum headrace_kind {
    HEADRACE_TEXT,
    HEADRACE_MAP,
    HEADRACE_INT32,
    HEADRACE_INT64,
    HEADRACE_BOOL,
    HEADRACE_DECIMAL
};

/* One value of a row. `at` NULL: null. Text: `number` bytes at `at`; decimal: 16 bytes at `at`; else the
   value is `number` (a double's bits, too). */
typedef struct {
    const unsigned char *at;
    int64_t number;
} headrace_cell;

typedef struct {
    headrace_cell name, value;
} headrace_pair;

typedef struct {
    enum headrace_kind kind;
    size_t nulls;
    unsigned char *validity, *fixed, *heap;
    size_t heap_size, heap_room;
} headrace_column;

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

/* Bytes of `fixed` for so many rows. */
static inline size_t headrace_fixed_bytes(enum headrace_kind kind, size_t rows) {
    switch (kind) {
    case HEADRACE_TEXT:
    case HEADRACE_MAP:
        return (rows + 1) * 4;
    case HEADRACE_INT32:
        return rows * 4;
    case HEADRACE_INT64:
        return rows * 8;
    case HEADRACE_DECIMAL:
        return rows * 16;
    default:
        return (rows + 7) / 8;
    }
}

static inline size_t headrace_column_bytes(const headrace_column *column, size_t rows) {
    return headrace_fixed_bytes(column->kind, rows) + column->heap_size +
           (column->nulls ? (rows + 7) / 8 : 0);
}

static size_t headrace_table_bytes(const headrace_table *table) {
    size_t sum = headrace_column_bytes(&table->keys, table->pairs);
    sum += headrace_column_bytes(&table->values, table->pairs);
    for (int at = 0; at < table->count; at++)
        sum += headrace_column_bytes(&table->columns[at], table->rows);
    return sum;
}

static int headrace_column_grow(headrace_column *column, size_t old_room, size_t room) {
    size_t before = old_room ? headrace_fixed_bytes(column->kind, old_room) : 0;
    size_t size = headrace_fixed_bytes(column->kind, room);
    unsigned char *fixed = realloc(column->fixed, size);
    if (fixed == NULL)
        return HEADRACE_NO_MEMORY;
    column->fixed = fixed;
    if (before == 0 || column->kind == HEADRACE_BOOL)
        memset(fixed + before, 0, size - before);
    if (column->validity != NULL) {
        unsigned char *validity = realloc(column->validity, room / 8);
        if (validity == NULL)
            return HEADRACE_NO_MEMORY;
        column->validity = validity;
        memset(validity + old_room / 8, 0xFF, (room - old_room) / 8);
    }
    return HEADRACE_FINE;
}

static int headrace_heap_grow(headrace_column *column, size_t more) {
    size_t room = column->heap_room + column->heap_room / 2, least = column->heap_size + more;
    if (room < least)
        room = least < HEADRACE_HEAP_MIN ? HEADRACE_HEAP_MIN : least;
    unsigned char *heap = realloc(column->heap, room);
    if (heap == NULL)
        return HEADRACE_NO_MEMORY;
    column->heap = heap;
    column->heap_room = room;
    return HEADRACE_FINE;
}

/* Makes sure that `cell` can be written without asking: bytes of text, and validity where it is the first
 * null. */
static inline int headrace_reserve(headrace_column *column, const headrace_cell *cell, size_t rows_room) {
    if (cell->at == NULL) {
        if (column->validity == NULL) {
            column->validity = malloc(rows_room / 8);
            if (column->validity == NULL)
                return HEADRACE_NO_MEMORY;
            memset(column->validity, 0xFF, rows_room / 8);
        }
    } else if (column->kind == HEADRACE_TEXT) {
        if ((uint64_t)cell->number > INT32_MAX - column->heap_size)
            return HEADRACE_TOO_LARGE;
        if ((size_t)cell->number > column->heap_room - column->heap_size)
            return headrace_heap_grow(column, (size_t)cell->number);
    }
    return HEADRACE_FINE;
}

/* memcpy of what is mostly short: up to 32 bytes without a call, by words that may overlap. */
static inline void headrace_copy(unsigned char *to, const unsigned char *from, size_t size) {
    uint64_t words[4];
    uint32_t first, last;
    if (size > 32) {
        memcpy(to, from, size);
    } else if (size >= 16) {
        memcpy(words, from, 16);
        memcpy(words + 2, from + size - 16, 16);
        memcpy(to, words, 16);
        memcpy(to + size - 16, words + 2, 16);
    } else if (size >= 8) {
        memcpy(words, from, 8);
        memcpy(words + 1, from + size - 8, 8);
        memcpy(to, words, 8);
        memcpy(to + size - 8, words + 1, 8);
    } else if (size >= 4) {
        memcpy(&first, from, 4);
        memcpy(&last, from + size - 4, 4);
        memcpy(to, &first, 4);
        memcpy(to + size - 4, &last, 4);
    } else {
        for (size_t at = 0; at < size; at++)
            to[at] = from[at];
    }
}

/* Writes a value of row `row`, for which `headrace_reserve` was asked. */
static inline void headrace_put(headrace_column *column, const headrace_cell *cell, size_t row) {
    if (cell->at == NULL) {
        column->nulls++;
        column->validity[row / 8] &= (unsigned char)~(1u << (row % 8));
    }
    switch (column->kind) {
    case HEADRACE_TEXT:
        if (cell->at != NULL) {
            headrace_copy(column->heap + column->heap_size, cell->at, (size_t)cell->number);
            column->heap_size += (size_t)cell->number;
        }
        ((int32_t *)column->fixed)[row + 1] = (int32_t)column->heap_size;
        break;
    case HEADRACE_INT32:
        ((int32_t *)column->fixed)[row] = cell->at ? (int32_t)cell->number : 0;
        break;
    case HEADRACE_INT64:
        ((int64_t *)column->fixed)[row] = cell->at ? cell->number : 0;
        break;
    case HEADRACE_BOOL:
        column->fixed[row / 8] |= (unsigned char)((cell->at && cell->number) << (row % 8));
        break;
    case HEADRACE_DECIMAL:
        if (cell->at)
            memcpy(column->fixed + row * 16, cell->at, 16);
        else
            memset(column->fixed + row * 16, 0, 16);
        break;
    default:
        break;
    }
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

static void headrace_column_free(headrace_column *column) {
    free(column->validity);
    free(column->fixed);
    free(column->heap);
}

static void headrace_table_free(headrace_table *table) {
    for (int at = 0; at < table->count; at++)
        headrace_column_free(&table->columns[at]);
    headrace_column_free(&table->keys);
    headrace_column_free(&table->values);
    free(table->columns);
    free(table->spans);
}

static void headrace_column_clear(headrace_column *column, size_t room) {
    free(column->validity); /* made anew at the first null */
    column->validity = NULL;
    column->nulls = column->heap_size = 0;
    if (column->kind == HEADRACE_BOOL)
        memset(column->fixed, 0, headrace_fixed_bytes(column->kind, room));
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
