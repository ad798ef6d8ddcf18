"""The writer of the Cython pack: numbers records and appends each to the batch of its Kafka partition."""

from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint32_t, uint64_t

from _native.batch_c cimport RecordBatch
from _native.pack_headers cimport Slice
from _native.pack_record cimport Event
from _native.pack_request cimport Request

cdef extern from "pack_time.h" nogil:
    ctypedef struct headrace_time_day:
        int64_t read_days


cdef class Writer:
    """Numbers records and appends them to the batch of their Kafka partition. Serves one call."""

    cdef object batches
    cdef readonly list touched
    cdef tuple kept
    """What slices point into."""
    cdef PyObject **open_batches
    """The batch at hand of each Kafka partition, all of them in `touched`."""
    cdef Py_ssize_t partitions
    cdef Request request
    cdef uint64_t number
    cdef headrace_time_day day

    cdef RecordBatch put(self, Event *event)
    cdef RecordBatch batch_for(self, Slice key, Py_ssize_t size)
    cdef Py_ssize_t event_time(self, const Event *event, unsigned char *out, uint32_t *flags) except -1
    cdef bint time_of(self, Slice text, int64_t *micros) except -1


cdef tuple fields_of(told)
cdef bytes readable(text)
