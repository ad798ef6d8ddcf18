"""The journey of a request: admit ▶ decode ▶ dialect ▶ pack ▶ wait for the outcome ▶ answer.

`Door.answer` takes any request whose body is whole and gives the bytes of its answer; both HTTP paths call
it, so their answers are the same. From the scan to the append nothing waits. It is the one place that turns
errors into answers.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final, NamedTuple

import structlog

from ingest import dialects, metrics
from ingest.address import Proxies
from ingest.admit import Admission
from ingest.answers import CLOSE, NATIVE, Facts
from ingest.bodies import Bodies
from ingest.counts import Counts
from ingest.dialects import Dialect, Route
from ingest.errors import ProduceError, Refusal, Situation
from ingest.exchange import Answer, Exchange, Incoming
from ingest.explanation import explain, explain_one, explain_refusal, wants_explanation
from ingest.intake import Intake
from ingest.lobby import Lobby
from ingest.outcome import Outcome
from ingest.packing import Outgoing, Packed, Packing
from ingest.routes import Hit, Routes
from ingest.settings import IngestSettings
from ingest.stamp import ACK, Stamper

__all__ = ["Answer", "Door", "Incoming", "Waiting"]

NO_DIALECT: Final = "none"
NOTHING_TAKEN: Final = "the log does not take events now; send the same request again later"
UNKNOWN_OUTCOME: Final = "the log did not answer in time; send the same request again, with the same ids"

new_tuple = tuple.__new__  # makes a NamedTuple in half the time of a call with arguments
log = structlog.get_logger()


class Waiting(NamedTuple):
    """A request whose records are on their way; `outcome` ends within produce_timeout_seconds."""

    exchange: Exchange
    packed: Packed
    outcome: Outcome


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
        self.bodies = Bodies(settings.collector.bodies_bytes_max)
        self._clock_us = clock_us
        self._outgoing = rounds
        own = {name: source.paths for name, source in settings.sources.items() if source.paths}
        self._routes = Routes(known, own)
        self._admission = Admission(settings.sources, settings.limits, known)
        self._intake = Intake(self._admission)
        self._packing = Packing(rounds, Stamper(boot, Proxies(settings.collector.trusted_proxies)))
        self._lobby = Lobby(self._routes, self._admission)
        self._counts = Counts()
        self.entrances: dict[bytes, tuple[str, int]] = {
            path.encode(): (path, self.body_bytes_max("POST", path)) for path in self._routes.fixed("POST")
        }
        """Paths of events as they stand in a request: the path, and what `body_bytes_max` says of it."""

    async def answer(self, incoming: Incoming) -> Answer:
        """Take a request to its answer; raises nothing. Waits for the outcome of its batches alone."""
        begun = self.begin(incoming)
        if isinstance(begun, Answer):
            return begun
        with suppress(ProduceError):  # `end` reads it
            await begun.outcome
        return self.end(begun)

    def begin(self, incoming: Incoming) -> Answer | Waiting:
        """All that does not wait: the answer, or what its events wait for. For who waits by a callback."""
        exchange = Exchange(incoming, self._clock_us())
        try:
            hits = self._routes.get(incoming.method, incoming.path)
            if not hits:
                return self._counted(exchange, self._lobby.answer(exchange))
            if enter(exchange, hits).stub is not None:
                return self._counted(exchange, self._lobby.stub(exchange))
            packed = self._packed(exchange)
            if isinstance(packed, Answer):
                return self._counted(exchange, packed)
            if packed.touched:
                return new_tuple(Waiting, (exchange, packed, self._outgoing.outcome(packed.touched)))
            return self._counted(exchange, self._success(exchange, packed))
        except Exception as error:  # noqa: BLE001 - _failed records it and answers
            return self._failed(exchange, error)

    def end(self, waiting: Waiting) -> Answer:
        """The answer once the outcome is known; raises nothing."""
        exchange, packed, outcome = waiting
        error = outcome.exception()
        if error is not None:
            return self._failed(exchange, error)
        return self._counted(exchange, self._success(exchange, packed))

    def _failed(self, exchange: Exchange, error: BaseException) -> Answer:
        """The one place where an error becomes an answer; what nobody expected is logged as our fault."""
        if isinstance(error, ProduceError):
            error = refusal_of(error)
        elif not isinstance(error, Refusal):
            # Where, but neither the message nor the values of variables: they may hold what a client sent.
            where = traceback.format_tb(error.__traceback__)
            log.error("request_failed", dialect=name_of(exchange), error=type(error).__name__, where=where)
            text = "the collector failed at this request; its log says how"
            error = Refusal(Situation.OVERLOAD, "internal_error", text)
        return self._counted(exchange, self._refused(exchange, error))

    def _counted(self, exchange: Exchange, answer: Answer) -> Answer:
        micros = self._clock_us() - exchange.received_us
        if micros < 0:  # the clock was set back
            micros = 0
        self._counts.answered(
            name_of(exchange), answer.status, micros / 1_000_000, len(exchange.incoming.body)
        )
        return answer

    def body_bytes_max(self, method: str, path: str) -> int:
        """Bytes of a body, as it comes, that are worth reading: 0 where nothing looks at it."""
        hits = self._routes.get(method, path)
        return max((self._admission.widest(hit.dialect).body_bytes_max for hit in hits), default=0)

    def refusal(self, incoming: Incoming, refusal: Refusal) -> Answer:
        """The answer to a request that was not read to its end, in its dialect; the connection closes."""
        exchange = Exchange(incoming, self._clock_us())
        if hits := self._routes.get(incoming.method, incoming.path):
            enter(exchange, hits)
        answer = self._failed(exchange, refusal)
        answer.headers.append(CLOSE)
        return answer

    def flush_counts(self) -> None:
        """Put what was counted since the last second into the metrics: the last thing before a stop."""
        self._counts.flush()

    def _packed(self, exchange: Exchange) -> Packed | Answer:
        """From the bytes to the batches; an Answer where that was all. Raises Refusal or ProduceError."""
        dialect = exchange.dialect
        assert dialect is not None
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
            if not dialect.column.replies[refusal.situation].keeps:
                raise
            self._intake.of_unreadable(exchange, dialect)
            if debug:
                return explain_refusal(exchange, refusal, self._cors(exchange))
            return self._packing.whole(exchange, refusal.situation)
        if debug:
            stamp = self._packing.stamp(exchange, found)
            return explain(exchange, stamp, exchange.body, found, self._cors(exchange))
        if not found.count:
            return Packed([], Situation.ACCEPTED, 0, [])
        return self._packing.events(exchange, dialect, found)

    def _success(self, exchange: Exchange, packed: Packed) -> Answer:
        """What a request is told whose events are as durable as the answer says."""
        dialect, route = exchange.dialect, exchange.route
        assert dialect is not None
        assert route is not None
        assert exchange.terms is not None
        column, pixel = dialect.column, route.pixel
        ack = ACK if packed.touched else None  # of nothing there is nothing to say
        source = exchange.terms.source.name
        if packed.accepted:
            self._counts.accepted(source, packed.accepted)
        if packed.situation is Situation.ACCEPTED and ack and column.constant and not pixel:
            return column.accepted(ack, self._cors(exchange))
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
        return column.answer(packed.situation, facts, self._cors(exchange), ack=ack, pixel=pixel)

    def _refused(self, exchange: Exchange, refusal: Refusal) -> Answer:
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


def enter(exchange: Exchange, hits: tuple[Hit, ...]) -> Route:
    """Choose between the routes that share a path: the first whose dialect matches, else the last."""
    for route, dialect, segments, owner in hits:
        exchange.route, exchange.dialect, exchange.segments, exchange.owner = route, dialect, segments, owner
        if dialect.matches is None or dialect.matches(exchange):
            break
    return route


def name_of(exchange: Exchange) -> str:
    """The dialect's name as a label."""
    return exchange.dialect.name if exchange.dialect is not None else NO_DIALECT


def refusal_of(error: ProduceError) -> Refusal:
    """What a failure to produce means to a client: another try, unless Kafka will never take the bytes.

    The error's own text may name brokers and topics, which are nobody's business out there.
    """
    if error.code == "batch_too_large":
        return Refusal(Situation.TOO_LARGE, error.code, "Kafka does not take so large a record")
    text = UNKNOWN_OUTCOME if error.code == "outcome_unknown" else NOTHING_TAKEN
    return Refusal(Situation.OVERLOAD, error.code, text)
