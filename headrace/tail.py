"""`headrace tail`: takes records as Kafka has them, gives a line per event: what was understood, the verdict.

It reads beside the sink, in no group, and writes nothing. A record that no collector wrote is shown as such.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal

import orjson
from aiokafka import ConsumerRecord, TopicPartition
from rich.console import Console
from rich.text import Text

from _native.record import TOPIC_AUDIT, TOPIC_QUARANTINE, Flags
from headrace.errors import HeadraceError
from headrace.kafka_reader import existing_topics, reader, spans, topics_of

POLL_MS: Final = 500
REASON_COLUMNS: Final = 24
RECORDS_MAX: Final = 2000  # of one poll

WORDS: Final[dict[Flags, str]] = {  # what a person should notice; the others are usual
    Flags.ID_MADE: "no id",
    Flags.TYPE_MISSING: "no type",
    Flags.TIME_SUSPECT: "clock may be wrong",
    Flags.TIME_UNREADABLE: "time not readable",
    Flags.FIELD_CUT: "long field cut",
    Flags.CONVERTED: "made from query or form",
    Flags.REPAIRED: "text repaired",
    Flags.REDACTED: "redacted",
    Flags.REPEAT: "seen before",
    Flags.REDRIVEN: "re-driven",
    Flags.RETRY: "retry",
}


@dataclass(frozen=True, slots=True)
class Seen:
    """One record as it was understood; names as in the landed table (docs/TABLE.md). Times in µs, UTC."""

    verdict: Literal["accepted", "quarantined", "foreign"]
    reason: str | None
    topic: str
    kafka_partition: int
    kafka_offset: int
    received_us: int
    event_id: str | None
    event_type: str | None
    event_name: str | None
    source: str | None
    dialect: str | None
    user_id: str | None
    anonymous_id: str | None
    event_time: str | None
    ack: str | None
    flags: tuple[str, ...]
    payload_size: int
    notes: tuple[str, ...]


def understand(record: ConsumerRecord[bytes | None, bytes | None]) -> Seen:
    """What a record says. Never raises, whoever wrote it."""
    headers = {str(name): bytes(value or b"") for name, value in record.headers}
    flags = Flags(int.from_bytes(headers.get("hr_flags", b"")[-4:]) & 0xFFFFFFFF)
    foreign = "hr_seq" not in headers or "hr_source" not in headers
    reason = _text(headers, "hr_reason") if record.topic == TOPIC_QUARANTINE else None
    key = record.key.decode("utf-8", "replace") if record.key else None
    time = headers.get("hr_time", b"")
    return Seen(
        verdict="foreign" if foreign else "quarantined" if reason is not None else "accepted",
        reason="not written by a collector: the sink puts it into the quarantine" if foreign else reason,
        topic=record.topic,
        kafka_partition=record.partition,
        kafka_offset=record.offset,
        received_us=int.from_bytes(time, signed=True) if len(time) == 8 else record.timestamp * 1000,
        event_id=_text(headers, "ce_id"),
        event_type=None if flags & Flags.TYPE_MISSING else _text(headers, "ce_type"),
        event_name=_text(headers, "hr_name"),
        source=_text(headers, "hr_source"),
        dialect=_text(headers, "hr_dialect"),
        user_id=key if flags & Flags.KEY_IS_USER else _text(headers, "hr_user"),
        anonymous_id=key if flags & Flags.KEY_IS_ANON else _text(headers, "hr_anon"),
        event_time=_text(headers, "ce_time"),
        ack=_text(headers, "hr_ack"),
        flags=tuple(flag.name for flag in flags if flag.name),
        payload_size=len(record.value or b""),
        notes=tuple(word for flag, word in WORDS.items() if flags & flag),
    )


async def follow(
    options: Mapping[str, Any], topics: Sequence[str] | None, last: int
) -> AsyncIterator[tuple[Seen, bytes]]:
    """Records from now on, with their values, those of one poll in order of receive time. Does not end.

    `topics`: None for all but Kafka's own and the tallies. `last`: that many of the newest that are there
    already, first. HeadraceError: Kafka does not answer, or has none of the topics.
    """
    async with reader(options) as consumer:
        names = await existing_topics(consumer) - {TOPIC_AUDIT} if topics is None else topics
        held = await spans(consumer, await topics_of(options, names))
        places = {
            TopicPartition(topic, number): span
            for topic, numbers in held.items()
            for number, span in numbers.items()
        }
        if not places:
            wanted = ", ".join(topics or ()) or "of events"
            raise HeadraceError(
                "topic_missing", f"Kafka has no topic {wanted} yet: a collector makes it at its start"
            )
        consumer.assign(list(places))
        for place, (first, end) in places.items():
            consumer.seek(place, max(first, end - last))
        missing = sum(end - max(first, end - last) for first, end in places.values())
        waiting: list[tuple[Seen, bytes]] = []
        while True:
            found = await consumer.getmany(timeout_ms=POLL_MS, max_records=RECORDS_MAX)
            waiting += [(understand(one), one.value or b"") for some in found.values() for one in some]
            missing -= sum(len(some) for some in found.values())
            if found and missing > 0:
                continue  # the newest of all Kafka partitions are known only when all are there
            waiting.sort(key=lambda one: one[0].received_us)
            for one in waiting[-last:] if last else waiting:
                yield one
            waiting, last = [], 0


def as_json(seen: Seen, payload: bytes | None) -> str:
    """The event as one line; `payload` only where it is given, as text."""
    told = asdict(seen)
    told["received_at"] = _moment(told.pop("received_us")).isoformat(timespec="microseconds")
    if payload is not None:
        told["payload"] = payload.decode("utf-8", "replace")
    return orjson.dumps(told).decode()


def line(seen: Seen) -> Text:
    """The event as a person reads it."""
    mark, style = {"accepted": ("✓", "green"), "quarantined": ("✗", "red"), "foreign": ("?", "yellow")}[
        seen.verdict
    ]
    text = Text(f"{mark} ", style=style)
    text.append(f"{_moment(seen.received_us):%H:%M:%S} ", style="dim")
    text.append(_cell(seen.source, 10) + " ", style="cyan")
    text.append(_cell(seen.dialect, 11) + " ", style="dim")
    what = " ".join(word for word in (seen.event_type, seen.event_name) if word)
    known = seen.event_id if Flags.ID_MADE.name not in seen.flags else None
    text.append(_cell(what or known, 28) + " ", style="bold")
    text.append(_cell(seen.user_id or seen.anonymous_id, 11) + " ")
    text.append(f"{_size(seen.payload_size):>7}  ", style="dim")
    if seen.verdict == "quarantined":
        text.append(_cell((seen.reason or "").replace("_", " "), REASON_COLUMNS), style="red")
    elif seen.verdict == "foreign":
        text.append(
            f"{seen.topic} {seen.kafka_partition}/{seen.kafka_offset}: {seen.reason} ", style="yellow"
        )
    if seen.verdict == "accepted":
        text.append(", ".join(seen.notes), style="yellow")
    text.rstrip()
    return text


async def show(
    options: Mapping[str, Any],
    topics: Sequence[str] | None,
    console: Console,
    *,
    source: str | None,
    last: int,
    json: bool,
    payload: bool,
) -> None:
    """Print until Ctrl-C. HeadraceError: Kafka does not answer."""
    async for seen, value in follow(options, topics, last):
        if source is not None and seen.source != source:
            continue
        if json:
            sys.stdout.write(as_json(seen, value if payload else None) + "\n")
            sys.stdout.flush()
            continue
        console.print(line(seen), soft_wrap=True)
        if payload:
            console.print(value.decode("utf-8", "replace"), style="dim", soft_wrap=True, markup=False)


def _text(headers: Mapping[str, bytes], name: str) -> str | None:
    value = headers.get(name)
    return None if value is None else value.decode("utf-8", "replace")


def _cell(text: str | None, width: int) -> str:
    """Exactly `width` characters, without what would move the terminal's cursor."""
    shown = "".join(sign if sign.isprintable() else "·" for sign in text or "-")
    return f"{shown[: width - 1]}…" if len(shown) > width else f"{shown:<{width}}"


def _size(count: int) -> str:
    return f"{count} B" if count < 10_000 else f"{count / 1024:.1f} kB"


def _moment(us: int) -> datetime:
    """In UTC; what no calendar has becomes its beginning."""
    try:
        return datetime.fromtimestamp(us / 1_000_000, UTC)
    except (ValueError, OverflowError, OSError):
        return datetime.fromtimestamp(0, UTC)
