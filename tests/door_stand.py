"""A door on loopback rounds: what a request is answered, and the rows that its records would land as."""

from __future__ import annotations

import asyncio
import base64
import struct
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from _native.batch import RecordBatch
from _native.columns import ColumnBuffers, Decoder
from _native.record import TOPIC_QUARANTINE
from ingest.dialects import Dialect
from ingest.door import Answer, Door, Incoming
from ingest.errors import ProduceError, Refusal
from ingest.settings import (
    CollectorSettings,
    IngestSettings,
    LimitSettings,
    ProduceSettings,
    SourceSettings,
    SpoolSettings,
)
from sink.table import wrap

NOW_US = 1_795_402_200_000_000  # 2026-11-23T02:50:00Z, near the clock of the captures
BOOT = bytes(range(8))
PARTITIONS = 4
BATCH_BYTES = 1 << 20


class LoopbackTopic:
    """Batches of one topic; a full one is kept for reading."""

    partitions = PARTITIONS

    def __init__(self) -> None:
        self.batches: dict[int, list[RecordBatch]] = {}

    def open(self, partition: int, size: int) -> RecordBatch:
        mine = self.batches.setdefault(partition, [])
        if not mine or mine[-1].closed() or mine[-1].size() + size > mine[-1].bytes_max:
            mine.append(RecordBatch("none", max(BATCH_BYTES, size + 128)))
        return mine[-1]


class LoopbackRounds:
    """Rounds whose outcome the test decides: `down` before anything is taken, `error` after it."""

    def __init__(self) -> None:
        self.topics: dict[str, LoopbackTopic] = {}
        self.down: Mapping[str, ProduceError] = {}
        self.error: ProduceError | None = None
        self.full = False
        self.outcomes = 0

    def batches(self, topic: str) -> LoopbackTopic:
        if topic in self.down:
            raise self.down[topic]
        return self.topics.setdefault(topic, LoopbackTopic())

    def room(self, size: int) -> bool:
        return not self.full

    def outcome(self, touched: Iterable[Any]) -> asyncio.Future[None]:
        self.outcomes += 1
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self.error is None:
            future.set_result(None)
        else:
            future.set_exception(self.error)
        return future

    def rows(self, topic: str = "events") -> list[dict[str, Any]]:
        """Rows of all records of a topic, in the order of their numbers."""
        tables: dict[int, ColumnBuffers] = {}
        quarantine = topic == TOPIC_QUARANTINE

        def table_of(hour: int, is_quarantine: bool) -> ColumnBuffers:
            return tables.setdefault(
                hour * 2 + is_quarantine, ColumnBuffers(quarantine=is_quarantine or quarantine)
            )

        decoder = Decoder(
            table_of, grace_us=300_000_000, record_bytes_max=1 << 26, quarantine_topic=quarantine
        )
        for partition, batches in self.topics.get(topic, LoopbackTopic()).batches.items():
            offset = 0
            for batch in batches:
                if not batch.closed():
                    batch.seal()
                    batch._set_producer_state(1, 0, 0)
                data = bytearray(batch._build())
                struct.pack_into(">q", data, 0, offset)
                decoder.feed(partition, 0, offset, bytes(data), [])
                offset += batch.record_count()
        rows = [row for table in tables.values() for row in wrap(table).to_pylist()]
        return sorted(rows, key=lambda row: row["sequence"])


class DoorStand:
    """One door, its rounds, and short ways to ask it."""

    def __init__(
        self,
        sources: Mapping[str, Mapping[str, Any]] | None = None,
        limits: Mapping[str, Any] | None = None,
        collector: Mapping[str, Any] | None = None,
        families: Iterable[Dialect] | None = None,
    ) -> None:
        named = {"web": {"write_keys": ["good"]}} if sources is None else sources
        self.settings = IngestSettings(
            collector=CollectorSettings(**(collector or {})),
            limits=LimitSettings(**(limits or {})),
            sources={name: SourceSettings(**values) for name, values in named.items()},
            topics={},
            spool=SpoolSettings(),
            produce=ProduceSettings(),
        )
        self.rounds = LoopbackRounds()
        self.now_us = NOW_US
        self.door = Door(self.settings, self.rounds, lambda: self.now_us, BOOT, families)

    def ask(
        self,
        method: str,
        target: str,
        body: bytes | object = b"",
        headers: Mapping[str, str | bytes] | None = None,
        peer: str = "192.0.2.7",
    ) -> Answer:
        """One request; a body that is not bytes is sent as JSON."""
        path, _, query = target.partition("?")
        listed = [(name.lower().encode(), encoded(value)) for name, value in (headers or {}).items()]
        data = body if isinstance(body, bytes) else orjson.dumps(body)
        incoming = Incoming(method, path, query.encode(), listed, data, peer)
        return asyncio.run(self._answer(incoming))

    async def _answer(self, incoming: Incoming) -> Answer:
        answer = await self.door.answer(incoming)
        self.door.flush_counts()
        return answer

    def refuse(self, method: str, path: str, refusal: Refusal, headers: Mapping[str, str]) -> Answer:
        """A request whose body the HTTP path did not read to its end."""
        listed = [(name.encode(), encoded(value)) for name, value in headers.items()]
        return asyncio.run(self._refusal(Incoming(method, path, b"", listed, b"", ""), refusal))

    async def _refusal(self, incoming: Incoming, refusal: Refusal) -> Answer:
        answer = self.door.refusal(incoming, refusal)
        self.door.flush_counts()
        return answer

    def post(
        self, path: str, body: bytes | object, key: str | None = "good", **headers: str | bytes
    ) -> Answer:
        """A POST with a key by Basic; header names with _ for -."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if key is not None:
            named["authorization"] = basic(key)
        return self.ask("POST", path, body, named)

    def rows(self) -> list[dict[str, Any]]:
        """Rows of topic events."""
        return self.rounds.rows()

    def quarantined(self) -> list[dict[str, Any]]:
        """Rows of the quarantine."""
        return self.rounds.rows(TOPIC_QUARANTINE)


def encoded(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode("latin-1")


def basic(key: str, colon: str = ":") -> str:
    return "Basic " + base64.b64encode((key + colon).encode()).decode()


def header(answer: Answer, name: str) -> str | None:
    """The value of a header of an answer; None if it has none; a failure if it has several."""
    found = [value.decode("latin-1") for key, value in answer.headers if key == name.encode()]
    assert len(found) < 2, f"{name} stands {len(found)} times"
    return found[0] if found else None


def json_of(answer: Answer) -> Any:
    """The JSON body of an answer."""
    assert header(answer, "content-type") == "application/json"
    return orjson.loads(answer.body)
