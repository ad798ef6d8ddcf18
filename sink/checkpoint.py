"""A shorter way to a lane's head: takes where it stands behind an entry, gives the object that says so.

    format           1
    topic, lane, sequence, sha256     the entry, and the hash of its bytes
    topic_id, positions {Kafka partition: [incarnation, next, last batch or null]}, unseen {key: [file]},
    hours {hour: rows}                as in sink.log_head

Created once behind every ENTRIES entries, the same bytes whoever makes it, as it follows from the log alone.
It only shortens start-up: it may be deleted, and one that does not fit its entry is passed over (PROTOCOL 8).
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

import orjson
from pydantic import Field, ValidationError

from sink.entry import Count, Entry, Hour, LandedFile, Part, Sha256
from sink.keys import checkpoint_key
from sink.log_head import LogHead, Position

ENTRIES: Final = 256  # between two checkpoints: about what is read when a lane is taken

Place = Annotated[
    tuple[Count, Count, tuple[Count, int] | None], Field(description="incarnation, next, last batch")
]


class Checkpoint(Part):
    """Where a lane stands behind one entry."""

    format: Literal[1] = 1
    topic: str
    lane: Count
    sequence: Count
    sha256: Sha256
    topic_id: str
    positions: dict[int, Place]
    unseen: dict[str, tuple[LandedFile, ...]]
    hours: dict[Hour, Count]

    @property
    def key(self) -> str:
        """Where it is created."""
        return checkpoint_key(self.topic, self.lane, self.sequence)

    def to_bytes(self) -> bytes:
        """The same for the same log."""
        return orjson.dumps(self.model_dump(), option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS)

    def to_head(self, entry: Entry) -> LogHead:
        """The head behind its entry, which was read."""
        return LogHead(
            next_sequence=self.sequence + 1,
            previous=self.sha256,
            topic_id=self.topic_id,
            positions={at: Position(*place) for at, place in self.positions.items()},
            last=entry,
            unseen=dict(self.unseen),
            hours=dict(self.hours),
        )


def checkpoint_of(head: LogHead) -> Checkpoint:
    """Of a head that stands behind an entry."""
    assert head.last is not None
    assert head.previous is not None
    return Checkpoint(
        topic=head.last.topic,
        lane=head.last.lane,
        sequence=head.last.sequence,
        sha256=head.previous,
        topic_id=head.last.topic_id,
        positions={at: (one.incarnation, one.next, one.last_batch) for at, one in head.positions.items()},
        unseen=head.unseen,
        hours=head.hours,
    )


def parse_checkpoint(data: bytes, key: str) -> Checkpoint | None:
    """The checkpoint in `data`, read at `key`; None where it is none that this version knows."""
    try:
        found = Checkpoint.model_validate_json(data)
    except ValidationError:
        return None
    return found if found.key == key else None
