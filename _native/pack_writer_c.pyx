"""Inside pack, the Cython twin: takes what is known of an event, appends its record to an open batch.

The specification is the Writer of `pack_py`. What a request says is encoded by `pack_request`, a record is
counted and written by `pack_record`.
"""

from cpython.bytes cimport PyBytes_AS_STRING
from cpython.long cimport PyLong_AsUnsignedLongLongMask
from cpython.mem cimport PyMem_RawCalloc, PyMem_RawFree
from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint32_t
from libc.string cimport memcpy

from _native.batch_c cimport Pen, RecordBatch
from _native.hash_c cimport murmur2_of
from _native.pack_headers cimport (
    FIELD_BYTES_MAX, FIELD_CUT, ID_MADE, KEY_IS_ANON, KEY_IS_USER, TIME_CORRECTED, TIME_SUSPECT,
    TIME_UNREADABLE, TYPE_MISSING, Slice, slice_of,
)
from _native.pack_record cimport MADE_ID_BYTES, Event, Told, measure, tell, write
from _native.pack_request cimport BOOT, Stamp, encode

from _native import batch_py, pack_py, record, timestamp
from _native.pack_record_py import EARLY_US_MAX, LATE_US_MAX, legible
from _native.pack_stamp import BOOT_BYTES
from _native.record import Flags

cdef extern from "pack_time.h" nogil:
    const int HEADRACE_TIME_READ, HEADRACE_TIME_ODD
    const int64_t HEADRACE_TIME_MIN_US, HEADRACE_TIME_END_US
    int headrace_time_of_client(
        const unsigned char *at, size_t size, headrace_time_day *day, int64_t *micros
    ) noexcept
    void headrace_time_put(int64_t micros, headrace_time_day *day, unsigned char *out) noexcept

cdef extern from "utf8.h" nogil:
    bint headrace_utf8_valid(const unsigned char *at, size_t size) noexcept

cdef enum:
    TIME_BYTES = 27
    RECORD_OVERHEAD = 21

cdef int64_t EARLY_US = EARLY_US_MAX
cdef int64_t LATE_US = LATE_US_MAX
cdef bytes VERSION = record.SPECVERSION
cdef bytes UNKNOWN = record.TYPE_UNKNOWN

# What is written twice is compared once.
if (
    ID_MADE | TYPE_MISSING << 1 | KEY_IS_USER << 2 | KEY_IS_ANON << 3, TIME_CORRECTED | TIME_SUSPECT << 1,
    TIME_UNREADABLE | FIELD_CUT << 1,
) != (
    Flags.ID_MADE | Flags.TYPE_MISSING << 1 | Flags.KEY_IS_USER << 2 | Flags.KEY_IS_ANON << 3,
    Flags.TIME_CORRECTED | Flags.TIME_SUSPECT << 1, Flags.TIME_UNREADABLE | Flags.FIELD_CUT << 1,
):
    raise ImportError("pack_headers.pxd has other flags than _native/record.py")
if (BOOT, RECORD_OVERHEAD, FIELD_BYTES_MAX) != (
    BOOT_BYTES, batch_py.RECORD_OVERHEAD_BYTES, record.FIELD_BYTES_MAX,
):
    raise ImportError("the Cython pack has other sizes than pack_stamp.py, batch_py.py and record.py")
if (HEADRACE_TIME_MIN_US, HEADRACE_TIME_END_US) != (timestamp.MIN_US, timestamp.MAX_US):
    raise ImportError("pack_time.h has other bounds than _native/timestamp.py")


