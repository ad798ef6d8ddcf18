"""Decode, the Python twin (the specification): takes undecoded record batches, adds rows to column buffers.

    batch   base offset 8 · length 4 · leader epoch 4 · magic 1 (2) · crc32c 4 (of all that follows) ·
            attributes 2 · last offset delta 4 · first timestamp 8 · max timestamp 8 · producer id 8 ·
            producer epoch 2 · base sequence 4 · record count 4 · records
    attributes   bits 0-2 codec · 3 timestamp is append time · 4 transactional · 5 control

All big-endian. Nothing in here raises on what stands in a batch: what can't be read becomes quarantine rows.
Source: KIP-98; aborted transactions as in Kafka's CompletedFetch (read_committed).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from struct import Struct
from typing import Final, NamedTuple

from _native.columns_buffers_py import ColumnBuffers
from _native.columns_layout import CLOCK_AHEAD_US_MAX, OFFSET_MAX, TIME_US_MAX, Fed, Promoted
from _native.columns_promoted_py import Promotion
from _native.columns_record_py import MalformedError, read_slice, read_varint
from _native.columns_rows_py import (
    ACK,
    APPENDED,
    FLAGS,
    PAYLOAD_BYTES,
    REASON,
    RECEIVED,
    Row,
    blank_row,
    row_of,
)
from _native.hash import crc32c
from _native.inflate import InflateError, inflate
from _native.record import Flags

HEAD: Final = Struct(">qiibIhiqqqhii")
PREFIX: Final = Struct(">qi")
CRC_FROM: Final = 21  # the attributes
MAGIC: Final = 2
MAGIC_AT: Final = 16
ACK_SPOOLED: Final = b"disk"
HOUR_US: Final = 3_600_000_000
CORRUPT_ROWS_MAX: Final = 1 << 20  # a damaged header that claims more offsets is not believed: they are holes
ABORT_MARKER: Final = b"\0\0"
CODEC: Final = 0x07
APPEND_TIME: Final = 0x08
TRANSACTIONAL: Final = 0x10
CONTROL: Final = 0x20

TableOf = Callable[[int, bool], ColumnBuffers]


class _Batch(NamedTuple):
    base_offset: int
    length: int
    leader_epoch: int
    magic: int
    crc: int
    attributes: int
    last_delta: int
    first_timestamp: int
    max_timestamp: int
    producer_id: int
    producer_epoch: int
    base_sequence: int
    record_count: int
    start: int  # position in the fetch
    end: int

    @property
    def next_offset(self) -> int:
        return self.base_offset + self.last_delta + 1


class Decoder:
    """Rows of one lane's fetches into the table of their hour.

    `table_of(hour, quarantine)` gives the buffers of an hour since 1970 UTC, asked once in a feed;
    `quarantine` is asked for rows that the sink itself could not take, and has that layout. `grace_us`: a
    receive time that is earlier than the append time by more is not believed. `record_bytes_max` bounds what
    one batch inflates to, and one feed ends with the batch by which it has walked that many bytes.
    `quarantine_topic`: the topic holds the collectors' quarantine, all its tables have that layout.
    `columns`: what is lifted from the payload, as the tables of `table_of` have it; not of quarantine rows.
    """

    def __init__(
        self,
        table_of: TableOf,
        *,
        grace_us: int,
        record_bytes_max: int,
        quarantine_topic: bool = False,
        columns: Sequence[Promoted] = (),
    ) -> None:
        self.table_of = table_of
        self.grace_us = grace_us
        self.record_bytes_max = record_bytes_max
        self.quarantine_topic = quarantine_topic
        self.promotion = Promotion(columns) if columns and not quarantine_topic else None

    def feed(
        self,
        partition: int,
        incarnation: int,
        next_offset: int,
        batches: bytes,
        aborted: Sequence[tuple[int, int]],
    ) -> Fed:
        """Take the batches of one fetch of one Kafka partition; does not suspend and raises on no bytes.

        `aborted`: (producer id, first offset) as the fetch answered. A batch cut off at the end is left.
        What the feed did not take must be fetched again from `Fed.next_offset`: `aborted` belongs to one
        fetch.
        """
        walk = _Walk(self, (incarnation, partition), Fed(next_offset))
        waiting = sorted(aborted, key=lambda one: one[1], reverse=True)
        gone: set[int] = set()
        at = 0
        while walk.walked < self.record_bytes_max and (batch := _read_batch(batches, at)) is not None:
            at = batch.end
            while waiting and waiting[-1][1] < batch.next_offset:
                gone.add(waiting.pop()[0])
            if batch.next_offset > walk.fed.next_offset:
                walk.take(batch, batches, gone)
            if batch.attributes & CONTROL and is_abort(batches[batch.start + HEAD.size : batch.end]):
                gone.discard(batch.producer_id)
        return walk.fed


class _Walk:
    """One feed under way: where it is and what it has counted."""

    def __init__(self, decoder: Decoder, where: tuple[int, int], fed: Fed) -> None:
        self.fed = fed
        self.walked = 0
        self._decoder = decoder
        self._where = where
        self._bytes_max = decoder.record_bytes_max
        self._tables: dict[tuple[int, bool], ColumnBuffers] = {}

    def take(self, batch: _Batch, batches: bytes, gone: set[int]) -> None:
        """Account for every offset up to the end of `batch`."""
        body = memoryview(batches)[batch.start : batch.end]
        self.walked += len(body)
        self._hole(batch.base_offset)
        if batch.magic != MAGIC or crc32c(body[CRC_FROM:]) != batch.crc:
            self._corrupt(_micros(batch.max_timestamp), _believed(batch, batches), body)
            return
        self.fed.last_batch = (batch.base_offset, batch.leader_epoch)
        self.fed.appended_us_max = max(self.fed.appended_us_max, _micros(batch.max_timestamp))
        if batch.attributes & CONTROL:
            self._skip(batch.next_offset, "control")
        elif batch.attributes & TRANSACTIONAL and batch.producer_id in gone:
            self._skip(batch.next_offset, "aborted")
        else:
            try:
                plain = inflate(batch.attributes & CODEC, body[HEAD.size :], self._bytes_max)
            except InflateError:
                self._corrupt(_micros(batch.max_timestamp), batch.next_offset, body)
            else:
                self.walked += len(plain)
                self._records(batch, bytes(plain))

    def _records(self, batch: _Batch, data: bytes) -> None:
        at, count, least = 0, 0, 0
        while at < len(data) and count < batch.record_count:
            try:
                stop, rest_at, millis, delta = _read_head(data, at)
            except MalformedError:
                break
            if not least <= delta <= batch.last_delta:
                break
            offset = batch.base_offset + delta
            if offset >= self.fed.next_offset:
                self._hole(offset)
                millis = (
                    batch.max_timestamp if batch.attributes & APPEND_TIME else batch.first_timestamp + millis
                )
                self._record(data, (at, rest_at, stop), offset, _micros(millis))
            at, count, least = stop, count + 1, delta + 1
        if at < len(data) or count < batch.record_count:
            self._corrupt(_micros(batch.max_timestamp), batch.next_offset, memoryview(data)[at:])
        self._hole(batch.next_offset)

    def _record(self, data: bytes, span: tuple[int, int, int], offset: int, appended_us: int) -> None:
        self._append(*row_of(data, span, offset, appended_us, self._where, self._decoder.quarantine_topic))

    def _corrupt(self, appended_us: int, next_offset: int, data: memoryview) -> None:
        """A quarantine row for every offset before `next_offset`; the first bears the bytes."""
        if next_offset - self.fed.next_offset > CORRUPT_ROWS_MAX:
            next_offset = self.fed.next_offset + 1
        for offset in range(self.fed.next_offset, next_offset):
            row = blank_row(offset, appended_us, appended_us, self._where)
            row[PAYLOAD_BYTES] = bytes(data[: self._bytes_max]) or None
            data = data[:0]
            self._append(row, "corrupt_batch")

    def _append(self, row: Row, reason: str | None) -> None:
        hour = place(row, self._decoder.grace_us)
        if reason is None:
            self.fed.rows += 1
            self.fed.hours[hour] = self.fed.hours.get(hour, 0) + 1
            if self._decoder.promotion:
                row = self._decoder.promotion.promote(row, self.fed.nulled)
        else:
            self.fed.quarantined += 1
            row[REASON] = reason.encode()
        key = (hour, reason is not None)
        if key not in self._tables:
            self._tables[key] = self._decoder.table_of(*key)
        self._tables[key].append(row)
        self.fed.next_offset += 1

    def _skip(self, next_offset: int, reason: str) -> None:
        self.fed.skipped.append((self.fed.next_offset, next_offset, reason))
        self.fed.next_offset = next_offset

    def _hole(self, next_offset: int) -> None:
        """Kafka has nothing before `next_offset`: nothing to do where that is reached already."""
        if next_offset > self.fed.next_offset:
            self.fed.holes.append((self.fed.next_offset, next_offset))
            self.fed.next_offset = next_offset


def _read_batch(batches: bytes, at: int) -> _Batch | None:
    """The batch at `at`; None where it is cut off. Without a whole header: magic -1 and one offset."""
    if len(batches) - at < PREFIX.size:
        return None
    base_offset, length = PREFIX.unpack_from(batches, at)
    end = at + PREFIX.size + length if length >= 0 else len(batches)  # nothing behind it can be found
    if end > len(batches) or not 0 <= base_offset <= OFFSET_MAX:
        return None
    if end - at < HEAD.size or length < 0 or batches[at + MAGIC_AT] != MAGIC:
        return _Batch(base_offset, length, -1, -1, 0, 0, 0, 0, 0, -1, -1, -1, 0, at, end)
    batch = _Batch._make((*HEAD.unpack_from(batches, at), at, end))
    return batch if batch.last_delta >= 0 else batch._replace(last_delta=0, magic=-1)


def _read_head(data: bytes, at: int) -> tuple[int, int, int, int]:
    """Of the record at `at`: its end, where its key begins, timestamp delta (ms), offset delta."""
    size, at = read_varint(data, at, len(data))
    stop = at + size
    if size < 1 or stop > len(data):
        raise MalformedError(f"a record of {size} bytes at {at}, but {len(data)} bytes in all")
    millis, at = read_varint(data, at + 1, stop)
    delta, at = read_varint(data, at, stop)
    return stop, at, millis, delta


def _believed(batch: _Batch, batches: bytes) -> int:
    """Where a damaged batch ends: as its header says, but not behind the beginning of the next batch."""
    end = batch.next_offset
    behind = _read_batch(batches, batch.end)
    if behind is not None and batch.base_offset < behind.base_offset < end:
        end = behind.base_offset
    return end


def place(row: Row, grace_us: int) -> int:
    """The hour of a row since 1970 UTC: by receive time, or by append time (then flagged).

    By append time where the receive time is later by more than CLOCK_AHEAD_US_MAX (a collector's clock may be
    a little ahead of the broker's), or earlier by more than the grace without having been in the spool.
    """
    received_us, appended_us, flags = row[RECEIVED], row[APPENDED], row[FLAGS]
    assert isinstance(received_us, int)
    assert isinstance(appended_us, int)
    assert isinstance(flags, int)
    early = received_us < appended_us - grace_us and row[ACK] != ACK_SPOOLED
    if early or received_us > appended_us + CLOCK_AHEAD_US_MAX:
        row[FLAGS] = flags | int(Flags.PLACED_BY_APPEND)
        return appended_us // HOUR_US
    return received_us // HOUR_US


def _micros(millis: int) -> int:
    """Kafka's timestamp in µs; what no calendar has (-1: none) becomes the nearest that it has."""
    return min(max(millis, 0) * 1000, TIME_US_MAX)


def is_abort(data: bytes) -> bool:
    """Whether a control batch's record says abort: key = version int16, type int16 (0 abort, 1 commit)."""
    try:
        stop, at, _, _ = _read_head(data, 0)
        key, _ = read_slice(data, at, stop)
    except MalformedError:
        return False
    return key is not None and key[2:4] == ABORT_MARKER
