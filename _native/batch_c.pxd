"""The record batch for Cython callers: room for a record's tail, and the pieces that a tail is written with.

A *tail* is a record from its key on (byte table in `batch_py`). The caller counts its bytes with
`sized_bytes` and `varint_bytes`, gets room for exactly that many and writes them through one `Pen`, which
writes nothing beyond its end and remembers that it was asked to.
"""

from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint32_t, uint64_t

cdef extern from "pen.h" nogil:
    ctypedef struct Pen "headrace_pen":
        unsigned char *at
        unsigned char *end
        bint over
    Py_ssize_t varint_bytes "headrace_varint_bytes"(int64_t value) noexcept
    Py_ssize_t sized_bytes "headrace_sized_bytes"(Py_ssize_t size) noexcept
    void put_byte "headrace_put_byte"(Pen *pen, unsigned char value) noexcept
    void put_varint "headrace_put_varint"(Pen *pen, int64_t value) noexcept
    void put_bytes "headrace_put_bytes"(Pen *pen, const unsigned char *data, Py_ssize_t size) noexcept
    void put_sized "headrace_put_sized"(Pen *pen, const unsigned char *data, Py_ssize_t size) noexcept
    void put_big32 "headrace_put_big32"(Pen *pen, uint32_t value) noexcept
    void put_big64 "headrace_put_big64"(Pen *pen, uint64_t value) noexcept


cdef class RecordBatch:
    cdef PyObject *records
    """Bytes that nobody else has seen yet, `room` of them; the first `used` hold records."""
    cdef Py_ssize_t used, room
    cdef readonly Py_ssize_t bytes_max
    cdef str compression
    cdef object level
    cdef int codec
    cdef Py_ssize_t count
    cdef int64_t first_ms, max_ms
    cdef bint is_closed, is_sealed
    cdef tuple producer
    cdef bytes built

    cdef Py_ssize_t size_now(self) noexcept
    cdef unsigned char *new_record(self, Py_ssize_t tail_bytes, int64_t timestamp_ms) except? NULL
    cdef int grow(self, Py_ssize_t room) except -1
    cdef void end_records(self) noexcept
    cdef bytes build(self)
