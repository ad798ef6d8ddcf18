"""The walk of the Cython scan: takes bytes and a plan in C, gives cells and rows; no Python object, no GIL.

A place is an offset into the body, 0 <= place <= size; tokens are read by `scan_tokens`, which reads only
below size, and written are only cells of this plan (its slots are below `slots`), rows below `capacity`
and open brackets below `opened_max`. A walk that gives -1 has set reason and position.
"""

from cpython.mem cimport PyMem_RawRealloc
from libc.stdint cimport int16_t, int32_t, uint32_t
from libc.string cimport memcmp, memset

from _native.scan_tokens cimport (
    ABSENT,
    ARRAY,
    NULLED,
    OBJECT,
    STRING,
    STRING_ESCAPED,
    Bytes,
    byte_at,
    headrace_likely,
    scalar_end,
    space_end,
    string_stop,
    unescape,
    utf8_end,
)

cdef enum:
    ROLES = 9
    ROW = 27
    ROLE_VALUE = 8
    BUCKETS = 64
    ROWS_FIRST = 4  # and one for each 256 bytes of the body

# In the order of REASONS below, which scan_c turns into the reasons of `cells`.
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

# A key that some path goes through (`scan_plan.Node`). `buckets` are its children by `bucket_of`; children of
# one bucket are a list by `next`. Indexes, -1 for none.
cdef struct Node:
    const unsigned char *key
    Py_ssize_t key_bytes
    int32_t next
    int32_t children
    int32_t batch
    int32_t slots_first
    int32_t slots_end
    int32_t below_first
    int32_t below_end
    int16_t buckets[BUCKETS]

cdef struct Choice:
    int32_t role
    int32_t first
    int32_t end

cdef struct Shape:
    Node *nodes
    int32_t *numbers
    Choice *choices
    Py_ssize_t choice_count
    int32_t top
    int32_t event
    Py_ssize_t slots
    Py_ssize_t batch_count
    Py_ssize_t key_bytes_max

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


cdef inline uint32_t bucket_of(const unsigned char *key, Py_ssize_t size) noexcept nogil:
    if size == 0:
        return 0
    return (<uint32_t>size * 7 + key[0] * 3 + key[size - 1]) % BUCKETS


cdef inline int32_t found(const Shape *shape, const Node *node, Bytes key, Py_ssize_t size) noexcept nogil:
    """The child of node whose key these bytes are, -1 for none."""
    cdef int32_t index = node.buckets[bucket_of(key, size)]
    while index >= 0:
        if shape.nodes[index].key_bytes == size and memcmp(shape.nodes[index].key, key, size) == 0:
            return index
        index = shape.nodes[index].next
    return -1


cdef inline int32_t child_of(
    Walk *walk, const Node *node, Py_ssize_t at, Py_ssize_t end, int32_t kind
) noexcept nogil:
    """The child whose key stands, proved, at [at, end). An escaped key of more than 6 bytes for each of the
    longest key's is none of ours, for no escape has more; walk.key has room for that many."""
    if headrace_likely(kind == STRING):
        return found(walk.shape, node, walk.data + at, end - at)
    if end - at > 6 * walk.shape.key_bytes_max:
        return -1
    return found(walk.shape, node, walk.key, unescape(walk.data, at, end, walk.key))


cdef inline Py_ssize_t colon_end(Walk *walk, Py_ssize_t at, Py_ssize_t *end, int32_t *kind) noexcept nogil:
    """Takes the key whose quote must stand at `at`, and the colon; gives where the value must stand."""
    cdef Py_ssize_t stop
    if byte_at(walk.data, at, walk.size) != c'"':
        return failed(walk, INVALID_JSON, at)
    stop = string_stop(walk.data, at + 1, walk.size, kind)
    if byte_at(walk.data, stop, walk.size) != c'"':
        return failed(walk, INVALID_JSON, at)
    end[0] = stop
    at = space_end(walk.data, stop + 1, walk.size)
    if byte_at(walk.data, at, walk.size) != c':':
        return failed(walk, INVALID_JSON, at)
    return space_end(walk.data, at + 1, walk.size)


