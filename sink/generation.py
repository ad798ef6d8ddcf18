"""Between decode and commit: takes what the decoder made of a lane's fetches, gives one entry's content.

A generation is all that a lane lands by one entry: the column buffers of each hour and table, and by Kafka
partition the range of offsets that they came from.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from _native.columns import BUFFER_BYTES_MAX, ColumnBuffers, Fed, Promoted
from _native.record import TOPIC_QUARANTINE
from sink.entry import ENTRY_BYTES_MAX, OffsetRange

SKIPPED_BYTES: Final = 64  # of one skipped range in the entry's JSON, at the most
FILE_BYTES: Final = 1024  # of one file, without its offsets and parts
PARTITION_BYTES: Final = 256  # of one Kafka partition's range
SPAN_BYTES: Final = 80  # of one Kafka partition in one file
PARTS_BYTES: Final = ENTRY_BYTES_MAX // 4  # left for the tags of all parts


@dataclass(slots=True)
class Span:
    """Offsets taken of one Kafka partition: the range of the entry, still growing."""

    incarnation: int
    first: int
    next: int
    skipped: list[tuple[int, int, str]] = field(default_factory=list)
    last_batch: tuple[int, int] | None = None
    epochs: list[tuple[int, int]] = field(default_factory=list)

    def grow(self, fed: Fed, epochs: Sequence[tuple[int, int]]) -> None:
        """Go on to the end of one feed, in which these leader epochs begin (epoch, first offset).

        Neighbours skipped for one reason become one range.
        """
        for first, next_, reason in fed.skipped:
            if self.skipped and self.skipped[-1][1:] == (first, reason):
                first = self.skipped.pop()[0]
            self.skipped.append((first, next_, reason))
        self.next = fed.next_offset
        self.last_batch = fed.last_batch or self.last_batch
        self.epochs += epochs

    def to_range(self) -> OffsetRange:
        """As the entry says it."""
        return OffsetRange(
            incarnation=self.incarnation,
            first=self.first,
            next=self.next,
            skipped=tuple(self.skipped),
            last_batch=self.last_batch,
            epochs=tuple(self.epochs),
        )


class Generation:
    """Rows that are not landed yet, of one lane; nothing in here suspends."""

    def __init__(self, topic: str, columns: Sequence[Promoted] = ()) -> None:
        self.tables: dict[tuple[int, bool], ColumnBuffers] = {}
        self.spans: dict[int, Span] = {}
        self.hours: Counter[int] = Counter()
        self.rows = 0
        self.quarantined = 0
        self.opened_us: int | None = None
        self._columns = columns
        self._all_quarantine = topic == TOPIC_QUARANTINE  # its own rows have a reason, too

    def table_of(self, hour: int, quarantine: bool) -> ColumnBuffers:
        """The buffers of an hour since 1970 UTC: of the table, or of the sink's quarantine rows."""
        buffers = self.tables.get((hour, quarantine))
        if buffers is None:
            buffers = ColumnBuffers(quarantine=quarantine or self._all_quarantine, columns=self._columns)
            self.tables[hour, quarantine] = buffers
        return buffers

    def note(self, partition: int, span: Span, fed: Fed, epochs: Sequence[tuple[int, int]]) -> None:
        """Take over what one feed made of a Kafka partition; `span` begins where the feed began."""
        self.spans.setdefault(partition, span).grow(fed, epochs)
        self.hours.update(fed.hours)
        self.rows += fed.rows
        self.quarantined += fed.quarantined

    @property
    def skipped(self) -> int:
        """Offsets that became no row, with a reason."""
        return sum(next_ - first for span in self.spans.values() for first, next_, _ in span.skipped)

    @property
    def nbytes(self) -> int:
        """Bytes of the rows that are held."""
        return sum(buffers.nbytes for buffers in list(self.tables.values()))

    @property
    def full(self) -> bool:
        """Nothing more may be fed: a table nears what its offsets can count, or the entry its bound."""
        spans = sum(len(buffers.spans) for buffers in self.tables.values())
        skipped = sum(len(span.skipped) + len(span.epochs) for span in self.spans.values())
        told = len(self.tables) * FILE_BYTES + len(self.spans) * PARTITION_BYTES + spans * SPAN_BYTES
        if told + skipped * SKIPPED_BYTES >= ENTRY_BYTES_MAX // 2 - PARTS_BYTES:
            return True
        return any(buffers.nbytes >= BUFFER_BYTES_MAX for buffers in self.tables.values())
