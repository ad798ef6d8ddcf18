"""Texts and headers of a record: takes slices of memory, counts and writes the headers that they are in.

A Slice points into the body, into scratch, into a Python object that its maker holds, or into a request's
memory; none outlives the call that made it. An empty one is an absent text.
"""

from cpython.bytes cimport PyBytes_AS_STRING
from libc.stdint cimport uint32_t

from _native.batch_c cimport Pen, put_byte, put_bytes, put_sized, sized_bytes

# What _native/record.py says too; pack_writer_c compares them.
cdef enum:
    ID_MADE = 1 << 0
    TYPE_MISSING = 1 << 1
    KEY_IS_USER = 1 << 2
    KEY_IS_ANON = 1 << 3
    TIME_CORRECTED = 1 << 4
    TIME_SUSPECT = 1 << 5
    TIME_UNREADABLE = 1 << 6
    FIELD_CUT = 1 << 7
    FIELD_BYTES_MAX = 4096

cdef struct Slice:
    const unsigned char *at
    Py_ssize_t size

# Headers as they stand in a record, one behind the other.
cdef struct Block:
    const unsigned char *at
    Py_ssize_t size
    int count


cdef inline Slice slice_of(bytes text) noexcept:
    """The bytes of a text that somebody holds; empty for None."""
    if text is None:
        return Slice(NULL, 0)
    return Slice(<const unsigned char *>PyBytes_AS_STRING(text), len(text))


cdef inline Slice cut(Slice text, uint32_t *flags) noexcept nogil:
    """At most FIELD_BYTES_MAX bytes of a text, cut between characters."""
    if text.size > FIELD_BYTES_MAX:
        flags[0] |= FIELD_CUT
        text.size = FIELD_BYTES_MAX
        while text.size and text.at[text.size] & 0xC0 == 0x80:
            text.size -= 1
    return text


cdef inline Py_ssize_t header_bytes(Py_ssize_t name, Py_ssize_t text) noexcept nogil:
    """Bytes of a header whose name has fewer than 64 bytes; none without a text."""
    return 1 + name + sized_bytes(text) if text else 0


cdef inline void put_name(Pen *pen, const char *name, Py_ssize_t size) noexcept nogil:
    put_byte(pen, <unsigned char>(2 * size))
    put_bytes(pen, <const unsigned char *>name, size)


cdef inline void put_header(Pen *pen, const char *name, Py_ssize_t size, Slice text) noexcept nogil:
    if text.size:
        put_name(pen, name, size)
        put_sized(pen, text.at, text.size)


cdef inline Block block_from(const unsigned char *start, Pen *pen, int count) noexcept nogil:
    """What the pen wrote from `start` on."""
    return Block(start, pen.at - start, count)
