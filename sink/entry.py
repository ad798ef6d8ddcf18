"""The commit entry, what one commit of a lane says: takes the model, gives the bytes that are created once.

An entry is a JSON object (UTF-8, keys sorted, no spaces), below ENTRY_BYTES_MAX. Hashes are SHA-256 in hex,
times µs since 1970 UTC, ranges [first, next), hours "2026-11-23T10" UTC, Kafka partitions are keys in
decimal.

    format       1
    kind         origin · data · rebuild · gap · acknowledge
    topic, topic_id, lane, lanes, sequence
    previous     hash of the predecessor's bytes; null in an origin
    offsets      {Kafka partition: {incarnation, first, next, skipped: [[first, next, reason]],
                 last_batch: [base offset, leader epoch] or null, epochs: [[leader epoch, first offset]]}};
                 `first` is where the predecessor ended, an origin says where each Kafka partition starts:
                 first = next; `epochs` are those that begin in the range
    gaps         [{partition, incarnation, head, first, log: [first, next], reason}], in a gap entry: landed
                 up to head of the incarnation; reading goes on at first, of the next one (truncated,
                 recreated) or the same (lost); what Kafka's log held then. The range in `offsets` is empty,
                 [first, first), its last batch the one before first
    rebuilt      {key, sequence, lost: [[Kafka partition, first, next]]} in a rebuild entry, else null: the
                 lost file of that entry, and its rows that Kafka no longer has. `files` has the one that was
                 written again at its key, or none where all are lost; the entry covers no offsets
    files        [{key, bytes, rows, sha256, table: rows · quarantine, hour, received_us_min, received_us_max,
                 offsets: {Kafka partition: [first, next, rows]}, upload_id, parts: [tag]}]
    hours        {hour: rows}, quarantine rows left out
    rows, quarantined, skipped      what the offsets became: their sum is that of next - first
    settings     {grace_us}: what placed the rows in their hours
    writer, created_us              information only

What must hold within an entry is said by `sink.entry_faults`, where it and its files stand by `sink.keys`.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, Final, Literal, TypeAlias

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sink.entry_faults import faults
from sink.errors import LogError
from sink.keys import Table, entry_key
from sink.settings import MIB

FORMAT: Final = 1
ENTRY_BYTES_MAX: Final = 1 * MIB
BUILT: Final = ("origin", "data", "rebuild", "gap")  # the kinds that this version writes and understands

Kind: TypeAlias = Literal["origin", "data", "rebuild", "gap", "acknowledge"]
Count = Annotated[int, Field(ge=0, lt=1 << 63)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Hour = Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d$")]


class Part(BaseModel):
    """A piece of an entry: nothing unknown, nothing converted, never changed."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class OffsetRange(Part):
    """What the entry covers of one Kafka partition."""

    incarnation: Count
    first: Count
    next: Count
    skipped: tuple[tuple[Count, Count, str], ...] = ()
    last_batch: tuple[Count, int] | None = None
    epochs: tuple[tuple[int, Count], ...] = ()


class Gap(Part):
    """Where Kafka's log was found to be another than the one landed, or to have lost what was not."""

    partition: Count
    incarnation: Count
    head: Count
    first: Count
    log: tuple[Count, Count]
    reason: Literal["truncated", "recreated", "lost"]

    @property
    def next_incarnation(self) -> int:
        """In which reading goes on."""
        return self.incarnation + (self.reason != "lost")


class LandedFile(Part):
    """A file that the entry makes visible, with all that its completion needs."""

    key: str
    bytes: Count
    rows: Count
    sha256: Sha256
    table: Table
    hour: Hour
    received_us_min: int
    received_us_max: int
    offsets: dict[int, tuple[Count, Count, Count]]
    upload_id: str
    parts: tuple[str, ...] = ()


class Rebuilt(Part):
    """A committed file that was lost before it could be seen, and what became of its rows."""

    key: str
    sequence: Count
    lost: tuple[tuple[Count, Count, Count], ...] = ()


class PlacedBy(Part):
    """The settings that placed rows in hours."""

    grace_us: Count


class Entry(Part):
    """One entry of a lane's commit log."""

    format: Literal[1] = FORMAT
    kind: Kind
    topic: str
    topic_id: str
    lane: Count
    lanes: Count
    sequence: Count
    previous: Sha256 | None
    offsets: dict[int, OffsetRange]
    gaps: tuple[Gap, ...] = ()
    rebuilt: Rebuilt | None = None
    files: tuple[LandedFile, ...] = ()
    hours: dict[Hour, Count] = {}
    rows: Count = 0
    quarantined: Count = 0
    skipped: Count = 0
    settings: PlacedBy
    writer: str
    created_us: int

    @property
    def key(self) -> str:
        """Where it is created."""
        return entry_key(self.topic, self.lane, self.sequence)

    def to_bytes(self) -> bytes:
        """The bytes of the entry, the same for the same content. LogError above ENTRY_BYTES_MAX."""
        found = list(faults(self))
        assert not found, found
        data = orjson.dumps(self.model_dump(), option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS)
        if len(data) >= ENTRY_BYTES_MAX:
            bound = f"{len(data)} bytes, the bound is {ENTRY_BYTES_MAX}"
            raise LogError("entry_too_large", f"{self.key}: {bound}")
        return data


def parse_entry(data: bytes, key: str) -> Entry:
    """The entry in `data`, read at `key`. LogError where it is none, or contradicts itself or its key."""
    try:
        entry = Entry.model_validate_json(data)
    except ValidationError as error:
        if _format_of(data) > FORMAT:
            raise LogError(
                "lake_newer", f"{key}: format above {FORMAT}, written by a newer version"
            ) from error
        first = error.errors(include_input=False)[0]
        place = ".".join(str(name) for name in first["loc"])
        raise LogError("bad_entry", f"{key}: not a commit entry: {place}: {first['msg']}") from error
    if entry.kind not in BUILT:
        known = ", ".join(BUILT)
        raise LogError("lake_newer", f"{key}: kind {entry.kind}, this version knows {known}")
    found = list(faults(entry))
    if entry.key != key:
        found.insert(0, f"says that it is {entry.key}")
    if found:
        raise LogError("bad_entry", f"{key}: {'; '.join(found)}")
    return entry


def hash_of(data: bytes) -> str:
    """SHA-256 in hex: what the next entry bears as `previous`."""
    return hashlib.sha256(data).hexdigest()


def _format_of(data: bytes) -> int:
    try:
        said = orjson.loads(data)
    except orjson.JSONDecodeError:
        return 0
    told = said.get("format") if isinstance(said, dict) else None
    return told if isinstance(told, int) else 0