cdef inline Py_ssize_t scalar(Walk *walk, Py_ssize_t at, Cell *cell) noexcept nogil:
    """Takes the value at `at`, which is no container; gives the byte after it."""
    cdef Py_ssize_t end
    if byte_at(walk.data, at, walk.size) == c'"':
        end = string_stop(walk.data, at + 1, walk.size, &cell.kind)
        if byte_at(walk.data, end, walk.size) != c'"':
            return failed(walk, INVALID_JSON, at)
        cell.start = <int32_t>(at + 1)
        cell.end = <int32_t>end
        return end + 1
    end = scalar_end(walk.data, at, walk.size, &cell.kind)
    if end == at:
        return failed(walk, INVALID_JSON, at)
    cell.start = <int32_t>at
    cell.end = <int32_t>end
    return end


cdef inline Py_ssize_t nested(Walk *walk, Py_ssize_t at, Py_ssize_t depth) noexcept nogil:
    """Takes the container whose bracket stands at `at` and that no path goes through; gives the byte after
    it. It is level `depth`, within the bound; `opened` holds the brackets of the levels from there on."""
    cdef Py_ssize_t level = 0
    cdef Py_ssize_t end
    cdef int32_t kind
    cdef Cell cell
    cdef unsigned char byte
    cdef unsigned char closing = walk.data[at] + 2  # { and }, [ and ] stand two apart
    walk.opened[0] = closing
    at = space_end(walk.data, at + 1, walk.size)
    cdef bint fresh = byte_at(walk.data, at, walk.size) != closing
    while True:
        if fresh:
            if closing == c'}':
                at = colon_end(walk, at, &end, &kind)
                if at < 0:
                    return -1
            byte = byte_at(walk.data, at, walk.size)
            if byte == c'{' or byte == c'[':
                level += 1
                if depth + level > walk.depth_max:
                    return failed(walk, TOO_DEEP, at)
                closing = byte + 2
                walk.opened[level] = closing
                at = space_end(walk.data, at + 1, walk.size)
                fresh = byte_at(walk.data, at, walk.size) != closing
                continue
            at = scalar(walk, at, &cell)
            if at < 0:
                return -1
            at = space_end(walk.data, at, walk.size)
        byte = byte_at(walk.data, at, walk.size)
        if byte == closing:
            if level == 0:
                return at + 1
            level -= 1
            closing = walk.opened[level]
            at = space_end(walk.data, at + 1, walk.size)
            fresh = False
        elif byte == c',':
            at = space_end(walk.data, at + 1, walk.size)
            fresh = True
        else:
            return failed(walk, INVALID_JSON, at)


cdef inline Py_ssize_t value(
    Walk *walk, Py_ssize_t at, const Node *node, Py_ssize_t depth, Cell *cells, Cell *cell
) noexcept nogil:
    """Takes the value at `at`, a container of level `depth`; fills cell and, by node, cells."""
    cdef unsigned char byte = byte_at(walk.data, at, walk.size)
    if byte != c'{' and byte != c'[':
        return scalar(walk, at, cell)
    if depth > walk.depth_max:
        return failed(walk, TOO_DEEP, at)
    cell.start = <int32_t>at
    cell.kind = OBJECT if byte == c'{' else ARRAY
    if byte == c'{' and node != NULL and node.children:
        at = members_of(walk, at + 1, node, depth, cells)
    else:
        at = nested(walk, at, depth)
    cell.end = <int32_t>at
    return at


cdef inline Py_ssize_t members_of(
    Walk *walk, Py_ssize_t at, const Node *node, Py_ssize_t depth, Cell *cells
) noexcept nogil:
    """Takes the members of the object whose bracket was just taken; gives the byte after the object.

    Calls itself as deep as the longest path, at most PATH_KEYS_MAX.
    """
    cdef Py_ssize_t first, end
    cdef int32_t kind, child
    cdef Cell passed
    cdef unsigned char byte
    at = space_end(walk.data, at, walk.size)
    if byte_at(walk.data, at, walk.size) == c'}':
        return at + 1
    while True:
        first = at + 1
        at = colon_end(walk, at, &end, &kind)
        if at < 0:
            return -1
        child = child_of(walk, node, first, end, kind)
        if child < 0:
            at = value(walk, at, NULL, depth + 1, NULL, &passed)
        else:
            at = lifted(walk, at, &walk.shape.nodes[child], depth, cells)
        if at < 0:
            return -1
        at = space_end(walk.data, at, walk.size)
        byte = byte_at(walk.data, at, walk.size)
        if byte == c'}':
            return at + 1
        if byte != c',':
            return failed(walk, INVALID_JSON, at)
        at = space_end(walk.data, at + 1, walk.size)


