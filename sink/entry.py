"""The commit entry, what one commit of a lane says: takes the model, gives the bytes that are created once.

An entry is a JSON object (UTF-8, keys sorted, no spaces), below ENTRY_BYTES_MAX. Hashes are SHA-256 in hex,
times µs since 1970 UTC, ranges [first, next), hours "2026-11-23T10" UTC, Kafka partitions are keys in
decimal.

    format       1
    kind         origin · data · rebuild · gap · acknowledge
    topic, topic_id, lane, lanes, sequence
    previous     hash of the predecessor's bytes; null in an origin
    offsets      {Kafka partition: {incarnation, first, next, skipped: [[first, next, reason]],
                 last_batch: [base offset, leader epoch] or null}}; `first` is where the predecessor ended,
                 an origin says where each Kafka partition starts: first = next
    gaps         [{partition, incarnation, head, first, log: [first, next], reason}], in a gap entry: landed
                 up to head of the incarnation; reading goes on at first, of the next one (truncated,
                 recreated) or the same (lost); what Kafka's log held then. The range in `offsets` is empty,
                 [first, first), its last batch the one before first
    files        [{key, bytes, rows, sha256, table: rows · quarantine, hour, received_us_min, received_us_max,
                 offsets: {Kafka partition: [first, next, rows]}, upload_id, parts: [tag]}]
    hours        {hour: rows}, quarantine rows left out
    rows, quarantined, skipped      what the offsets became: their sum is that of next - first
    settings     {grace_us}: what placed the rows in their hours
    writer, created_us              information only

Keys: an entry `_headrace/commits/<topic>/<lane>/<sequence, 20 digits>.json`; a file
`<topic>/date=YYYY-MM-DD/hour=HH/<lane>-<sequence>-<attempt>.parquet`; the sink's quarantine rows of any topic
`headrace.quarantine/date=…/hour=…/<topic>-<lane>-<sequence>-<attempt>.parquet`.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final, Literal, TypeAlias

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from _native.record import TOPIC_QUARANTINE
from sink.errors import LogError
from sink.settings import MIB

FORMAT: Final = 1
ENTRY_BYTES_MAX: Final = 1 * MIB
SEQUENCE_DIGITS: Final = 20
BUILT: Final = ("origin", "data", "gap")  # the kinds that this version writes and understands

Kind: TypeAlias = Literal["origin", "data", "rebuild", "gap", "acknowledge"]
Table: TypeAlias = Literal["rows", "quarantine"]
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
        faults = list(self.faults())
        assert not faults, faults
        data = orjson.dumps(self.model_dump(), option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS)
        if len(data) >= ENTRY_BYTES_MAX:
            bound = f"{len(data)} bytes, the bound is {ENTRY_BYTES_MAX}"
            raise LogError("entry_too_large", f"{self.key}: {bound}")
        return data

    def faults(self) -> Iterator[str]:
        """What contradicts itself in this entry: everything that needs no other object."""
        yield from _range_faults(self)
        yield from _file_faults(self)
        yield from _gap_faults(self)
        covered = sum(span.next - span.first for span in self.offsets.values())
        landed = Counter[str]()
        hours = Counter[str]()
        for file in self.files:
            landed[file.table] += file.rows
            if file.table == "rows":
                hours[file.hour] += file.rows
        if covered != self.rows + self.quarantined + self.skipped:
            told = f"{self.rows} rows + {self.quarantined} quarantined + {self.skipped} skipped"
            yield f"{covered} offsets, but {told}"
        if (landed["rows"], landed["quarantine"]) != (self.rows, self.quarantined):
            told = f"{landed['rows']} rows and {landed['quarantine']} quarantined"
            yield f"files hold {told}, counted are {self.rows} and {self.quarantined}"
        if dict(hours) != dict(self.hours):
            yield f"files hold {dict(hours)} by hour, counted are {dict(self.hours)}"


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
    faults = list(entry.faults())
    if entry.key != key:
        faults.insert(0, f"says that it is {entry.key}")
    if faults:
        raise LogError("bad_entry", f"{key}: {'; '.join(faults)}")
    return entry


def hash_of(data: bytes) -> str:
    """SHA-256 in hex: what the next entry bears as `previous`."""
    return hashlib.sha256(data).hexdigest()


def log_folder(topic: str, lane: int) -> str:
    """The prefix of a lane's entries."""
    return f"_headrace/commits/{topic}/{lane}/"


