"""The journey of a request: admit ▶ decode ▶ dialect ▶ pack ▶ wait for the outcome ▶ answer.

`Door.answer` takes any request whose body is whole and gives the bytes of its answer; both HTTP paths call
it, so their answers are the same. From the scan to the append nothing waits. It is the one place that turns
errors into answers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import structlog

from ingest import dialects, metrics
from ingest.address import Proxies
from ingest.admit import Admission
from ingest.answers import NATIVE, Facts
from ingest.counts import Counts
from ingest.dialects import Dialect
from ingest.errors import ProduceError, Refusal, Situation
from ingest.exchange import Answer, Exchange, Incoming
from ingest.explanation import explain, explain_one, wants_explanation
from ingest.intake import Intake
from ingest.lobby import Lobby
from ingest.packing import Outgoing, Packed, Packing
from ingest.routes import Hit, Routes
from ingest.settings import IngestSettings
from ingest.stamp import ACK, Stamper

__all__ = ["Answer", "Door", "Incoming"]

NO_DIALECT = "none"

log = structlog.get_logger()


class Door:
    """Everything between a request and its answer."""

    def __init__(
        self,
        settings: IngestSettings,
        rounds: Outgoing,
        clock_us: Callable[[], int],
        boot: bytes,
        families: Iterable[Dialect] | None = None,
    ) -> None:
        """`boot`: 8 bytes that no other worker has; `families`: the dialects, all there are if None."""
        known = tuple(dialects.found() if families is None else families)
        self.body_seconds_max = settings.limits.body_seconds_max
        self._clock_us = clock_us
        self._outgoing = rounds
        self._routes = Routes(known)
        self._admission = Admission(settings.sources, settings.limits, known)
        self._intake = Intake(self._admission)
        self._packing = Packing(rounds, Stamper(boot, Proxies(settings.collector.trusted_proxies)))
        self._lobby = Lobby(self._routes, self._admission)
        self._counts = Counts()

    async def answer(self, incoming: Incoming) -> Answer:
        """Take a request to its answer; raises nothing. Waits for the outcome of its batches alone."""
        exchange = Exchange(incoming, self._clock_us())
        try:
            hits = self._routes.get(incoming.method, incoming.path)
            if not hits:
                answer = self._lobby.answer(exchange)
            elif enter(exchange, hits).route.stub is not None:
                answer = self._lobby.stub(exchange)
            else:
                answer = await self._events(exchange)
        except Refusal as refusal:
            answer = self._refused(exchange, refusal)
        except ProduceError as error:
            answer = self._refused(exchange, refusal_of(error))
        except Exception:
            log.exception("request_failed", dialect=name_of(exchange))
            text = "the collector failed at this request; its log says how"
            answer = self._refused(exchange, Refusal(Situation.OVERLOAD, "internal_error", text))
        seconds = max(self._clock_us() - exchange.received_us, 0) / 1e6
        self._counts.answered(name_of(exchange), answer.status, seconds, len(incoming.body))
        return answer

    def body_bytes_max(self, method: str, path: str) -> int:
        """Bytes of a body, as it comes, that are worth reading: 0 where nothing looks at it."""
        hits = self._routes.get(method, path)
        return max((self._admission.widest(hit.dialect).body_bytes_max for hit in hits), default=0)

    def refusal(self, incoming: Incoming, refusal: Refusal) -> Answer:
        """The answer to a request whose body was not read to its end, in the words of its dialect."""
        exchange = Exchange(incoming, self._clock_us())
        if hits := self._routes.get(incoming.method, incoming.path):
            enter(exchange, hits)
        answer = self._refused(exchange, refusal)
        self._counts.answered(name_of(exchange), answer.status, 0.0, len(incoming.body))
        return answer

    def flush_counts(self) -> None:
        """Put what was counted since the last second into the metrics: the last thing before a stop."""
        self._counts.flush()

    async def _events(self, exchange: Exchange) -> Answer:
        dialect = exchange.dialect
        assert dialect is not None
        packed = self._packed(exchange, dialect)
        if isinstance(packed, Answer):
            return packed
        if packed.touched:
            await self._outgoing.outcome(packed.touched)
        return self._success(exchange, dialect, packed)

    def _packed(self, exchange: Exchange, dialect: Dialect) -> Packed | Answer:
        """From the bytes to the batches; an Answer where that was all. Raises Refusal or ProduceError."""
        debug = wants_explanation(exchange)
        try:
            if dialect.one is not None:
                one = self._intake.one(exchange, dialect)
                if debug:
                    return explain_one(
                        exchange, self._packing.stamp(exchange, None), one, self._cors(exchange)
                    )
                return self._packing.one(exchange, one)
            found = self._intake.scanned(exchange, dialect)
        except Refusal as refusal:
            if debug or not dialect.column.replies[refusal.situation].keeps:
                raise
            self._intake.of_unreadable(exchange, dialect)
            return self._packing.whole(exchange, refusal.situation)
        if debug:
            stamp = self._packing.stamp(exchange, found)
            return explain(exchange, stamp, exchange.body, found, self._cors(exchange))
        if not found.count:
            return Packed([], Situation.ACCEPTED, 0, [])
        return self._packing.events(exchange, dialect, found)

    def _success(self, exchange: Exchange, dialect: Dialect, packed: Packed) -> Answer:
        """What a request is told whose events are as durable as the answer says."""
        assert exchange.terms is not None
        assert exchange.route is not None
        column, pixel = dialect.column, exchange.route.pixel
        source = exchange.terms.source.name
        if packed.accepted:
            self._counts.accepted(source, packed.accepted)
        if packed.situation is Situation.ACCEPTED and column.constant and not pixel:
            return column.accepted(ACK, self._cors(exchange))
        if packed.left_out and not column.replies[packed.situation].keeps:
            for _, reason in packed.left_out:
                metrics.EVENTS_REFUSED.labels(source, reason).inc()
        facts = Facts(
            events=exchange.count,
            left_out=packed.left_out,
            body_bytes=len(exchange.body),
            now_us=exchange.received_us,
            query=exchange.query,
        )
        return column.answer(packed.situation, facts, self._cors(exchange), ack=ACK, pixel=pixel)

    def _refused(self, exchange: Exchange, refusal: Refusal) -> Answer:
        """The one place where an error becomes an answer."""
        facts = Facts(
            code=refusal.code,
            message=str(refusal),
            body_bytes=len(exchange.body),
            now_us=exchange.received_us,
            query=exchange.query,
            retry_seconds=refusal.retry_seconds,
        )
        if exchange.count and exchange.terms is not None:
            metrics.EVENTS_REFUSED.labels(exchange.terms.source.name, refusal.code).inc(exchange.count)
        column = exchange.dialect.column if exchange.dialect else NATIVE
        pixel = exchange.route is not None and exchange.route.pixel
        answer = column.answer(refusal.situation, facts, self._cors(exchange), pixel=pixel)
        return answer._replace(body=b"") if exchange.incoming.method == "HEAD" else answer

    def _cors(self, exchange: Exchange) -> list[tuple[bytes, bytes]]:
        return self._lobby.cors(exchange)


def enter(exchange: Exchange, hits: tuple[Hit, ...]) -> Hit:
    """Choose between the routes that share a path: the first that matches, else the last."""
    for hit in hits:
        exchange.route, exchange.dialect, exchange.segments = hit.route, hit.dialect, hit.segments
        if hit.dialect.matches is None or hit.dialect.matches(exchange):
            break
    return hit


def name_of(exchange: Exchange) -> str:
    """The dialect's name as a label."""
    return exchange.dialect.name if exchange.dialect is not None else NO_DIALECT


def refusal_of(error: ProduceError) -> Refusal:
    """What a failure to produce means to a client: another try, unless Kafka will never take the bytes."""
    if error.code == "batch_too_large":
        return Refusal(Situation.TOO_LARGE, error.code, str(error))
    return Refusal(Situation.OVERLOAD, error.code, str(error))
