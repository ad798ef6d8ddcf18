/* Between decode and parquet, the Cython twin: the memory of one column, which grows value by value.

   Laid out as _native/columns_layout.py says. `fixed` holds what a row has of the same size (offsets or
   values), `heap` the bytes of text. A column without a null has no validity bits. Room grows by half and
   more at a time, so a value costs a constant; what was not written yet costs address space and no memory.
 */
#ifndef HEADRACE_COLUMNS_COLUMN_H
#define HEADRACE_COLUMNS_COLUMN_H

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

static void headrace_column_free(headrace_column *column) {
    free(column->validity);
    free(column->fixed);
    free(column->heap);
}

static void headrace_column_clear(headrace_column *column, size_t room) {
    free(column->validity); /* made anew at the first null */
    column->validity = NULL;
    column->nulls = column->heap_size = 0;
    if (column->kind == HEADRACE_BOOL)
        memset(column->fixed, 0, headrace_fixed_bytes(column->kind, room));
}

#endif
