"""The scan, the Cython twin: names, arguments, results and errors of `scan_py`, which is the specification.

A ScanSpec is turned into a Shape (tables in C) once, by `scan_shape_c`; bytes are read by `scan_walk`. A call
costs, beside the bytes: one buffer, one block of memory for its slots, the growing rows of the events, and at
the end the array that takes them.
"""

from cpython cimport array
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.mem cimport PyMem_RawCalloc, PyMem_RawFree, PyMem_RawMalloc
from libc.stdint cimport int32_t
from libc.string cimport memcpy, memset

from _native.scan_shape_c cimport Compiled, compiled
from _native.scan_state cimport FOUND, NO_MEMORY, ONE_VALUE, ROW, Cell, Rows, Walk, added
from _native.scan_tokens cimport (
    ABSENT, HEADRACE_SCAN_WAY, NULLED, OBJECT, STRING_ESCAPED, byte_at, space_end, string_stop, unescape,
    utf8_end,
)
from _native.scan_values cimport colon_end
from _native.scan_walk cimport judge, value

import array as _array

from _native import cells
from _native.cells import Scan, ScanError

cdef enum:
    NOGIL_BYTES = 65536  # from here on, 40 us, other threads may run meanwhile
    OPENED_MAX = 512  # open brackets that need no memory of their own

cdef tuple REASONS = (
    None, "byte_order_mark", "invalid_utf8", "empty_body", "invalid_json", "too_deep", "trailing_bytes",
    "too_many_events",
)
cdef Py_ssize_t BODY_BYTES_MAX = cells.BODY_BYTES_MAX
cdef array.array EMPTY = _array.array("i")
cdef Compiled latest = None  # most calls have the spec of the call before

WAY = HEADRACE_SCAN_WAY.decode()


cdef Py_ssize_t proved_size(Py_buffer *view) except -1:
    if view.len > BODY_BYTES_MAX:
        raise ValueError(f"expected at most {BODY_BYTES_MAX} bytes, got {view.len}")
    return view.len


cdef inline tuple cell_of(const Cell *cell):
    return (cell.start, cell.end, cell.kind)


def scan(body, spec, *, Py_ssize_t depth_max=cells.DEPTH_MAX, Py_ssize_t events_max=cells.EVENTS_MAX):
    """See `_native.scan.scan`."""
    global latest
    cdef Compiled made = latest
    cdef Py_buffer view
    if made is None or made.spec is not spec:
        made = latest = compiled(spec)
    PyObject_GetBuffer(body, &view, PyBUF_SIMPLE)
    try:
        return scanned(made, <const unsigned char *>view.buf, proved_size(&view), depth_max, events_max)
    finally:
        PyBuffer_Release(&view)


cdef scanned(
    Compiled made, const unsigned char *data, Py_ssize_t size, Py_ssize_t depth_max, Py_ssize_t events_max
):
    cdef unsigned char opened[OPENED_MAX]
    cdef Walk walk
    cdef Py_ssize_t index
    cdef Py_ssize_t cells_size = 2 * made.shape.slots * sizeof(Cell)
    cdef Py_ssize_t rows_size = (made.shape.batch_count + 1) * sizeof(Rows)
    cdef Py_ssize_t key_size = 6 * made.shape.key_bytes_max + 1
    memset(&walk, 0, sizeof(walk))
    walk.data, walk.size, walk.shape = data, size, &made.shape
    walk.depth_max, walk.events_max = depth_max, events_max
    walk.array, walk.ndjson = made.array, made.ndjson
    walk.opened_max = max(min(depth_max, size), 0) + 1
    walk.rows = <Rows *>PyMem_RawCalloc(1, rows_size + cells_size + key_size)
    walk.opened = opened
    if walk.opened_max > OPENED_MAX:
        walk.opened = <unsigned char *>PyMem_RawMalloc(walk.opened_max)
    try:
        if walk.rows == NULL or walk.opened == NULL:
            raise MemoryError
        walk.top = <Cell *>(<char *>walk.rows + rows_size)
        walk.event = walk.top + made.shape.slots
        walk.key = <unsigned char *>walk.top + cells_size
        if size >= NOGIL_BYTES:
            with nogil:
                judge(&walk)
        else:
            judge(&walk)
        return chosen(made, &walk)
    finally:
        if walk.rows != NULL:
            for index in range(made.shape.batch_count + 1):
                PyMem_RawFree(walk.rows[index].data)
        PyMem_RawFree(walk.rows)
        if walk.opened != opened:
            PyMem_RawFree(walk.opened)


cdef raised(Walk *walk):
    if walk.reason == NO_MEMORY:
        raise MemoryError
    raise ScanError(REASONS[walk.reason], walk.position)