cdef inline Py_ssize_t lifted(
    Walk *walk, Py_ssize_t at, const Node *child, Py_ssize_t depth, Cell *cells
) noexcept nogil:
    """Takes the value of a key that paths go through: what an earlier member of that key set is forgotten."""
    cdef int32_t index
    cdef Cell cell
    cdef Rows *rows
    for index in range(child.below_first, child.below_end):
        memset(&cells[walk.shape.numbers[index]], 0, sizeof(Cell))
    if child.batch >= 0:
        rows = &walk.rows[child.batch]
        rows.present = 1
        if byte_at(walk.data, at, walk.size) == c'[':
            if depth + 1 > walk.depth_max:
                return failed(walk, TOO_DEEP, at)
            rows.present = 2
            cell.start = <int32_t>at
            cell.kind = ARRAY
            at = events(walk, at + 1, depth + 1, rows)
            cell.end = <int32_t>at
        else:
            at = value(walk, at, child, depth + 1, cells, &cell)
        rows.start = cell.start
    else:
        at = value(walk, at, child, depth + 1, cells, &cell)
    for index in range(child.slots_first, child.slots_end):
        cells[walk.shape.numbers[index]] = cell
    return at


cdef inline Py_ssize_t events(Walk *walk, Py_ssize_t at, Py_ssize_t depth, Rows *rows) noexcept nogil:
    """Takes the array of events whose bracket was just taken; gives the byte after it."""
    cdef unsigned char byte
    rows.count = 0
    at = space_end(walk.data, at, walk.size)
    if byte_at(walk.data, at, walk.size) == c']':
        return at + 1
    while True:
        at = event(walk, at, depth + 1, rows)
        if at < 0:
            return -1
        at = space_end(walk.data, at, walk.size)
        byte = byte_at(walk.data, at, walk.size)
        if byte == c']':
            return at + 1
        if byte != c',':
            return failed(walk, INVALID_JSON, at)
        at = space_end(walk.data, at + 1, walk.size)


cdef inline Py_ssize_t event(Walk *walk, Py_ssize_t at, Py_ssize_t depth, Rows *rows) noexcept nogil:
    """Takes the event at `at` and adds its row; gives the byte after it."""
    cdef const Shape *shape = walk.shape
    cdef Cell cell
    memset(walk.event, 0, shape.slots * sizeof(Cell))
    at = value(walk, at, &shape.nodes[shape.event], depth, walk.event, &cell)
    if at < 0:
        return -1
    return at if added(walk, rows, &cell, walk.event) else -1


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


cdef inline void walk_body(Walk *walk) noexcept nogil:
    """Takes the whole body: sets form, cell (the value of ONE_VALUE) and rows, or reason and position."""
    cdef const Shape *shape = walk.shape
    cdef Py_ssize_t start = space_end(walk.data, 0, walk.size)
    cdef Py_ssize_t at, end
    if start == walk.size:
        failed(walk, EMPTY_BODY, start)
        return
    if walk.array and walk.data[start] == c'[':
        walk.form = ONE_ARRAY
        if walk.depth_max < 1:
            failed(walk, TOO_DEEP, start)
            return
        end = events(walk, start + 1, 1, &walk.rows[shape.batch_count])
    else:
        end = value(walk, start, &shape.nodes[shape.top], 1, walk.top, &walk.cell)
    if end < 0:
        return
    at = space_end(walk.data, end, walk.size)
    if at == walk.size:
        return
    if not walk.ndjson or at == end:
        failed(walk, TRAILING_BYTES, at)
        return
    walk.form = MANY_LINES
    walk.rows[shape.batch_count].count = 0
    at = start
    while at < walk.size:
        end = event(walk, at, 1, &walk.rows[shape.batch_count])
        if end < 0:
            return
        at = space_end(walk.data, end, walk.size)
        if at == end and at < walk.size:
            failed(walk, TRAILING_BYTES, at)
            return


cdef inline void judge(Walk *walk) noexcept nogil:
    """walk_body, and where it fails: bytes that are not UTF-8 go before every other reason. (A body that
    passes is UTF-8: strings are proved on the way, and all else is ASCII.)"""
    cdef Py_ssize_t fault
    if walk.size >= 3 and memcmp(walk.data, b"\xef\xbb\xbf", 3) == 0:
        failed(walk, BYTE_ORDER_MARK, 0)
        return
    walk_body(walk)
    if walk.reason != FOUND and walk.reason != NO_MEMORY:
        fault = utf8_end(walk.data, 0, walk.size)
        if fault < walk.size:
            failed(walk, INVALID_UTF8, fault)
