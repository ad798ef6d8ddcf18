"""Decode, the Cython twin: names, arguments, results and errors of `columns_py`, which is the specification.

The records of a batch are walked without the interpreter's lock and without an object (columns_walk.h); a
record that is not plainly ours goes through `columns_rows_py`, so both twins make the same of it.
"""

from libc.stdint cimport int32_t, int64_t, uint32_t

from _native.columns_buffers_c cimport ColumnBuffers, headrace_table_append, raise_failed
from _native.columns_lift_c cimport Lift, lift_function
from _native.columns_walk cimport *

from _native.columns_layout import CLOCK_AHEAD_US_MAX, OFFSET_MAX, QUARANTINE, TIME_US_MAX, Fed
from _native.columns_promoted_py import Promotion
from _native.columns_py import CORRUPT_ROWS_MAX as CORRUPT_MAX
from _native.columns_py import is_abort, place
from _native.columns_rows_py import REASON, row_of
from _native.inflate import InflateError, Inflater
from _native.record import HEADERS as HEADER_NAMES

cdef int CODEC = 0x07
cdef int APPEND_TIME = 0x08
cdef int TRANSACTIONAL = 0x10
cdef int CONTROL = 0x20
cdef size_t CRC_FROM = 21
cdef int64_t OFFSETS_END = OFFSET_MAX
cdef int64_t TIMES_END = TIME_US_MAX
cdef int64_t CORRUPT_ROWS_MAX = CORRUPT_MAX
cdef int64_t GRACE_US_MAX = 1 << 62
cdef size_t UNLOCKED_BYTES_MIN = 16384  # about 10 us of work; to give the lock back and take it costs 0.1
cdef const unsigned char *CORRUPT_BATCH = b"corrupt_batch"

headrace_crc_prepare()
if not headrace_headers_prepare():
    raise ImportError("columns_headers.h has other bounds than its names")
if HEADER_NAMES != tuple(headrace_header_names[at].decode() for at in range(HEADERS)):
    raise ImportError("columns_row.h has other headers than _native/record.py")
if len(QUARANTINE) != COLUMNS_QUARANTINE or REASON != AT_REASON:
    raise ImportError("columns_row.h has other columns than _native/columns_layout.py")
if HEADRACE_CLOCK_AHEAD_US_MAX != CLOCK_AHEAD_US_MAX:
    raise ImportError("columns_walk.h has another bound than _native/columns_layout.py")


cdef class Decoder:
    """See `columns_py.Decoder`. One feed at a time: its memory serves the next one."""

    cdef readonly object table_of
    cdef readonly object grace_us
    cdef readonly size_t record_bytes_max
    cdef readonly bint quarantine_topic
    cdef readonly object promotion
    cdef Lift lift
    cdef object inflater
    cdef bint feeding

    def __init__(self, table_of, *, grace_us, record_bytes_max, quarantine_topic=False, columns=()):
        self.table_of = table_of
        self.grace_us = grace_us
        self.record_bytes_max = record_bytes_max
        self.quarantine_topic = quarantine_topic
        self.promotion = Promotion(columns) if columns and not quarantine_topic else None
        self.lift = Lift(self.promotion) if self.promotion else None
        self.inflater = Inflater(record_bytes_max)

    def feed(self, partition, incarnation, next_offset, batches, aborted):
        """See `columns_py.Decoder.feed`; RuntimeError where another feed is under way."""
        if self.feeding:
            raise RuntimeError("a decoder takes one feed at a time")
        cdef _Feed feed = _Feed(self, partition, incarnation, next_offset)
        self.feeding = True
        try:
            feed.take_all(batches, aborted)
            return feed.fed()
        finally:
            feed.release()
            self.feeding = False


cdef class _Bound:
    """A table that a feed writes to, and how many rows it got."""

    cdef ColumnBuffers buffers
    cdef headrace_bound bound


