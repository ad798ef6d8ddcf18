"""The memory of a table, for the Cython decoder."""

from libc.stdint cimport int32_t, int64_t

cdef extern from "columns_table.h":
    int HEADRACE_NO_MEMORY, HEADRACE_TOO_LARGE
    enum headrace_kind:
        HEADRACE_TEXT, HEADRACE_MAP, HEADRACE_INT32, HEADRACE_INT64, HEADRACE_BOOL, HEADRACE_DECIMAL
    ctypedef struct headrace_cell:
        const unsigned char *at
        int64_t number
    ctypedef struct headrace_pair:
        headrace_cell name, value
    ctypedef struct headrace_column:
        headrace_kind kind
        size_t nulls
        unsigned char *validity
        unsigned char *fixed
        unsigned char *heap
        size_t heap_size
    ctypedef struct headrace_span:
        int32_t partition
        int64_t first, next, rows
    ctypedef struct headrace_table:
        size_t rows, pairs, spans_count
        int count, received_at, partition_at, offset_at
        headrace_column *columns
        headrace_column keys, values
        headrace_span *spans
        int64_t received_min, received_max
    size_t headrace_fixed_bytes(headrace_kind kind, size_t rows) noexcept nogil
    size_t headrace_table_bytes(const headrace_table *table) noexcept nogil
    int headrace_table_grow(headrace_table *table) noexcept nogil
    int headrace_pairs_reserve(headrace_table *table, const headrace_pair *pairs, size_t count) noexcept nogil
    headrace_span *headrace_span_of(headrace_table *table, int32_t partition) noexcept nogil
    int headrace_table_append(
        headrace_table *table, const headrace_cell *cells, const headrace_pair *pairs, size_t count
    ) noexcept nogil


cdef class ColumnBuffers:
    cdef headrace_table table
    cdef readonly bint quarantine
    cdef readonly tuple layout
    cdef size_t taken
    """Bytes of the memory that served a table before."""
    cdef Py_ssize_t exports
    """Views that are held: nothing may move while there are some."""
    cdef Py_ssize_t feeds
    """Decoders that write here without the interpreter's lock."""

    cdef int bind(self, int32_t partition) except -1
    cdef void unbind(self) noexcept
    cdef int append_row(self, object row) except -1


cdef int raise_failed(int failed) except -1