cdef chosen(Compiled made, Walk *walk):
    """The Scan of a walk that is over."""
    cdef Rows *own = &walk.rows[made.shape.batch_count]
    cdef Rows *first = NULL
    cdef Rows *rows
    cdef Py_ssize_t index
    if walk.reason != FOUND:
        raised(walk)
    if walk.form != ONE_VALUE:
        return told(own, {}, True)
    if walk.cell.kind != OBJECT:
        raise ScanError("no_events", walk.cell.start)
    envelope = {}
    for name, slot in made.names:
        if walk.top[<Py_ssize_t>slot].kind != ABSENT:
            envelope[name] = cell_of(&walk.top[<Py_ssize_t>slot])
    for index in range(made.shape.batch_count):
        rows = &walk.rows[index]
        if rows.present == 2:
            return told(rows, envelope, True)
        if rows.present and first == NULL:
            first = rows
    if not made.single:
        if first != NULL:
            raise ScanError("batch_not_array", first.start)
        raise ScanError("no_events", walk.cell.start)
    if not added(walk, own, &walk.cell, walk.top):
        raised(walk)
    return told(own, envelope, False)


cdef told(const Rows *rows, dict envelope, bint batched):
    cdef array.array numbers = array.clone(EMPTY, rows.count * ROW, False)
    if rows.count:
        memcpy(numbers.data.as_voidptr, rows.data, rows.count * ROW * sizeof(int32_t))
    return Scan(rows.count, numbers, envelope, batched)


cdef int prove_bounds(Py_ssize_t size, Py_ssize_t start, Py_ssize_t end) except -1:
    if not 0 <= start <= end <= size:
        raise ValueError(f"expected a cell of these {size} bytes, got [{start}, {end})")
    return 0


def text(body, cell):
    """See `_native.scan.text`."""
    cdef Py_ssize_t start, end
    cdef int kind
    cdef Py_buffer view
    start, end, kind = cell
    if kind <= ABSENT or kind >= NULLED:
        return None
    PyObject_GetBuffer(body, &view, PyBUF_SIMPLE)
    try:
        prove_bounds(view.len, start, end)
        if kind != STRING_ESCAPED:
            return PyBytes_FromStringAndSize(<const char *>view.buf + start, end - start)
        return unescaped(<const unsigned char *>view.buf, start, end)
    finally:
        PyBuffer_Release(&view)


cdef bytes unescaped(const unsigned char *data, Py_ssize_t start, Py_ssize_t end):
    """UTF-8 of [start, end), which lies within data and, proved here, is the inside of a JSON string."""
    cdef unsigned char small[256]
    cdef unsigned char *out = small
    cdef int32_t kind
    if string_stop(data, start, end, &kind) != end:
        raise ValueError(f"expected the inside of a JSON string at [{start}, {end})")
    if end - start > <Py_ssize_t>sizeof(small):
        out = <unsigned char *>PyMem_RawMalloc(end - start)
        if out == NULL:
            raise MemoryError
    try:
        return PyBytes_FromStringAndSize(<char *>out, unescape(data, start, end, out))
    finally:
        if out != small:
            PyMem_RawFree(out)


def members(body, Py_ssize_t start, Py_ssize_t end):
    """See `_native.scan.members`."""
    cdef unsigned char opened[OPENED_MAX]
    cdef Walk walk
    cdef Py_buffer view
    PyObject_GetBuffer(body, &view, PyBUF_SIMPLE)
    memset(&walk, 0, sizeof(walk))
    walk.opened = opened
    try:
        prove_bounds(proved_size(&view), start, end)
        walk.data, walk.size, walk.depth_max = <const unsigned char *>view.buf, end, end - start
        walk.position = utf8_end(walk.data, start, end)
        if walk.position < end:
            raise ScanError("invalid_utf8", walk.position)
        if end - start >= OPENED_MAX:
            walk.opened = <unsigned char *>PyMem_RawMalloc(end - start + 1)
            if walk.opened == NULL:
                raise MemoryError
        return list(listed(&walk, start).items())
    finally:
        if walk.opened != opened:
            PyMem_RawFree(walk.opened)
        PyBuffer_Release(&view)


cdef dict listed(Walk *walk, Py_ssize_t at):
    """The members of the object that all bytes from `at` on are."""
    cdef dict found = {}
    cdef Cell cell
    cdef Py_ssize_t first, last
    cdef int32_t kind
    cdef bytes key
    at = space_end(walk.data, at, walk.size)
    if byte_at(walk.data, at, walk.size) != c'{':
        raise ScanError("invalid_json", at)
    at = space_end(walk.data, at + 1, walk.size)
    while byte_at(walk.data, at, walk.size) != c'}':
        if found:
            if byte_at(walk.data, at, walk.size) != c',':
                raise ScanError("invalid_json", at)
            at = space_end(walk.data, at + 1, walk.size)
        first = at + 1
        at = colon_end(walk, at, &last, &kind)
        if at >= 0:
            key = unescaped(walk.data, first, last)
            at = value(walk, at, NULL, 1, NULL, &cell)
        if at < 0:
            raised(walk)
        found.pop(key, None)
        found[key] = cell_of(&cell)
        at = space_end(walk.data, at, walk.size)
    at = space_end(walk.data, at + 1, walk.size)
    if at < walk.size:
        raise ScanError("trailing_bytes", at)
    return found
