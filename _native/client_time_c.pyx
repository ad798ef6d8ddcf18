"""A client's time, the Cython twin of `_native.timestamp.parse_us`, which reads what is odd."""

from cpython.bytes cimport PyBytes_AS_STRING
from libc.stdint cimport int64_t

from _native import timestamp

cdef extern from "pack_time.h" nogil:
    const int HEADRACE_TIME_READ, HEADRACE_TIME_ODD
    ctypedef struct headrace_time_day:
        int64_t read_days
    int headrace_time_of_client(
        const unsigned char *at, size_t size, headrace_time_day *day, int64_t *micros
    ) noexcept

cdef headrace_time_day latest  # begins as zeros


def parse_us(bytes text not None):
    """See `_native.timestamp.parse_us`."""
    cdef int64_t micros = 0
    cdef int found = headrace_time_of_client(
        <const unsigned char *>PyBytes_AS_STRING(text), len(text), &latest, &micros
    )
    if found == HEADRACE_TIME_ODD:
        return timestamp.parse_us(text)
    return micros if found == HEADRACE_TIME_READ else None