cdef class Writer:
    """Numbers records and appends them to the batch of their Kafka partition. Serves one call."""

    def __cinit__(self, stamp, batches, Py_ssize_t scratch_bytes):
        """The caller has checked the stamp."""
        cdef bytes boot, source, dialect, ack, ip, agent, context, content, type_, user, anon
        cdef Stamp *own = &self.request.stamp
        (
            boot, number, received_us, source, dialect, ack, _, flags, own.by_anonymous, ip, agent, sent_us,
            context, content, type_, user, anon, _, _,
        ) = fields_of(stamp)
        agent, content = readable(agent), readable(content)
        type_, user, anon = readable(type_), readable(user), readable(anon)
        self.kept = (stamp, agent, content, type_, user, anon)
        self.batches = batches
        self.partitions = batches.partitions
        self.touched = []
        self.number = number
        own.boot, own.source, own.dialect = slice_of(boot), slice_of(source), slice_of(dialect)
        own.ack, own.ip, own.agent = slice_of(ack), slice_of(ip), slice_of(agent)
        own.context, own.content, own.version = slice_of(context), slice_of(content), slice_of(VERSION)
        own.type_default, own.type_unknown = slice_of(type_), slice_of(UNKNOWN)
        own.user_default, own.anon_default = slice_of(user), slice_of(anon)
        own.received_us = received_us
        own.flags = <uint32_t>PyLong_AsUnsignedLongLongMask(flags)
        own.sent = sent_us is not None
        own.sent_us = sent_us if own.sent else 0
        encode(&self.request, scratch_bytes)
        if self.partitions > 0:
            self.open_batches = <PyObject **>PyMem_RawCalloc(self.partitions, sizeof(PyObject *))
            if self.open_batches == NULL:
                raise MemoryError

    def __dealloc__(self):
        PyMem_RawFree(self.open_batches)
        PyMem_RawFree(self.request.memory)

    cdef RecordBatch put(self, Event *event):
        """Append one record; its number is taken only by this."""
        cdef unsigned char made[MADE_ID_BYTES]
        cdef unsigned char time[TIME_BYTES]
        cdef Told told
        cdef RecordBatch batch
        cdef Pen pen
        told.flags = event.flags | self.request.stamp.flags
        told.time = Slice(&time[0], self.event_time(event, time, &told.flags))
        tell(&self.request, event, self.number, made, &told)
        measure(&self.request, event, &told)
        batch = self.batch_for(told.key, RECORD_OVERHEAD + told.size)
        pen.at = batch.new_record(told.size, self.request.stamp.received_us // 1000)
        if pen.at == NULL:
            raise RuntimeError(pack_py.NO_ROOM)
        pen.end, pen.over = pen.at + told.size, False
        pen = write(&self.request, event, &told, self.number, pen)
        assert not pen.over and pen.at == pen.end
        self.number += 1
        return batch

    cdef RecordBatch batch_for(self, Slice key, Py_ssize_t size):
        """The batch at hand of the key's Kafka partition, or the one that is opened instead."""
        cdef RecordBatch batch
        cdef Py_ssize_t partition
        if self.partitions < 1:
            raise ValueError(f"expected at least 1 Kafka partition, got {self.partitions}")
        partition = <Py_ssize_t>(murmur2_of(key.at, key.size) & 0x7FFFFFFF) % self.partitions
        if self.open_batches[partition] != NULL:
            batch = <RecordBatch>self.open_batches[partition]
            if batch.size_now() + size <= batch.bytes_max:
                return batch
        batch = <RecordBatch?>self.batches.open(partition, size)
        if not any([batch is other for other in self.touched]):
            self.touched.append(batch)
        self.open_batches[partition] = <PyObject *>batch
        return batch

    cdef Py_ssize_t event_time(self, const Event *event, unsigned char *out, uint32_t *flags) except -1:
        """Writes the event's time to `out`, TIME_BYTES or none."""
        cdef int64_t client_us, at_us
        cdef int64_t received_us = self.request.stamp.received_us
        cdef bytes text
        if not event.time.size:
            return 0
        if not self.time_of(event.time, &client_us):
            flags[0] |= TIME_UNREADABLE
            return 0
        at_us = received_us - (event.sent_us - client_us)
        if event.sent and HEADRACE_TIME_MIN_US <= at_us < HEADRACE_TIME_END_US:
            flags[0] |= TIME_CORRECTED
        else:
            at_us = client_us
            if not received_us - EARLY_US <= client_us <= received_us + LATE_US:
                flags[0] |= TIME_SUSPECT
        if at_us >= 0:
            headrace_time_put(at_us, &self.day, out)
        else:
            text = timestamp.rfc3339(at_us)
            memcpy(out, PyBytes_AS_STRING(text), TIME_BYTES)
        return TIME_BYTES

    cdef bint time_of(self, Slice text, int64_t *micros) except -1:
        """`parse_us`: whether the text is a time, and which."""
        cdef int found = headrace_time_of_client(text.at, text.size, &self.day, micros)
        if found != HEADRACE_TIME_ODD:
            return found == HEADRACE_TIME_READ
        moment = timestamp.parse_us(text.at[:text.size])
        if moment is None:
            return False
        micros[0] = moment
        return True


cdef tuple fields_of(told):
    """A Stamp's or a One's fields, in order."""
    if not isinstance(told, tuple):
        raise TypeError(f"expected a Stamp or a One, got {type(told).__name__}")
    return <tuple>told


cdef bytes readable(text):
    """`legible`, without a call where the text is UTF-8."""
    cdef bytes found = text
    if found is None or headrace_utf8_valid(<const unsigned char *>PyBytes_AS_STRING(found), len(found)):
        return found
    return legible(found)
