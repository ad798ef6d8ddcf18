"""The state of a walk over one body: what it was told, where it failed, the rows of events that it gives.

A place is an offset into the body, 0 <= place <= size. Rows are written below `capacity` only, which is at
most one more than `events_max`.
"""

from cpython.mem cimport PyMem_RawRealloc
from libc.stdint cimport int32_t
from libc.string cimport memset

from _native.scan_shape_c cimport Shape
from _native.scan_tokens cimport ABSENT, NULLED, STRING, Bytes

cdef enum:
    ROW = 27
    ROLE_VALUE = 8
    ROWS_FIRST = 4  # and one for each 256 bytes of the body

# In the order of REASONS in scan_c, which turns them into the reasons of `cells`.
cdef enum Reason:
    FOUND = 0
    BYTE_ORDER_MARK
    INVALID_UTF8
    EMPTY_BODY
    INVALID_JSON
    TOO_DEEP
    TRAILING_BYTES
    TOO_MANY_EVENTS
    NO_MEMORY

cdef enum Form:
    ONE_VALUE = 0
    ONE_ARRAY
    MANY_LINES

cdef struct Cell:
    int32_t start
    int32_t end
    int32_t kind

# What one array (or the lines, or the body itself) gave. `present`: 0 no, 1 but no array, 2 an array.
cdef struct Rows:
    int32_t *data
    Py_ssize_t count
    Py_ssize_t capacity
    Py_ssize_t start
    int present

cdef struct Walk:
    Bytes data
    Py_ssize_t size
    const Shape *shape
    Cell *top
    Cell *event
    Rows *rows
    unsigned char *key
    unsigned char *opened
    Py_ssize_t opened_max
    Py_ssize_t depth_max
    Py_ssize_t events_max
    bint array
    bint ndjson
    Form form
    Cell cell
    Reason reason
    Py_ssize_t position


cdef inline Py_ssize_t failed(Walk *walk, Reason reason, Py_ssize_t at) noexcept nogil:
    walk.reason = reason
    walk.position = at
    return -1


cdef inline bint added(Walk *walk, Rows *rows, const Cell *event, const Cell *cells) noexcept nogil:
    """Adds the row of an event whose values stand in cells; whether it could."""
    cdef Py_ssize_t capacity, choice
    cdef int32_t slot, kind
    cdef Cell *row
    if rows.count >= walk.events_max:
        failed(walk, TOO_MANY_EVENTS, event.start)
        return False
    if rows.count == rows.capacity:
        capacity = rows.capacity * 2 if rows.capacity else ROWS_FIRST + (walk.size >> 8)
        if capacity > walk.events_max:  # one more than may count, for the event that is one too many
            capacity = (walk.events_max if walk.events_max > 0 else 0) + 1
        row = <Cell *>PyMem_RawRealloc(rows.data, capacity * ROW * sizeof(int32_t))
        if row == NULL:
            failed(walk, NO_MEMORY, 0)
            return False
        rows.data = <int32_t *>row
        rows.capacity = capacity
    row = <Cell *>(rows.data + rows.count * ROW)
    memset(row, 0, ROW * sizeof(int32_t))
    row[0] = event[0]
    for choice in range(walk.shape.choice_count):
        for slot in range(walk.shape.choices[choice].first, walk.shape.choices[choice].end):
            kind = cells[slot].kind
            if kind == ABSENT:
                continue
            if walk.shape.choices[choice].role != ROLE_VALUE:
                if kind >= NULLED or (kind == STRING and cells[slot].start == cells[slot].end):
                    continue
            row[walk.shape.choices[choice].role] = cells[slot]
            break
    rows.count += 1
    return True
