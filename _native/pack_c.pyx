"""Pack, the Cython twin: names, arguments, results and errors of `pack_py`, which is the specification.

Between the rows of a scan and the bytes of a batch there is no Python object per event. What a request says
for all of its events is encoded once per call; an event is a handful of slices of the body or of the scratch
(text without its escapes). Odd times and structured CloudEvents go through Python, by the functions of the
other twin.
"""

from cpython cimport array
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport int32_t, int64_t

from _native.pack_headers cimport Slice
from _native.pack_one_c cimport put_one
from _native.pack_record cimport Event, begin
from _native.pack_writer_c cimport Writer, readable
from _native.scan_tokens cimport (
    ABSENT, ARRAY, FALSE, NUMBER, OBJECT, STRING, STRING_ESCAPED, TRUE, Bytes, string_stop, unescape,
)

from _native import cells, pack_py
from _native.pack_stamp import BOOT_BYTES, NUMBER_MAX, RECEIVED_US_MAX, One, Packed
from _native.timestamp import MAX_US, MIN_US

cdef enum:
    EVENT = 0
    ID = 1
    TYPE = 2
    NAME = 3
    USER = 4
    ANON = 5
    TIME = 6
    SENT = 7
    VALUE = 8
    ROW = 27

if (EVENT, ID, TYPE, NAME, USER, ANON, TIME, SENT, VALUE, ROW) != (
    cells.EVENT, cells.ID, cells.TYPE, cells.NAME, cells.USER, cells.ANON, cells.TIME, cells.SENT,
    cells.VALUE, cells.ROW,
):
    raise ImportError("pack_c.pyx has other roles than _native/cells.py")


def pack(body, scan, stamp, batches):
    """See `_native.pack`."""
    cdef Py_buffer view
    PyObject_GetBuffer(body, &view, PyBUF_SIMPLE)
    try:
        return pack_rows(body, &view, scan, stamp, batches)
    finally:
        PyBuffer_Release(&view)


def append_one(one, stamp, batches):
    """See `_native.pack`."""
    if not is_sound(stamp, 1):
        pack_py.check_stamp(stamp, 1)
    pack_py.check_one(one)
    value, content, id_, type_, name, user, anon, time, extra, reason, position = one
    texts = map(readable, (content, id_, type_, name, user, anon, time))
    extra = [(readable(key), readable(text)) for key, text in extra]
    writer = Writer(stamp, batches, 0)
    return put_one(writer, (value, *texts, extra, reason, position), stamp.sent_us, 0)


cdef pack_rows(body, Py_buffer *view, scan, stamp, batches):
    cdef array.array rows = scan.rows
    cdef Py_ssize_t count = scan.count
    cdef Py_ssize_t scratch_bytes = 0
    cdef Py_ssize_t index
    cdef const int32_t *row
    cdef Writer writer
    cdef Event event
    cdef Bytes data = <Bytes>view.buf
    cdef Py_ssize_t event_bytes_max
    cdef int lacking
    cdef list left_out = []
    if not is_sound(stamp, count):
        pack_py.check_stamp(stamp, count)
    if rows.itemsize != sizeof(int32_t) or len(rows) != count * ROW or not are_proved(
        <const int32_t *>rows.data.as_voidptr, count, data, view.len, &scratch_bytes
    ):
        pack_py.check_rows(scan, body)
        raise AssertionError("the twins of check_rows differ")
    number = stamp.number
    event_bytes_max = stamp.event_bytes_max
    lacking = lacking_roles(stamp)
    attributes = bool(stamp.attributes)
    writer = Writer(stamp, batches, scratch_bytes)
    for index in range(count):
        row = <const int32_t *>rows.data.as_voidptr + index * ROW
        if row[2] != OBJECT:
            left_out.append((index, "not_an_object"))
        elif row[1] - row[0] > event_bytes_max:
            left_out.append((index, "event_too_large"))
        elif lacking and is_lacking(row, lacking):
            left_out.append((index, "invalid_event"))
        elif attributes:
            taken = pack_py.event_of(body, rows[index * ROW : (index + 1) * ROW], stamp)
            if taken is None:
                left_out.append((index, "invalid_event"))
            else:
                one, sent_us, flags = taken
                put_one(writer, one, sent_us, flags)
        else:
            begin(&writer.request, &event)
            fill(writer, &event, row, data)
            writer.put(&event)
    return Packed(writer.number - number, writer.number, writer.touched, left_out)


