"""Inside verify: takes a visible file and the entry that names it, gives what contradicts.

The footer of each file is read always (rows, offsets, topic, lane, sequence: so a file in another's place
is found); its bytes and rows only when asked for.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from sink.entry import Entry, LandedFile, OffsetRange
from sink.store import Store

TAIL_BYTES: Final = 64 << 10  # holds the footer of most files
MAGIC: Final = b"PAR1"
IDENTITY: Final = ("kafka_incarnation", "kafka_partition", "kafka_offset")


@dataclass(slots=True)
class RowFaults:
    """What the rows of one entry's files contradict; `overlaps`: offsets that stand in more than one row."""

    problems: list[str]
    overlaps: int = 0


async def footer_faults(store: Store, entry: Entry, file: LandedFile) -> list[str]:
    """What the file's own footer says that the entry does not. Suspends for one or two reads."""
    tail = await store.read_tail(file.key, TAIL_BYTES)
    needed = _footer_bytes(tail)
    if tail is not None and TAIL_BYTES < needed <= file.bytes:
        tail = await store.read_tail(file.key, needed)
    if tail is None or not 12 <= needed <= len(tail):
        return [f"{file.key}: not a Parquet file"]
    try:
        said = pq.read_metadata(pa.BufferReader(tail))
    except (pa.ArrowException, OSError) as error:
        return [f"{file.key}: its footer can't be read: {error}"]
    faults = _footer_faults(entry, file, said.num_rows, said.metadata or {})
    return [f"{file.key}: {fault}" for fault in faults]


def _footer_bytes(tail: bytes | None) -> int:
    """Bytes of the footer at the end of the file; 0 where there is none (Apache Parquet, File format)."""
    if tail is None or len(tail) < 12 or tail[-4:] != MAGIC:
        return 0
    return int.from_bytes(tail[-8:-4], "little") + 8


def _footer_faults(
    entry: Entry, file: LandedFile, rows: int, metadata: Mapping[bytes, bytes]
) -> Iterator[str]:
    if rows != file.rows:
        yield f"holds {rows} rows, the entry says {file.rows}"
    place = {"topic": entry.topic, "lane": str(entry.lane), "sequence": str(entry.sequence)}
    told = {name: metadata.get(f"headrace.{name}".encode(), b"").decode("utf-8", "replace") for name in place}
    if told != place:
        yield f"was written for {told}, the entry says {place}"
    try:
        offsets = orjson.loads(metadata.get(b"headrace.offsets", b""))
    except orjson.JSONDecodeError:
        offsets = None
    expected = {str(partition): list(span) for partition, span in file.offsets.items()}
    if offsets != expected:
        yield f"holds offsets {offsets}, the entry says {expected}"


async def row_faults(store: Store, entry: Entry, files: Sequence[LandedFile], *, whole: bool) -> RowFaults:
    """Read every row of an entry's files: checksums, and each offset of its ranges exactly once. Suspends.

    Not `whole`: rows are known to be lost, so that a missing one is no fault here.
    """
    found = RowFaults([])
    tables = []
    for file in files:
        data = await store.read(file.key)
        if data is None:
            found.problems.append(f"{file.key}: was there and is gone")
            continue
        if hashlib.sha256(data).hexdigest() != file.sha256:
            found.problems.append(f"{file.key}: its SHA-256 is not the one that the entry names")
        try:
            tables.append(await asyncio.to_thread(_identities, data))
        except (pa.ArrowException, OSError, KeyError) as error:
            found.problems.append(f"{file.key}: its rows can't be read: {error}")
    if tables:
        whole = whole and len(tables) == len(entry.files)  # what is missing was told with its file
        await asyncio.to_thread(_cover, entry, pa.concat_tables(tables), found, whole)
    return found


def _identities(data: bytes) -> pa.Table:
    return pq.read_table(pa.BufferReader(data), columns=list(IDENTITY)).select(list(IDENTITY))


def _cover(entry: Entry, rows: pa.Table, found: RowFaults, whole: bool) -> None:
    strange = set(pc.unique(rows["kafka_partition"]).to_pylist()) - set(entry.offsets)
    if strange:
        found.problems.append(f"{entry.key}: its files hold rows of Kafka partitions {sorted(strange)}")
    for partition, span in entry.offsets.items():
        mine = rows.filter(pc.equal(rows["kafka_partition"], partition))
        offsets = mine["kafka_offset"]
        repeated = len(offsets) - pc.count_distinct(offsets).as_py()
        found.overlaps += repeated
        for fault in _span_faults(span, mine, repeated, whole):
            found.problems.append(f"{entry.key}: Kafka partition {partition}: {fault}")


def _span_faults(span: OffsetRange, rows: pa.Table, repeated: int, whole: bool) -> Iterator[str]:
    offsets = rows["kafka_offset"]
    if repeated:
        yield f"{repeated} rows with an offset that another row has"
    if set(pc.unique(rows["kafka_incarnation"]).to_pylist()) - {span.incarnation}:
        yield f"rows of another incarnation than {span.incarnation}"
    inside = pc.and_(pc.greater_equal(offsets, span.first), pc.less(offsets, span.next))
    for first, next_, _ in span.skipped:
        skipped = pc.and_(pc.greater_equal(offsets, first), pc.less(offsets, next_))
        inside = pc.and_not(inside, skipped)
    outside = len(offsets) - (pc.sum(inside).as_py() or 0)
    if outside:
        yield f"{outside} rows with an offset outside [{span.first}, {span.next}) or skipped"
    gone = sum(next_ - first for first, next_, _ in span.skipped)
    missing = span.next - span.first - gone - (len(offsets) - repeated - outside)
    if missing > 0 and whole:
        yield f"{missing} offsets of [{span.first}, {span.next}) are in no row"
