"""Stages admit, decode and dialect put together: takes an exchange, gives the scan of its events.

After it the source is known, its terms hold, and `exchange.body` is the JSON text. Nothing waits.
"""

from __future__ import annotations

from typing import Final

from _native.pack import One
from _native.scan import REASONS, Scan, ScanError, scan, text
from ingest.admit import Admission, Terms
from ingest.decode import decode, too_large
from ingest.dialects import Dialect
from ingest.errors import Refusal, Situation
from ingest.exchange import Exchange
from ingest.quarantine import QUARANTINED_BYTES_MAX, largest_event

OPENING: Final = (b"{", b"[")
SCAN_TEXTS: Final[dict[str, str]] = {
    "empty_body": "expected JSON, got nothing",
    "invalid_utf8": "expected JSON in UTF-8, got other bytes",
    "invalid_json": "expected JSON, got something else",
    "too_deep": "the JSON is nested too deep",
    "trailing_bytes": "expected the end after the JSON, got more",
    "no_events": "the JSON is not what holds events here",
    "batch_not_array": "expected an array of events",
}


class Intake:
    """Reads requests by the terms of their sources."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission

    def scanned(self, exchange: Exchange, dialect: Dialect) -> Scan:
        """The events of a body that is JSON, or is made JSON by its dialect. Raises Refusal."""
        exchange.terms = terms = self._admission.at_once(exchange, dialect)
        if terms is not None and exchange.origin:
            check_origin(exchange, terms)
        widest = self._admission.widest(dialect) if terms is None else terms
        _read(exchange, dialect, widest)
        found = _scanned(exchange.body, dialect, widest)
        if terms is None:
            terms = exchange.terms = self._by_body(exchange, dialect, found)
            check_origin(exchange, terms)
            _check_bounds(exchange.body, found, terms)
        exchange.count = found.count
        if len(exchange.body) > terms.event_bytes_max:
            _check_sizes(found, dialect, terms)
        return found

    def one(self, exchange: Exchange, dialect: Dialect) -> One:
        """The one event of a request whose body may be anything. Raises Refusal."""
        terms = self._admission.at_once(exchange, dialect)
        terms = exchange.terms = terms or self._admission.without_key(exchange, dialect)
        check_origin(exchange, terms)
        _read(exchange, dialect, terms)
        assert dialect.one is not None
        one = dialect.one(exchange, exchange.body)
        exchange.count = 1
        if len(one.value) > terms.event_bytes_max:
            raise event_too_large(terms.event_bytes_max)
        return one

    def of_unreadable(self, exchange: Exchange, dialect: Dialect) -> Terms:
        """The terms for a body that can't be read, where it is kept all the same. Raises Refusal."""
        if exchange.terms is None:
            exchange.terms = self._admission.without_key(exchange, dialect)
            check_origin(exchange, exchange.terms)
        if len(exchange.body) > QUARANTINED_BYTES_MAX:
            raise too_large(QUARANTINED_BYTES_MAX)
        return exchange.terms

    def _by_body(self, exchange: Exchange, dialect: Dialect, found: Scan) -> Terms:
        cell = found.envelope.get("key")
        key = text(exchange.body, cell) if cell else None
        if key:
            return self._admission.by_key(key, exchange, dialect)
        return self._admission.without_key(exchange, dialect)


def check_origin(exchange: Exchange, terms: Terms) -> None:
    """Refuse a page that is not on the source's list."""
    if exchange.origin and terms.source.origins.refuses(exchange.origin):
        raise Refusal(
            Situation.WRONG_ORIGIN,
            "wrong_origin",
            f"pages of this origin may not post to source {terms.source.name}; "
            f"its origins are in [sources.{terms.source.name}] origins",
        )


def _read(exchange: Exchange, dialect: Dialect, terms: Terms) -> None:
    """Make `exchange.body` plain, and JSON text where the dialect says how."""
    body = exchange.body
    encoding = exchange.headers.get(b"content-encoding")
    if encoding or not body.startswith(OPENING) or not dialect.by_bytes:
        body = exchange.body = decode(body, encoding or b"", terms.body_bytes_max, by_bytes=dialect.by_bytes)
    elif len(body) > terms.body_bytes_max:
        raise too_large(terms.body_bytes_max)
    if dialect.text is not None:
        exchange.body = dialect.text(exchange, body)


def _scanned(body: bytes, dialect: Dialect, terms: Terms) -> Scan:
    try:
        return scan(body, dialect.spec, depth_max=terms.depth_max, events_max=terms.batch_events_max)
    except ScanError as error:
        if error.reason == "too_many_events":
            raise _too_many(terms) from error
        raise unreadable(error) from error


def unreadable(error: ScanError) -> Refusal:
    """What a failed scan means to the client."""
    what = SCAN_TEXTS.get(error.reason, REASONS[error.reason])
    return Refusal(Situation.UNREADABLE, error.reason, f"{what} (byte {error.position})")


def _check_bounds(body: bytes, found: Scan, own: Terms) -> None:
    """Hold a body that was read by the widest terms against those of its source."""
    if len(body) > own.body_bytes_max:
        raise too_large(own.body_bytes_max)
    if found.count > own.batch_events_max:
        raise _too_many(own)


def _check_sizes(found: Scan, dialect: Dialect, terms: Terms) -> None:
    """A single event that is too large is refused; so is one that no quarantine could hold."""
    largest = largest_event(found)
    if not found.batched and largest > terms.event_bytes_max:
        raise event_too_large(terms.event_bytes_max)
    if largest > QUARANTINED_BYTES_MAX and dialect.column.replies[Situation.INVALID_SOME].keeps:
        raise event_too_large(QUARANTINED_BYTES_MAX)


def event_too_large(bytes_max: int) -> Refusal:
    return Refusal(Situation.TOO_LARGE, "event_too_large", f"the event is larger than {bytes_max} bytes")


def _too_many(terms: Terms) -> Refusal:
    text = f"more than {terms.batch_events_max} events in one request"
    return Refusal(Situation.TOO_LARGE, "too_many_events", text)
