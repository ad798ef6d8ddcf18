"""Inside the commit log: takes entries one after the other, gives where the lane stands behind them."""

from __future__ import annotations

from dataclasses import dataclass, field

from sink.entry import Entry, LandedFile
from sink.errors import LogError


@dataclass(frozen=True, slots=True)
class Position:
    """Where reading of a Kafka partition goes on."""

    incarnation: int
    next: int
    last_batch: tuple[int, int] | None = field(default=None, compare=False)
    """Base offset and leader epoch of the last batch that was landed of this incarnation."""


@dataclass(slots=True)
class LogHead:
    """Where a lane stands: what the next entry must bear, and which files may be invisible still."""

    next_sequence: int = 0
    previous: str | None = None
    topic_id: str | None = None
    positions: dict[int, Position] = field(default_factory=dict)
    last: Entry | None = None
    unseen: dict[str, tuple[LandedFile, ...]] = field(default_factory=dict)
    """Files by key that nobody needs to have seen yet: as first committed, and as rebuilt since."""
    hours: dict[str, int] = field(default_factory=dict)
    """Rows by hour, quarantine rows left out."""

    def follow(self, entry: Entry, sha256: str) -> None:
        """Go on by one entry. LogError where it does not continue: hash, sequence, offsets, topic id."""
        if entry.sequence != self.next_sequence:
            raise LogError("bad_entry", f"{entry.key}: expected entry {self.next_sequence}, it is not there")
        if entry.previous != self.previous:
            told = f"predecessor {entry.previous}, but entry {entry.sequence - 1} hashes to {self.previous}"
            raise LogError("bad_entry", f"{entry.key}: {told}")
        if self.topic_id not in (None, entry.topic_id) and entry.kind != "gap":
            raise LogError("bad_entry", f"{entry.key}: topic id {entry.topic_id}, before it {self.topic_id}")
        gaps = {gap.partition: Position(gap.incarnation, gap.head) for gap in entry.gaps}
        for partition, span in entry.offsets.items():
            before = self.positions.get(partition, Position(0, span.first if entry.kind == "origin" else 0))
            begins = gaps.get(partition, Position(span.incarnation, span.first))
            if before != begins:
                told = (
                    f"begins at {begins.next} of incarnation {begins.incarnation}, the log ended at {before}"
                )
                raise LogError("bad_entry", f"{entry.key}: Kafka partition {partition} {told}")
        self.resume(entry, sha256)

    def resume(self, entry: Entry, sha256: str) -> None:
        """Stand after this entry, whatever came before it."""
        for partition, span in entry.offsets.items():
            before = self.positions.get(partition)
            last_batch = span.last_batch
            if last_batch is None and before is not None and before.incarnation == span.incarnation:
                last_batch = before.last_batch
            self.positions[partition] = Position(span.incarnation, span.next, last_batch)
        self.next_sequence = entry.sequence + 1
        self.previous = sha256
        self.topic_id = entry.topic_id
        self.last = entry
        self._look_after(entry)

    def _look_after(self, entry: Entry) -> None:
        """Files: an entry other than a rebuild is created only when every file before it has been seen."""
        for hour, rows in entry.hours.items():
            self.hours[hour] = self.hours.get(hour, 0) + rows
        if entry.rebuilt is None:
            self.unseen = {file.key: (file,) for file in entry.files}
            return
        key = entry.rebuilt.key
        before = self.unseen.get(key, ())
        if before and before[-1].table == "rows":
            self.hours[before[-1].hour] -= before[-1].rows - sum(file.rows for file in entry.files)
        if entry.files:
            self.unseen[key] = (*before, *entry.files)
        else:
            self.unseen.pop(key, None)
