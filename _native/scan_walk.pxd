"""The walk of the Cython scan: takes bytes and a Shape, gives cells and rows; no Python object, no GIL.

Written are only cells of this Shape (its slots are below `slots`) and, by `scan_state`, rows. What gives -1
has set reason and position.
"""

from libc.stdint cimport int32_t
from libc.string cimport memcmp, memset

from _native.scan_shape_c cimport Node, Shape, found
from _native.scan_state cimport (
    BYTE_ORDER_MARK,
    EMPTY_BODY,
    FOUND,
    INVALID_JSON,
    INVALID_UTF8,
    MANY_LINES,
    NO_MEMORY,
    ONE_ARRAY,
    TOO_DEEP,
    TRAILING_BYTES,
    Cell,
    Rows,
    Walk,
    added,
    failed,
)
from _native.scan_tokens cimport (
    ARRAY,
    OBJECT,
    STRING,
    byte_at,
    headrace_likely,
    space_end,
    unescape,
    utf8_end,
)
from _native.scan_values cimport colon_end, nested, scalar


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
