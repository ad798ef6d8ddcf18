"""Stage batch: takes the scan of a request, appends its records and those of the quarantine to open batches.

The counter of `hr_seq` lives here. A number is taken by the append that uses it, and nothing waits in
between, so the numbers of one boot id are gapless over all topics.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, NamedTuple, Protocol

from _native.pack import Batches, One, Stamp, append_one, bytes_expected, pack
from _native.record import TOPIC_QUARANTINE
from _native.scan import Scan
from ingest import metrics
from ingest.answers import REASON_TEXTS
from ingest.dialects import Dialect
from ingest.errors import Refusal, Situation
from ingest.exchange import Exchange
from ingest.outcome import Outcome
from ingest.quarantine import left_out_records, whole_record
from ingest.stamp import Stamper

EVENT_OVERHEAD_BYTES_MAX: Final = 16 * 1024  # of the context (8 KiB), the agent (1 KiB), ids from headers (4)
new_tuple = tuple.__new__  # makes a NamedTuple in half the time of a call with arguments
FULL_RETRY_SECONDS: Final = 1  # rounds leave many times a second, so there is room again soon


class Outgoing(Protocol):
    """What is asked here of `ingest.rounds.Rounds`."""

    def batches(self, topic: str) -> Batches: ...
    def room(self, size: int) -> bool: ...
    def outcome(self, touched: Iterable[Any]) -> Outcome: ...


class Packed(NamedTuple):
    """What was appended for a request, and what it will be told once that is durable."""

    touched: list[Any]
    situation: Situation
    accepted: int
    left_out: list[tuple[int, str]]


class Packing:
    """Appends records under one boot id."""

    def __init__(self, outgoing: Outgoing, stamper: Stamper) -> None:
        self._outgoing = outgoing
        self._stamper = stamper
        self._number = 0

    def stamp(self, exchange: Exchange, found: Scan | None) -> Stamp:
        """What the request says for all its events; the scan is of `exchange.body`."""
        return self._stamper.stamp(exchange, self._number, exchange.body, found)

    def events(self, exchange: Exchange, dialect: Dialect, found: Scan) -> Packed:
        """Append all events of a scan. Raises Refusal or ProduceError; then nothing was appended.

        (But for a quarantine that can't be reached while the events' topic can: then the good events of the
        batch are on their way, and the client's repeat brings them again, with the same ids.)
        """
        stamp = self.stamp(exchange, found)
        batches = self._batches(exchange, stamp, len(exchange.body), found.count)
        packed = pack(exchange.body, found, stamp, batches)
        self._number = packed.number
        if not packed.left_out:
            return new_tuple(Packed, (packed.touched, Situation.ACCEPTED, packed.accepted, packed.left_out))
        situation = Situation.INVALID_SOME if found.batched else Situation.INVALID_ONE
        touched: list[Any] = list(packed.touched)
        if dialect.column.replies[situation].keeps:
            records = left_out_records(exchange.body, found, packed.left_out)
            touched += self._quarantine(exchange, stamp, records)
        elif situation is Situation.INVALID_ONE:
            reason = packed.left_out[0][1]
            raise Refusal(situation, reason, REASON_TEXTS[reason])
        return Packed(touched, situation, packed.accepted, packed.left_out)

    def one(self, exchange: Exchange, one: One) -> Packed:
        """Append a request that is one record. Raises ProduceError; then nothing was appended."""
        stamp = self.stamp(exchange, None)
        batches = self._batches(exchange, stamp, len(one.value), 1)
        batch = append_one(one, stamp, batches)
        self._number += 1
        return Packed([batch], Situation.ACCEPTED, 1, [])

    def whole(self, exchange: Exchange, situation: Situation) -> Packed:
        """Append a body that can't be read to the quarantine. Raises ProduceError."""
        stamp = self.stamp(exchange, None)
        self._room(bytes_expected(stamp, len(exchange.body), 1))
        touched = self._quarantine(exchange, stamp, [whole_record(exchange.body)])
        return Packed(touched, situation, 0, [])

    def _batches(self, exchange: Exchange, stamp: Stamp, size: int, count: int) -> Batches:
        assert exchange.terms is not None
        # The expectation costs a microsecond, and seldom matters.
        if not self._outgoing.room(2 * size + count * EVENT_OVERHEAD_BYTES_MAX):
            self._room(bytes_expected(stamp, size, count))
        return self._outgoing.batches(exchange.terms.source.topic)

    def _room(self, size: int) -> None:
        if not self._outgoing.room(size):
            raise Refusal(
                Situation.OVERLOAD,
                "pending_full",
                "too much waits for Kafka; nothing of this request was taken",
                retry_seconds=FULL_RETRY_SECONDS,
            )

    def _quarantine(self, exchange: Exchange, stamp: Stamp, records: Iterable[One]) -> list[Any]:
        assert exchange.terms is not None
        batches = self._outgoing.batches(TOPIC_QUARANTINE)
        touched: dict[Any, None] = {}
        for record in records:
            touched[append_one(record, stamp._replace(number=self._number), batches)] = None
            self._number += 1
            reason = (record.reason or b"").decode()
            metrics.EVENTS_QUARANTINED.labels(exchange.terms.source.name, reason).inc()
        return list(touched)
