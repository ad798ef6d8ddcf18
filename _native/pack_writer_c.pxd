"""The writer of the Cython pack: what a request says, encoded once, and the records that it appends.

A Slice points into the body, into scratch, into a Python object that its maker holds, or into the writer's
memory; none outlives the call that made it. An empty one is an absent text.
"""

from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint32_t, uint64_t

from _native.batch_c cimport Pen, RecordBatch

cdef extern from "pack_time.h" nogil:
    ctypedef struct headrace_time_day:
        int64_t read_days

cdef enum:
    BOOT = 8

cdef struct Slice:
    const unsigned char *at
    Py_ssize_t size

# Headers as they stand in a record, one behind the other.
cdef struct Block:
    const unsigned char *at
    Py_ssize_t size
    int count

# What is known of one event. `rear`: headers behind all others.
cdef struct Event:
    Slice id, type, name, user, anon, time, value
    const Block *version
    const Block *source
    const Block *content
    const Block *rear
    uint32_t flags
    bint sent
    int64_t sent_us

# What its record says of it, and how many bytes and headers that takes.
cdef struct Told:
    Slice key, id, type, name, user, anon, time
    uint32_t flags
    int count
    Py_ssize_t size


cdef class Writer:
    """Numbers records and appends them to the batch of their Kafka partition. Serves one call."""

    cdef object batches
    cdef readonly list touched
    cdef tuple kept
    """What slices point into."""
    cdef PyObject **open_batches
    """The batch at hand of each Kafka partition, all of them in `touched`."""
    cdef Py_ssize_t partitions
    cdef unsigned char *memory
    """What the request says, encoded; behind it the scratch."""
    cdef unsigned char *scratch
    cdef uint64_t number
    cdef int64_t received_us, sent_us
    cdef uint32_t flags
    cdef bint sent, by_anonymous
    cdef unsigned char boot_hex[2 * BOOT]
    cdef Block seq, fixed, version, source, content, client, context, nothing
    cdef headrace_time_day day
    cdef Slice type_default, user_default, anon_default

    cdef int encode(
        self, Slice boot, Slice source, Slice dialect, Slice ack, Slice ip, Slice agent, Slice context,
        Slice content, Py_ssize_t scratch_bytes,
    ) except -1
    cdef Slice made_id(self, unsigned char *out) noexcept nogil
    cdef void begin(self, Event *event) noexcept nogil
    cdef RecordBatch put(self, Event *event)
    cdef int tell(self, const Event *event, unsigned char *made, unsigned char *time, Told *told) except -1
    cdef void measure(self, const Event *event, Told *told) noexcept nogil
    cdef Pen write(self, const Event *event, const Told *told, Pen pen) noexcept nogil
    cdef RecordBatch batch_for(self, Slice key, Py_ssize_t size)
    cdef Py_ssize_t event_time(self, const Event *event, unsigned char *out, uint32_t *flags) except -1
    cdef RecordBatch put_one(self, one, sent_us, flags)
    cdef bint time_of(self, Slice text, int64_t *micros) except -1


cdef bytes readable(text)