cdef class _Feed:
    """One feed under way: where it is and what it has counted."""

    cdef Decoder decoder
    cdef tuple where
    cdef dict tables
    cdef headrace_walk walk
    cdef size_t walked
    cdef int64_t quarantined, appended_us_max
    cdef list skipped, holes
    cdef dict nulled
    cdef object last_batch

    def __cinit__(self, Decoder decoder, partition, incarnation, next_offset):
        self.decoder = decoder
        self.where = (incarnation, partition)
        self.tables = {}
        self.skipped = []
        self.holes = []
        self.nulled = {}
        if decoder.lift is not None:
            decoder.lift.begin()
            self.walk.lift, self.walk.lift_context = lift_function, decoder.lift.state
        self.walk.place.partition = partition
        self.walk.place.incarnation = incarnation
        self.walk.place.grace_us = min(decoder.grace_us, GRACE_US_MAX)
        self.walk.place.time_us_max = TIMES_END
        self.walk.place.quarantine = decoder.quarantine_topic
        self.walk.next_offset = next_offset

    cdef int take_all(self, batches, aborted) except -1:
        cdef const unsigned char[::1] view = batches
        cdef const unsigned char *data = &view[0] if view.shape[0] else NULL
        cdef size_t at = 0, size = <size_t>view.shape[0]
        cdef headrace_batch batch
        waiting = sorted(aborted, key=lambda one: one[1], reverse=True)
        gone = set()
        while self.walked < self.decoder.record_bytes_max:
            if not headrace_read_batch(data, size, at, OFFSETS_END, &batch):
                break
            at = batch.end
            while waiting and waiting[-1][1] < headrace_batch_next(&batch):
                gone.add(waiting.pop()[0])
            if headrace_batch_next(&batch) > self.walk.next_offset:
                self.take(&batch, view, gone)
            if batch.attributes & CONTROL:
                if is_abort(bytes(view[batch.start + HEADRACE_HEAD_BYTES : batch.end])):
                    gone.discard(batch.producer_id)
        return 0

    cdef int take(self, headrace_batch *batch, const unsigned char[::1] view, set gone) except -1:
        """Account for every offset up to the end of `batch`."""
        cdef const unsigned char *start = &view[batch.start]
        cdef size_t size = batch.end - batch.start
        cdef int64_t end = headrace_batch_next(batch)
        cdef int64_t appended_us = headrace_micros(batch.max_timestamp, TIMES_END)
        self.walked += size
        self.hole(batch.base_offset)
        if batch.magic != HEADRACE_MAGIC or not checked(start, size, batch.crc):
            end = headrace_batch_believed(batch, &view[0], <size_t>view.shape[0], OFFSETS_END)
            self.corrupt(appended_us, end, start, size)
            return 0
        self.last_batch = (batch.base_offset, batch.leader_epoch)
        self.appended_us_max = max(self.appended_us_max, appended_us)
        if batch.attributes & CONTROL:
            self.skip(end, "control")
        elif batch.attributes & TRANSACTIONAL and batch.producer_id in gone:
            self.skip(end, "aborted")
        else:
            packed = memoryview(view)[batch.start + HEADRACE_HEAD_BYTES : batch.end]
            try:
                plain = self.decoder.inflater.inflate(batch.attributes & CODEC, packed)
            except InflateError:
                self.corrupt(appended_us, end, start, size)
            else:
                self.records(batch, plain)
        return 0

    cdef int records(self, headrace_batch *batch, const unsigned char[::1] plain) except -1:
        cdef headrace_walk *walk = &self.walk
        cdef _Bound bound
        cdef int told
        walk.data = &plain[0] if plain.shape[0] else NULL
        walk.size = <size_t>plain.shape[0]
        walk.at = 0
        walk.count = 0
        walk.least = 0
        walk.base_offset = batch.base_offset
        walk.first_timestamp, walk.max_timestamp = batch.first_timestamp, batch.max_timestamp
        walk.last_delta, walk.record_count = batch.last_delta, batch.record_count
        walk.append_time = batch.attributes & APPEND_TIME
        self.walked += walk.size
        while True:
            if walk.size - walk.at >= UNLOCKED_BYTES_MIN:
                with nogil:
                    told = headrace_walk_records(walk)
            else:
                told = headrace_walk_records(walk)
            if told == HEADRACE_ENDED:
                break
            if told == HEADRACE_HOLE:
                self.hole(walk.offset)
            elif told == HEADRACE_TABLE:
                bound = self.bound(walk.hour, False)
                headrace_bind(walk, &bound.bound)
            elif told == HEADRACE_ODD:
                self.odd(plain)
                headrace_pass(walk)
            else:
                raise_failed(told)
        if walk.at < walk.size or walk.count < walk.record_count:
            appended_us = headrace_micros(batch.max_timestamp, TIMES_END)
            self.corrupt(appended_us, headrace_batch_next(batch), walk.data + walk.at, walk.size - walk.at)
        self.hole(headrace_batch_next(batch))
        return 0

    cdef int odd(self, const unsigned char[::1] plain) except -1:
        """The record that the loop left: as the specification says."""
        cdef headrace_walk *walk = &self.walk
        cdef _Bound bound
        data = bytes(plain[walk.at : walk.stop])
        span = (0, walk.rest - walk.at, walk.stop - walk.at)
        row, reason = row_of(
            data, span, walk.offset, walk.appended_us, self.where, self.decoder.quarantine_topic
        )
        bound = self.bound(place(row, self.decoder.grace_us), reason is not None)
        if reason is not None:
            row[REASON] = reason.encode()
        elif self.decoder.promotion is not None:
            row = self.decoder.promotion.promote(row, self.nulled)
        bound.buffers.append_row(row)
        self.count(bound, reason is not None)
        return 0

    cdef int corrupt(
        self, int64_t appended_us, int64_t next_offset, const unsigned char *data, size_t size
    ) except -1:
        """A quarantine row for every offset before `next_offset`; the first bears the bytes."""
        cdef headrace_walk *walk = &self.walk
        cdef headrace_slice payload, reason
        cdef _Bound bound
        reason.at, reason.size = CORRUPT_BATCH, 13
        payload.at, payload.size = data, min(size, self.decoder.record_bytes_max)
        if payload.size == 0:
            payload.at = NULL
        if next_offset - walk.next_offset > CORRUPT_ROWS_MAX:
            next_offset = walk.next_offset + 1
        while walk.next_offset < next_offset:
            headrace_blank_row(&walk.row, &walk.place, walk.next_offset, appended_us, payload, reason)
            bound = self.bound(headrace_place_row(walk.row.cells, walk.place.grace_us), True)
            raise_failed(headrace_table_append(&bound.buffers.table, walk.row.cells, NULL, 0))
            self.count(bound, True)
            payload.at, payload.size = NULL, 0
        return 0

    cdef void count(self, _Bound bound, bint quarantined) noexcept:
        if quarantined:
            self.quarantined += 1
        else:
            self.walk.rows += 1
        bound.bound.rows += 1
        self.walk.next_offset += 1

    cdef _Bound bound(self, hour, quarantine):
        """The table of an hour, asked for where this feed does not have it yet."""
        cdef _Bound bound = self.tables.get((hour, quarantine))
        if bound is None:
            bound = _Bound()
            bound.buffers = self.decoder.table_of(hour, quarantine)
            bound.buffers.bind(self.walk.place.partition)
            bound.bound.hour = hour
            bound.bound.table = &bound.buffers.table
            self.tables[hour, quarantine] = bound
        return bound

    cdef int skip(self, int64_t next_offset, reason) except -1:
        self.skipped.append((self.walk.next_offset, next_offset, reason))
        self.walk.next_offset = next_offset

    cdef int hole(self, int64_t next_offset) except -1:
        """Kafka has nothing before `next_offset`: nothing to do where that is reached already."""
        if next_offset > self.walk.next_offset:
            self.holes.append((self.walk.next_offset, next_offset))
            self.walk.next_offset = next_offset
        return 0

    cdef void release(self) noexcept:
        cdef _Bound bound
        for bound in self.tables.values():
            bound.buffers.unbind()

    cdef object fed(self):
        cdef _Bound bound
        hours = {}
        for (hour, quarantine), bound in self.tables.items():
            if not quarantine and bound.bound.rows:
                hours[hour] = bound.bound.rows
        if self.decoder.lift is not None:
            for name, count in self.decoder.lift.counted().items():
                self.nulled[name] = self.nulled.get(name, 0) + count
        counts = (self.walk.next_offset, self.walk.rows, self.quarantined)
        ranges = (self.skipped, self.holes, self.last_batch)
        return Fed(*counts, *ranges, self.appended_us_max, hours, self.nulled)


cdef bint checked(const unsigned char *start, size_t size, uint32_t crc) noexcept:
    # A whole header was read before (magic), so there are bytes behind CRC_FROM.
    cdef uint32_t found
    if size < UNLOCKED_BYTES_MIN:
        return headrace_crc32c(start + CRC_FROM, size - CRC_FROM) == crc
    with nogil:
        found = headrace_crc32c(start + CRC_FROM, size - CRC_FROM)
    return found == crc
