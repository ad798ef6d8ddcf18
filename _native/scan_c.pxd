"""A ScanSpec in C, for who scans without the interpreter's lock (the columns decoder)."""

cimport cython

from _native.scan_walk cimport Shape


@cython.final
cdef class Compiled:
    cdef Shape shape
    cdef object spec
    cdef object names
    cdef bint array
    cdef bint ndjson
    cdef bint single
    cdef list keys

    cdef _reserve(self, Py_ssize_t nodes, Py_ssize_t numbers, Py_ssize_t choices)
    cdef _fill(self, list nodes)


cdef Compiled compiled(object spec)