cdef bint is_sound(stamp, Py_ssize_t count) except -1:
    """Whether `check_stamp` has nothing to say; it has the words."""
    boot, number, received_us, sent_us = stamp.boot, stamp.number, stamp.received_us, stamp.sent_us
    if len(boot) != BOOT_BYTES or not 0 <= number <= NUMBER_MAX - count:
        return False
    if not 0 <= received_us <= RECEIVED_US_MAX:
        return False
    if sent_us is not None and not MIN_US <= sent_us < MAX_US:
        return False
    for role in stamp.required:
        if not EVENT <= role <= VALUE:
            return False
    return True


cdef int lacking_roles(stamp) except -1:
    """The roles, as bits, that the row of each event must have: the request has nothing in their place."""
    cdef int lacking = 0
    if not stamp.required:
        return 0
    defaults = {TYPE: stamp.type_default, USER: stamp.user_default, ANON: stamp.anon_default}
    for role in stamp.required:
        if not defaults.get(role):
            lacking |= 1 << <int>role
    return lacking


cdef bint is_lacking(const int32_t *row, int lacking) noexcept nogil:
    cdef int role
    for role in range(VALUE + 1):
        if lacking >> role & 1 and row[3 * role + 2] == ABSENT:
            return True
    return False


cdef bint are_proved(
    const int32_t *rows, Py_ssize_t count, Bytes data, Py_ssize_t size, Py_ssize_t *scratch_bytes
) noexcept nogil:
    """Whether all cells lie within the body and all that have escapes can be read; the scratch of an event.

    What follows reads only what is proved here.
    """
    cdef Py_ssize_t index, at, escaped, quotes, start, end
    cdef int32_t kind, found
    cdef bint wrong = False
    for index in range(count):
        escaped = 0
        for at in range(index * ROW, (index + 1) * ROW, 3):
            start, end, kind = rows[at], rows[at + 1], rows[at + 2]
            quotes = (kind == STRING) | (kind == STRING_ESCAPED)
            wrong |= (kind < ABSENT) | (kind > ARRAY)
            wrong |= (start < quotes) | (end < start) | (end > size - quotes)
            if kind == STRING_ESCAPED:
                if wrong or string_stop(data, start, end, &found) != end:
                    return False
                escaped += end - start
        if wrong:
            return False
        scratch_bytes[0] = max(scratch_bytes[0], escaped)
    return True


cdef inline Slice lifted(const int32_t *row, int role, Bytes data, unsigned char **scratch) noexcept nogil:
    """The text of a role; without its escapes it stands in the scratch, which moves on behind it."""
    cdef Py_ssize_t start = row[3 * role]
    cdef Py_ssize_t end = row[3 * role + 1]
    cdef int32_t kind = row[3 * role + 2]
    cdef Slice text
    if kind == STRING_ESCAPED:
        text = Slice(scratch[0], unescape(data, start, end, scratch[0]))
        scratch[0] += text.size
        return text
    if kind == STRING or kind == NUMBER or kind == TRUE or kind == FALSE:
        return Slice(data + start, end - start)
    return Slice(data, 0)


cdef int fill(Writer writer, Event *event, const int32_t *row, Bytes data) except -1:
    """What the row of an event says of it."""
    cdef unsigned char *scratch = writer.request.scratch
    cdef Slice sent = lifted(row, SENT, data, &scratch)
    cdef int64_t sent_us
    cdef const int32_t *cell = row + (3 * VALUE if row[3 * VALUE + 2] != ABSENT else 3 * EVENT)
    cdef Py_ssize_t quotes = cell[2] == STRING or cell[2] == STRING_ESCAPED
    event.value = Slice(data + cell[0] - quotes, cell[1] - cell[0] + 2 * quotes)
    event.id = lifted(row, ID, data, &scratch)
    event.type = lifted(row, TYPE, data, &scratch)
    event.name = lifted(row, NAME, data, &scratch)
    event.user = lifted(row, USER, data, &scratch)
    event.anon = lifted(row, ANON, data, &scratch)
    event.time = lifted(row, TIME, data, &scratch)
    if sent.size and writer.time_of(sent, &sent_us):
        event.sent, event.sent_us = True, sent_us
    return 0
