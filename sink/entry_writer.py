"""Between generation and commit log: takes a lane's head and what is to be said, gives the next entry."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sink.entry import Entry, Gap, Kind, LandedFile, PlacedBy, Rebuilt
from sink.generation import Generation
from sink.keys import hour_text
from sink.log_head import LogHead


class EntryWriter:
    """Entries of one lane, as this process writes them."""

    def __init__(
        self, topic: str, lane: int, lanes: int, *, grace_us: int, writer: str, now_us: Callable[[], int]
    ) -> None:
        """`writer` names this process for people."""
        self._topic = topic
        self._lane = lane
        self._lanes = lanes
        self._placed_by = PlacedBy(grace_us=grace_us)
        self._writer = writer
        self._now_us = now_us

    def write(
        self,
        kind: Kind,
        head: LogHead,
        topic_id: str,
        generation: Generation,
        *,
        files: Sequence[LandedFile] = (),
        gaps: Sequence[Gap] = (),
        rebuilt: Rebuilt | None = None,
    ) -> Entry:
        """The entry that continues `head`; ranges and counts are those of the generation."""
        return Entry(
            kind=kind,
            topic=self._topic,
            topic_id=topic_id,
            lane=self._lane,
            lanes=self._lanes,
            sequence=head.next_sequence,
            previous=head.previous,
            offsets={at: span.to_range() for at, span in generation.spans.items()},
            gaps=tuple(gaps),
            rebuilt=rebuilt,
            files=tuple(files),
            hours={hour_text(hour): rows for hour, rows in generation.hours.items()},
            rows=generation.rows,
            quarantined=generation.quarantined,
            skipped=generation.skipped,
            settings=self._placed_by,
            writer=self._writer,
            created_us=self._now_us(),
        )
