/* Between decode and parquet, the Cython twin: the memory of tables that have landed serves the next ones.

   Fresh pages cost 100 to 400 ns a KiB (the kernel zeroes each at its first touch), more than to decode the
   rows in them. Used under the interpreter's lock only. */
#ifndef HEADRACE_COLUMNS_SPARE_H
#define HEADRACE_COLUMNS_SPARE_H

#include "columns_table.h"

#define HEADRACE_SPARES_MAX 16
#define HEADRACE_SPARE_BYTES_MIN ((size_t)1 << 15)   /* less is not worth keeping */
#define HEADRACE_SPARE_BYTES_MAX ((size_t)256 << 20) /* in sum, those in use again included */

static headrace_table headrace_spares[HEADRACE_SPARES_MAX];
static int headrace_spares_count;
static size_t headrace_spare_bytes;

static int headrace_table_alike(const headrace_table *left, const headrace_table *right) {
    if (left->count != right->count)
        return 0;
    for (int at = 0; at < left->count; at++)
        if (left->columns[at].kind != right->columns[at].kind)
            return 0;
    return 1;
}

/* Gives a table without memory that of a spare one with the same columns; bytes to say when it is given
 * back. */
static size_t headrace_table_take(headrace_table *table) {
    for (int at = headrace_spares_count - 1; at >= 0; at--) {
        if (headrace_table_alike(&headrace_spares[at], table)) {
            headrace_table_free(table);
            *table = headrace_spares[at];
            headrace_spares[at] = headrace_spares[--headrace_spares_count];
            return headrace_table_room(table);
        }
    }
    return 0;
}

/* Takes the memory of a table for the next one, or frees it; `taken` as headrace_table_take said. */
static void headrace_table_give(headrace_table *table, size_t taken) {
    size_t room = headrace_table_room(table);
    headrace_spare_bytes -= taken;
    if (room < HEADRACE_SPARE_BYTES_MIN || headrace_spares_count == HEADRACE_SPARES_MAX ||
        room > HEADRACE_SPARE_BYTES_MAX - headrace_spare_bytes) {
        headrace_table_free(table);
        return;
    }
    headrace_spare_bytes += room;
    headrace_table_clear(table);
    headrace_spares[headrace_spares_count++] = *table;
}

#endif
