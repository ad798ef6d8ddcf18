"""A committed file that was lost: takes what the entry says of it, reads its rows from Kafka again.

A store may purge an upload before it was completed (MinIO does after a day). Then the offsets are landed by
the log, but nobody can see the rows. They are fetched once more: exactly those of the file, its ranges and
its hour, placed by the settings that the entry names; and only of the incarnation that is open, as Kafka
has no other. What Kafka has no longer is told as lost (PROTOCOL 4, "Rebuild").
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from struct import Struct
from typing import Final

import structlog

from _native.columns import ColumnBuffers, Decoder, Promoted
from _native.record import TOPIC_QUARANTINE
from sink.entry import Entry, LandedFile
from sink.errors import BrokerError, LogError
from sink.fetch import Fetched, Records
from sink.keys import hour_text
from sink.lane import Lane
from sink.log_check import Difference
from sink.topic_log import Source

BATCH_PREFIX: Final = Struct(">qi")  # base offset, length of what follows (KIP-98)

log = structlog.get_logger()


class Rebuild:
    """Rows of one lost file, as they are read again."""

    def __init__(
        self,
        lane: Lane,
        source: Source,
        records: Records,
        file: LandedFile,
        entry: Entry,
        columns: Sequence[Promoted],
        threads: Executor,
    ) -> None:
        """`entry` named the file first; `columns` are promoted."""
        self.lost: list[tuple[int, int, int]] = []
        """(Kafka partition, first, next) of rows that Kafka no longer has."""
        self._quarantine = lane.topic == TOPIC_QUARANTINE
        self._columns = columns
        self.buffers = self._new_table(file.table == "quarantine")
        self._lane = lane
        self._source = source
        self._records = records
        self._file = file
        self._entry = entry
        self._threads = threads

    async def read(self, record_bytes_max: int, ends: Mapping[int, int]) -> None:
        """Fetch and decode all ranges of the file. Suspends.

        `ends`: by Kafka partition, where Kafka's log ends to be the one that was landed, if it does.
        BrokerError (retriable): Kafka is away. LogError `file_lost`: Kafka's records are not those landed.
        """
        decoder = Decoder(
            self._table_of,
            grace_us=self._entry.settings.grace_us,
            record_bytes_max=record_bytes_max,
            quarantine_topic=self._quarantine,
            columns=self._columns,
        )
        self._records.close()
        for partition, (first, next_, _) in sorted(self._file.offsets.items()):
            incarnation = self._entry.offsets[partition].incarnation
            is_open = incarnation == self._lane.position(partition).incarnation
            end = max(first, min(next_, ends.get(partition, next_))) if is_open else first
            await self._read_partition(decoder, partition, first, end)
            if end < next_:
                self.lost.append((partition, end, next_))
        self._records.close()
        self._expect_rows()

    def _table_of(self, hour: int, quarantine: bool) -> ColumnBuffers:
        """The file's own table; rows of others are decoded and thrown away."""
        if hour_text(hour) == self._file.hour and quarantine == (self._file.table == "quarantine"):
            return self.buffers
        return self._new_table(quarantine)

    def _new_table(self, quarantine: bool) -> ColumnBuffers:
        return ColumnBuffers(quarantine=quarantine or self._quarantine, columns=self._columns)

    async def _read_partition(self, decoder: Decoder, partition: int, at: int, end: int) -> None:
        incarnation = self._entry.offsets[partition].incarnation
        while at < end:
            fetched = await self._fetch(partition, at)
            if fetched is None:
                left = min(end, (await self._source.first_offsets([partition]))[partition])
                if left <= at:
                    raise BrokerError("out_of_range", f"{self._file.key}: Kafka ends at {at}", retriable=True)
                self.lost.append((partition, at, left))
                at = left
                continue
            batches = _before(fetched.batches, end)
            fed = await asyncio.get_running_loop().run_in_executor(
                self._threads,
                decoder.feed,
                partition,
                incarnation,
                at,
                batches,
                fetched.aborted,
            )
            at = fed.next_offset

    async def _fetch(self, partition: int, offset: int) -> Fetched | None:
        """Batches from the offset on; None: it is out of Kafka's range. Waits while there are none."""
        while True:
            try:
                found = await self._records.next({partition: offset})
            except BrokerError as error:
                if error.code == "out_of_range":
                    return None
                raise
            for fetched in found:
                if fetched.partition == partition and fetched.offset == offset and fetched.batches:
                    return fetched

    def _expect_rows(self) -> None:
        gone = {partition for partition, _, _ in self.lost}
        for partition, (first, next_, rows) in self._file.offsets.items():
            found = self.buffers.spans.get(partition, (first, first, 0))
            same = found[2] == rows or (partition in gone and found[2] < rows)
            if not same or not first <= found[0] <= found[1] <= next_:
                told = f"Kafka partition {partition}: {rows} rows of [{first}, {next_}) were landed"
                again = f"Kafka gives {found[2]} of [{found[0]}, {found[1]}) now"
                raise LogError("file_lost", f"{self._file.key}: its upload is gone, {told}, {again}")


async def rebuild(
    lane: Lane,
    source: Source,
    records: Records,
    differences: Sequence[Difference],
    *,
    columns: Sequence[Promoted],
    threads: Executor,
    record_bytes_max: int,
) -> None:
    """Rebuild one lost file of a lane that was taken; it must be taken again afterwards. Suspends.

    `differences`: Kafka's log was compared with what was landed, and these are to be recorded afterwards.
    """
    file = lane.lost[0]
    log.warning("file_lost", topic=lane.topic, lane=lane.lane, key=file.key, rows=file.rows)
    work = Rebuild(lane, source, records, file, await lane.entry_of(file), columns, threads)
    await work.read(record_bytes_max, _ends(differences))
    await lane.restore(file, work.buffers, work.lost)


def _ends(differences: Sequence[Difference]) -> dict[int, int]:
    """Where Kafka's log ends to be the one that was landed; what retention took is found when it is read."""
    cut = {one.partition: one.first for one in differences if one.reason == "truncated"}
    return cut | {one.partition: 0 for one in differences if one.reason == "recreated"}


def _before(batches: bytes, end: int) -> bytes:
    """The batches that begin before offset `end`: those behind have rows of later entries."""
    at = 0
    while len(batches) - at >= BATCH_PREFIX.size:
        base, length = BATCH_PREFIX.unpack_from(batches, at)
        if base >= end:
            return batches[:at]
        at += BATCH_PREFIX.size + max(length, 0)
    return batches
