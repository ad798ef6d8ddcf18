"""`headrace verify`: takes a lake, and Kafka where it is named, gives the proof or the list of what is wrong.

sink.verify proves files against commit logs; here is what Kafka says of it, and how it is told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Final

import orjson
from rich.console import Console
from rich.table import Table

from headrace.kafka_client import client_options
from headrace.kafka_reader import Held, reader, spans, topics_of
from headrace.settings import KafkaSettings
from sink.commit_log import TOPICS, CommitLog, lanes_of
from sink.errors import LogError, SinkError
from sink.log_head import LogHead
from sink.settings import LakeSettings
from sink.store import Store, open_store
from sink.verify import Report, verify

SHOWN_MAX: Final = 50  # problems on a terminal; --json has them all


@dataclass(slots=True)
class Proof:
    """What was proved; `lag` by topic: records that Kafka has and the lake not yet, where Kafka was asked."""

    report: Report
    deep: bool
    seconds: float = 0.0
    lag: dict[str, int] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The document of `verify --json`; `lag` only where Kafka was asked."""
        told: dict[str, Any] = self.report.as_json()
        for topic, records in self.lag.items():
            told["topics"].setdefault(topic, {})["lag"] = records
        return told


async def prove(
    lake: LakeSettings, kafka: KafkaSettings | None, topics: Sequence[str] | None, *, deep: bool, repair: bool
) -> Proof:
    """Prove the lake; against Kafka too where it is given. Suspends.

    The lake is read first: Kafka's end only grows, so a sink that lands meanwhile is no false alarm.
    SinkError: the store can't be read. HeadraceError: Kafka can't.
    """
    began = monotonic()
    store = open_store(lake)
    try:
        proof = Proof(await verify(store, topics, deep=deep, repair=repair), deep)
        if kafka is not None:
            await _against_kafka(proof, await _heads(store, topics), kafka)
    finally:
        await store.close()
    proof.seconds = monotonic() - began
    return proof


async def _heads(store: Store, topics: Sequence[str] | None) -> dict[str, list[LogHead]]:
    """Where each lane of each topic stands; a log that can't be followed is told by `verify` already."""
    heads: dict[str, list[LogHead]] = {}
    async for listed in store.list(TOPICS):
        topic = listed.key.removeprefix(TOPICS).removesuffix(".json")
        if topics is not None and topic not in topics:
            continue
        try:
            lanes = lanes_of(await store.read(listed.key) or b"", listed.key)
            heads[topic] = [await CommitLog(store, topic, lane).read() for lane in range(lanes)]
        except LogError:
            continue
    return heads


async def _against_kafka(proof: Proof, heads: dict[str, list[LogHead]], kafka: KafkaSettings) -> None:
    options = client_options(kafka)
    topics = await topics_of(options, heads)
    async with reader(options) as consumer:
        held = await spans(consumer, topics)
    for topic, lanes in heads.items():
        known = topics.get(topic)
        problems, lag = compare(topic, lanes, known.id if known else None, held.get(topic, {}))
        proof.report.problems += problems
        proof.lag[topic] = lag


def compare(topic: str, lanes: Sequence[LogHead], topic_id: str | None, held: Held) -> tuple[list[str], int]:
    """Problems, and the lag in records, of a topic; `held`: what Kafka has of it."""
    if topic_id is None:
        return [f"{topic}: Kafka has no such topic"], 0
    landed = {head.topic_id for head in lanes if head.topic_id is not None}
    if landed - {topic_id}:
        told = f"landed with id {', '.join(sorted(landed - {topic_id}))}, Kafka's has {topic_id}"
        return [f"{topic}: {told}: it was deleted and made again, or this is another Kafka"], 0
    problems: list[str] = []
    lag = 0
    positions = {number: place.next for head in lanes for number, place in head.positions.items()}
    for number, (first, end) in held.items():
        at = positions.pop(number, None)
        where = f"{topic}: Kafka partition {number}"
        lag += max(0, end - max(first, at or 0))
        if at is not None and at > end:
            problems.append(
                f"{where}: landed up to offset {at}, but Kafka ends at {end}: its log was truncated"
            )
        elif at is not None and at < first:
            problems.append(f"{where}: offsets [{at}, {first}) were deleted by Kafka before they were landed")
    for number in sorted(positions):
        problems.append(f"{topic}: Kafka partition {number} was landed, but Kafka has none of that number")
    return problems, lag


def broken(error: SinkError) -> bytes:
    """The document of `--json` where nothing could be proved because the lake can't be read."""
    return orjson.dumps({"proved": False, "topics": {}, "problems": [str(error)]}, option=orjson.OPT_INDENT_2)


def show(proof: Proof, lake: LakeSettings, console: Console) -> None:
    """The proof in a terminal."""
    table = Table("topic", title=f"{lake.url}", title_justify="left")
    columns = ("records", "rows", "files", "gaps", "overlaps", *(("lag",) if proof.lag else ()))
    for name in columns:
        table.add_column(name, justify="right")
    for topic, counted in sorted(proof.report.topics.items()):
        cells = [f"{getattr(counted, name):,}" for name in columns if name != "lag"]
        table.add_row(topic, *cells, *([f"{proof.lag.get(topic, 0):,}"] if proof.lag else ()))
    if proof.report.topics:
        console.print(table)
    problems = proof.report.problems
    for problem in problems[:SHOWN_MAX]:
        console.print(f"[red]✗[/red] {problem}", highlight=False, soft_wrap=True)
    if len(problems) > SHOWN_MAX:
        console.print(f"  and {len(problems) - SHOWN_MAX:,} more; --json has them")
    if proof.report.proved:
        told = (
            "every offset from origin to head is in exactly one visible row, quarantine row or skipped range"
        )
        how = "every row was read" if proof.deep else "by the footers of the files; --deep reads every row"
        console.print(f"[green]✓ Proved[/green] in {proof.seconds:.1f} s: {told} ({how}).", highlight=False)
    else:
        count = f"{len(problems):,} problem{'s' if len(problems) > 1 else ''}"
        console.print(f"[red]✗ Not proved[/red]: {count}.", highlight=False)
