"""Record batch, the Cython twin: names, arguments, results, errors of `batch_py`, which is the specification.

Records are gathered in one bytes object that grows in a few steps up to bytes_max, so that sealing hands it
to the codec as it is: an open batch holds at most bytes_max bytes, an empty one none. What a sealed batch no
longer needs serves the next one, up to SPARE_BYTES_MAX in sum: pages fresh from the kernel cost 100 to 400 ns
an event, more than to pack it.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.number cimport PyNumber_Index
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF, Py_XDECREF
from libc.stdint cimport int64_t, uint32_t
from libc.string cimport memcpy

from _native.batch_compression import CODECS, compressed
from _native.batch_py import (
    BYTES_MAX, CRC_AT, CRC_FROM, HEAD, LENGTH_FROM, MAGIC, NO_EPOCH, NO_PRODUCER, RECORD_OVERHEAD_BYTES,
    TIMESTAMP_MS_MAX, record_bytes, tail,
)

cdef extern from "crc32c.h":
    void headrace_crc_prepare() noexcept nogil
    uint32_t headrace_crc32c(const unsigned char *data, size_t size) noexcept nogil

cdef extern from "Python.h":
    PyObject *new_bytes "PyBytes_FromStringAndSize"(const char *data, Py_ssize_t size) except NULL
    unsigned char *bytes_start "PyBytes_AS_STRING"(PyObject *data) noexcept
    void set_size "Py_SET_SIZE"(PyObject *data, Py_ssize_t size) noexcept
    Py_ssize_t references "Py_REFCNT"(PyObject *data) noexcept

cdef enum:
    HEAD_BYTES = 61
    ROOM_FIRST = 16384
    GROWTH = 8  # each step copies what is there: by 2 that is every byte once, by 8 every seventh
    SPARES_MAX = 64
    SPARE_BYTES_MIN = 131072  # smaller ones malloc keeps by itself
    SPARE_BYTES_MAX = 33554432

cdef Py_ssize_t CRC_START = CRC_FROM
cdef Py_ssize_t CRC_PLACE = CRC_AT

headrace_crc_prepare()
if HEAD.size != HEAD_BYTES:
    raise ImportError("batch_c.pyx has another header than _native/batch_py.py")


cdef PyObject *spares[SPARES_MAX]
cdef Py_ssize_t spare_rooms[SPARES_MAX]
cdef int spare_count = 0
cdef Py_ssize_t spare_bytes = 0


cdef PyObject *take_spare(Py_ssize_t room_min, Py_ssize_t room_max, Py_ssize_t *room) noexcept:
    """A spare with a fitting room, of several the one that was given last; NULL where there is none."""
    global spare_count, spare_bytes
    cdef int at = spare_count - 1
    cdef PyObject *taken
    while at >= 0 and not room_min <= spare_rooms[at] <= room_max:
        at -= 1
    if at < 0:
        return NULL
    spare_count -= 1
    taken, room[0] = spares[at], spare_rooms[at]
    spares[at], spare_rooms[at] = spares[spare_count], spare_rooms[spare_count]
    spare_bytes -= room[0]
    return taken


cdef void give_back(PyObject *records, Py_ssize_t room) noexcept:
    """Keeps what nobody else refers to for the next batch, within the bounds."""
    global spare_count, spare_bytes
    if (
        records == NULL or references(records) != 1 or room < SPARE_BYTES_MIN or spare_count == SPARES_MAX
        or room > SPARE_BYTES_MAX - spare_bytes
    ):
        Py_XDECREF(records)
        return
    spares[spare_count] = records
    spare_rooms[spare_count] = room
    spare_bytes += room
    spare_count += 1


cdef class RecordBatch:
    """One batch of one Kafka partition, at most `bytes_max` bytes before compression, its header included."""

    def __init__(self, compression, bytes_max, level=1):
        """`compression`: zstd, lz4 or none. ValueError where an argument is out of its bounds."""
        if compression not in CODECS:
            raise ValueError(f"expected compression zstd, lz4 or none, got {compression!r}")
        if not HEAD_BYTES < bytes_max <= BYTES_MAX:
            raise ValueError(f"expected bytes_max from {HEAD_BYTES + 1} to {BYTES_MAX}, got {bytes_max}")
        self.bytes_max = bytes_max
        self.compression = compression
        self.level = level
        self.producer = NO_PRODUCER

    def __dealloc__(self):
        give_back(self.records, self.room)

    def append(self, key, value, headers, timestamp_ms):
        """Add one record (None: null); False if there is no room for it or the batch is closed.

        An empty batch takes any one record that its bytes_max holds.
        """
        cdef bytes rest
        cdef unsigned char *room
        cdef int64_t at_ms
        if not 0 <= timestamp_ms <= TIMESTAMP_MS_MAX:
            raise ValueError(f"expected timestamp_ms from 0 to {TIMESTAMP_MS_MAX}, got {timestamp_ms}")
        if self.is_closed:
            return False
        at_ms = PyNumber_Index(timestamp_ms)  # a float would be cut without a word
        rest = tail(key, value, headers)
        room = self.new_record(len(rest), at_ms)
        if room == NULL:
            return False
        memcpy(room, PyBytes_AS_STRING(rest), len(rest))
        return True

    cdef unsigned char *new_record(self, Py_ssize_t tail_bytes, int64_t timestamp_ms) except? NULL:
        """Takes up one record and gives the place of its tail, which the caller fills at once, all
        `tail_bytes` of it; NULL: there is no room for it."""
        cdef int64_t first_ms = self.first_ms if self.count else timestamp_ms
        cdef Py_ssize_t body, whole
        cdef Pen pen
        if self.is_closed or tail_bytes > self.bytes_max:
            return NULL
        body = 1 + varint_bytes(timestamp_ms - first_ms) + varint_bytes(self.count) + tail_bytes
        whole = sized_bytes(body)
        if whole > self.bytes_max - HEAD_BYTES - self.used:
            return NULL
        if whole > self.room - self.used:
            self.grow(self.used + whole)
        pen.at = bytes_start(self.records) + self.used
        pen.end = pen.at + whole
        pen.over = False
        put_varint(&pen, body)
        put_byte(&pen, 0)
        put_varint(&pen, timestamp_ms - first_ms)
        put_varint(&pen, self.count)
        assert not pen.over and pen.end - pen.at == tail_bytes
        self.first_ms = first_ms
        self.max_ms = max(self.max_ms, timestamp_ms)
        self.count += 1
        self.used += whole
        return pen.at

    cdef int grow(self, Py_ssize_t room) except -1:
        """Room for `room` bytes of records at least; where there is no memory, all stays as it was."""
        cdef Py_ssize_t room_max = self.bytes_max - HEAD_BYTES
        cdef PyObject *larger = NULL
        if self.room:
            larger = take_spare(room, room_max, &room)
        if larger == NULL:
            room = min(max(room, GROWTH * self.room, ROOM_FIRST), room_max)
            larger = new_bytes(NULL, room)
        if self.used:
            memcpy(bytes_start(larger), bytes_start(self.records), self.used)
        give_back(self.records, self.room)
        self.records, self.room = larger, room
        return 0

    cdef Py_ssize_t size_now(self) noexcept:
        return HEAD_BYTES + self.used

    def record_count(self):
        """How many records it has."""
        return self.count

    def size(self):
        """Bytes: before sealing those of the plain batch, afterwards those that are sent."""
        return self.size_now()

    def closed(self):
        """Whether it takes no more records."""
        return bool(self.is_closed)

    def close(self):
        """Take no more records."""
        self.is_closed = True

    def seal(self):
        """Close and compress; a second call does nothing. Where compression saves nothing, it stays plain.

        ValueError if it is empty: Kafka has no batch without records for a producer.
        """
        cdef bytes smaller
        if not self.count:
            raise ValueError("expected at least 1 record in a batch to seal, got 0")
        self.is_closed = True
        if self.is_sealed:
            return
        self.is_sealed = True
        self.end_records()
        if self.compression != "none":
            smaller = compressed(self.compression, self.level, <bytes>self.records)
            if len(smaller) < self.used:
                self.codec = CODECS[self.compression]
                self.used = len(smaller)
                give_back(self.records, self.room)
                Py_INCREF(smaller)
                self.records, self.room = <PyObject *>smaller, self.used

    cdef void end_records(self) noexcept:
        # The bytes object ends where the records do, without being moved to a smaller place: only its length
        # is set, and the NUL behind its last byte. Nobody has seen it yet.
        set_size(self.records, self.used)
        bytes_start(self.records)[self.used] = 0

    def _set_producer_state(self, producer_id, producer_epoch, base_sequence):
        """What makes it idempotent; another producer may set it anew."""
        self.producer = (producer_id, producer_epoch, base_sequence)
        self.built = None

    def _build(self):
        """The batch as it is sent; seals it if need be. The same object until the producer changes."""
        self.seal()
        if self.built is None:
            self.built = self.build()
        return self.built

    cdef bytes build(self):
        cdef bytes head = HEAD.pack(
            0, self.size_now() - LENGTH_FROM, NO_EPOCH, MAGIC, 0, self.codec, self.count - 1,
            self.first_ms, self.max_ms, *self.producer, self.count,
        )
        cdef bytes out = PyBytes_FromStringAndSize(NULL, self.size_now())
        cdef unsigned char *start = <unsigned char *>PyBytes_AS_STRING(out)
        cdef Pen pen
        memcpy(start, PyBytes_AS_STRING(head), HEAD_BYTES)
        memcpy(start + HEAD_BYTES, bytes_start(self.records), self.used)
        pen.at, pen.end, pen.over = start + CRC_PLACE, start + CRC_START, False
        put_big32(&pen, headrace_crc32c(start + CRC_START, self.size_now() - CRC_START))
        return out