def entry_key(topic: str, lane: int, sequence: int) -> str:
    """Where entry `sequence` of a lane stands."""
    return f"{log_folder(topic, lane)}{sequence:0{SEQUENCE_DIGITS}d}.json"


def file_key(topic: str, table: Table, hour: str, lane: int, sequence: int, attempt: str) -> str:
    """Where a file of entry `sequence` stands; `attempt` is random, so that no two uploads meet."""
    day, _, clock = hour.partition("T")
    root, name = (topic, "") if table == "rows" else (TOPIC_QUARANTINE, f"{topic}-")
    return f"{root}/date={day}/hour={clock}/{name}{lane}-{sequence}-{attempt}.parquet"


def hour_text(hour: int) -> str:
    """Hours since 1970 UTC as "2026-11-23T10"."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(hours=hour)
    return moment.isoformat(timespec="hours")[:13]


def _format_of(data: bytes) -> int:
    try:
        said = orjson.loads(data)
    except orjson.JSONDecodeError:
        return 0
    told = said.get("format") if isinstance(said, dict) else None
    return told if isinstance(told, int) else 0


def _range_faults(entry: Entry) -> Iterator[str]:
    skipped = 0
    for partition, span in entry.offsets.items():
        at = span.first
        if span.next < span.first or (entry.kind == "origin" and span.next != span.first):
            yield f"Kafka partition {partition}: range [{span.first}, {span.next})"
        if entry.lanes and partition % entry.lanes != entry.lane:
            yield f"Kafka partition {partition} is not of lane {entry.lane} of {entry.lanes}"
        for first, next_, _ in span.skipped:
            if not at <= first < next_ <= span.next:
                yield f"Kafka partition {partition}: skipped [{first}, {next_}) outside or out of order"
            at = next_
            skipped += next_ - first
        rows = sum(file.offsets.get(partition, (0, 0, 0))[2] for file in entry.files)
        gone = sum(next_ - first for first, next_, _ in span.skipped)
        if rows + gone != span.next - span.first:
            told = f"{span.next - span.first} offsets, {rows} rows + {gone} skipped"
            yield f"Kafka partition {partition}: {told}"
    if skipped != entry.skipped:
        yield f"ranges skip {skipped} offsets, counted are {entry.skipped}"
    if entry.lane >= entry.lanes:
        yield f"lane {entry.lane} of {entry.lanes}"
    if (entry.previous is None) != (entry.sequence == 0) or (entry.kind == "origin") != (entry.sequence == 0):
        yield f"sequence {entry.sequence} is {entry.kind} with predecessor {entry.previous}"


def _gap_faults(entry: Entry) -> Iterator[str]:
    if bool(entry.gaps) != (entry.kind == "gap"):
        yield f"{len(entry.gaps)} gaps in an entry of kind {entry.kind}"
        return
    spans = {gap.partition: (gap.next_incarnation, gap.first, gap.first) for gap in entry.gaps}
    told = {at: (span.incarnation, span.first, span.next) for at, span in entry.offsets.items()}
    if entry.gaps and (spans != told or len(spans) != len(entry.gaps)):
        yield f"the gaps lead to {spans}, the ranges are {told}"
    for gap in entry.gaps:
        if gap.reason == "lost" and gap.first <= gap.head:
            yield f"Kafka partition {gap.partition}: offsets [{gap.head}, {gap.first}) are no gap"


def _file_faults(entry: Entry) -> Iterator[str]:
    for file in entry.files:
        attempt = file.key.rpartition("-")[2].removesuffix(".parquet")
        expected = file_key(entry.topic, file.table, file.hour, entry.lane, entry.sequence, attempt)
        if file.key != expected:
            yield f"file {file.key}, expected {expected}"
        if file.rows != sum(rows for _, _, rows in file.offsets.values()) or not file.rows:
            yield f"file {file.key}: {file.rows} rows, but {file.offsets}"
        for partition, (first, next_, rows) in file.offsets.items():
            span = entry.offsets.get(partition)
            if span is None or not span.first <= first < next_ <= span.next or rows > next_ - first:
                told = f"[{first}, {next_}) of Kafka partition {partition}"
                yield f"file {file.key}: offsets {told} are not the entry's"
    if len({file.key for file in entry.files}) != len(entry.files):
        yield "a file is named twice"
