"""Inside the commit entry: takes one, gives what contradicts itself in it, all that needs no other object."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from sink.keys import file_key

if TYPE_CHECKING:
    from sink.entry import Entry, LandedFile


def faults(entry: Entry) -> Iterator[str]:
    """What contradicts itself in this entry."""
    yield from _place_faults(entry)
    yield from _gap_faults(entry)
    if (entry.rebuilt is not None) != (entry.kind == "rebuild"):
        yield f"an entry of kind {entry.kind} that has rebuilt {entry.rebuilt}"
    elif entry.rebuilt is not None:
        yield from _rebuild_faults(entry)
    else:
        yield from _range_faults(entry)
        yield from _file_faults(entry)
        yield from _sum_faults(entry)


def _place_faults(entry: Entry) -> Iterator[str]:
    if entry.lane >= entry.lanes:
        yield f"lane {entry.lane} of {entry.lanes}"
    if (entry.previous is None) != (entry.sequence == 0) or (entry.kind == "origin") != (entry.sequence == 0):
        yield f"sequence {entry.sequence} is {entry.kind} with predecessor {entry.previous}"


def _sum_faults(entry: Entry) -> Iterator[str]:
    covered = sum(span.next - span.first for span in entry.offsets.values())
    landed = Counter[str]()
    hours = Counter[str]()
    for file in entry.files:
        landed[file.table] += file.rows
        if file.table == "rows":
            hours[file.hour] += file.rows
    if covered != entry.rows + entry.quarantined + entry.skipped:
        told = f"{entry.rows} rows + {entry.quarantined} quarantined + {entry.skipped} skipped"
        yield f"{covered} offsets, but {told}"
    if (landed["rows"], landed["quarantine"]) != (entry.rows, entry.quarantined):
        told = f"{landed['rows']} rows and {landed['quarantine']} quarantined"
        yield f"files hold {told}, counted are {entry.rows} and {entry.quarantined}"
    if dict(hours) != dict(entry.hours):
        yield f"files hold {dict(hours)} by hour, counted are {dict(entry.hours)}"


def _rebuild_faults(entry: Entry) -> Iterator[str]:
    """It covers nothing, and names the lost file of an earlier entry of its lane."""
    assert entry.rebuilt is not None
    if entry.offsets or entry.rows or entry.quarantined or entry.skipped or entry.hours:
        yield "a rebuild entry covers no offsets, its rows were counted before"
    if entry.rebuilt.sequence >= entry.sequence:
        yield f"rebuilds a file of entry {entry.rebuilt.sequence}, which does not stand before it"
    if len(entry.files) > 1 or any(file.key != entry.rebuilt.key for file in entry.files):
        yield f"files {[file.key for file in entry.files]}, expected {entry.rebuilt.key} or none"
    if not entry.files and not entry.rebuilt.lost:
        yield f"{entry.rebuilt.key}: no file, and nothing lost"
    for file in entry.files:
        if file.key != _key_of(entry, file, entry.rebuilt.sequence):
            yield f"file {file.key} is none of entry {entry.rebuilt.sequence}"
        yield from _count_faults(file)


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
        expected = _key_of(entry, file, entry.sequence)
        if file.key != expected:
            yield f"file {file.key}, expected {expected}"
        yield from _count_faults(file)
        for partition, (first, next_, rows) in file.offsets.items():
            span = entry.offsets.get(partition)
            if span is None or not span.first <= first < next_ <= span.next or rows > next_ - first:
                told = f"[{first}, {next_}) of Kafka partition {partition}"
                yield f"file {file.key}: offsets {told} are not the entry's"
    if len({file.key for file in entry.files}) != len(entry.files):
        yield "a file is named twice"


def _count_faults(file: LandedFile) -> Iterator[str]:
    if file.rows != sum(rows for _, _, rows in file.offsets.values()) or not file.rows:
        yield f"file {file.key}: {file.rows} rows, but {file.offsets}"


def _key_of(entry: Entry, file: LandedFile, sequence: int) -> str:
    """Where a file of the entry with this sequence stands; its attempt is its own."""
    attempt = file.key.rpartition("-")[2].removesuffix(".parquet")
    return file_key(entry.topic, file.table, file.hour, entry.lane, sequence, attempt)
