"""The promoted columns of a decoder, for its loop over records."""

from _native.columns_buffers_c cimport headrace_cell

# Fills the cells behind the landed ones. 0: done; 1: the specification has to say; negative: no memory.
ctypedef int (*lift_cells)(void *lift, headrace_cell *cells) noexcept nogil

cdef class Lift:
    cdef object columns, compiled
    cdef void *state

    cdef dict counted(self)
    """Values that are null since `Lift.begin` because they had another type, by column."""
    cdef void begin(self) noexcept

cdef lift_cells lift_function
