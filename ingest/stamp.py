"""Part of dialect: what one request says for all its events, put into the `Stamp` that pack writes.

Takes the exchange, the terms of its source and what the scan lifted from the envelope.
"""

from __future__ import annotations

from base64 import b64decode
from binascii import Error as Base64Error
from functools import lru_cache
from typing import Final

from _native.client_time import parse_us
from _native.pack import Stamp
from _native.record import CONTENT_JSON, Flags
from _native.scan import OBJECT, Scan, text
from ingest.address import Proxies, shown
from ingest.exchange import Exchange, parameter

ACK: Final = b"kafka"  # the level that is reached: who asks for less waits for as much
AGENT_BYTES_MAX: Final = 1024
AGENTS_CACHED_MAX: Final = 2048
CONTEXT_BYTES_MAX: Final = 8 * 1024  # every event of a batch carries it
RETRY: Final = int(Flags.RETRY)
FIELD_CUT: Final = int(Flags.FIELD_CUT)
# How SDKs say that a request is a repeat, and what the first attempt says where it says anything.
RETRY_HEADERS: Final = ((b"x-retry-count", b"0"), (b"rsa-retry-attempt", b"0"), (b"posthog-attempt", b"1"))
RETRY_QUERY: Final = b"retry_count"


class Stamper:
    """Makes stamps under one boot id."""

    def __init__(self, boot: bytes, proxies: Proxies) -> None:
        self._boot = boot
        self._proxies = proxies

    def stamp(self, exchange: Exchange, number: int, body: bytes, found: Scan | None) -> Stamp:
        """`found` is the scan of `body`, None where its one event is no JSON."""
        terms, dialect, headers = exchange.terms, exchange.dialect, exchange.headers
        assert terms is not None
        assert dialect is not None
        assert exchange.route is not None
        source = terms.source
        agent = headers.get(b"user-agent")
        client = self._proxies.client(exchange.incoming.peer, exchange.incoming.headers)
        sent_us, context = self._envelope(exchange, body, found)
        anonymous = headers.get(dialect.anonymous_header) if dialect.anonymous_header else None
        return tuple.__new__(  # half the time of a call with 19 arguments
            Stamp,
            (
                self._boot,
                number,
                exchange.received_us,
                source.name_bytes,
                terms.dialect_bytes,
                ACK,
                terms.event_bytes_max,
                exchange.flags | (RETRY if is_retry(exchange) else 0),
                source.key_by_anonymous,
                shown(client, source.address_rule),
                kept_agent(agent) if agent else None,
                sent_us,
                context,
                CONTENT_JSON,
                type_default(exchange),
                None,
                plain_id(anonymous) if anonymous else None,
                dialect.required,
                dialect.attributes,
            ),
        )

    def _envelope(
        self, exchange: Exchange, body: bytes, found: Scan | None
    ) -> tuple[int | None, bytes | None]:
        """When a batch was sent by the client's clock, and the context that its events share.

        Of a single event these are its own; pack and the payload have them.
        """
        sent = context = None
        dialect = exchange.dialect
        if found is not None and found.batched and found.envelope:
            if cell := found.envelope.get("sent"):
                sent = text(body, cell)
            cell = found.envelope.get("context")
            if cell and cell[2] == OBJECT:
                context = body[cell[0] : cell[1]]
                if len(context) > CONTEXT_BYTES_MAX:
                    context = None
                    exchange.flags |= FIELD_CUT
        if sent is None and dialect is not None and dialect.sent_header:
            sent = exchange.headers.get(dialect.sent_header)
        return parse_us(sent) if sent else None, context


def type_default(exchange: Exchange) -> bytes | None:
    """The event type that the path says."""
    assert exchange.route is not None
    if exchange.route.type_default or not exchange.segments:
        return exchange.route.type_default
    return exchange.segments.get("type", "").encode() or None


def is_retry(exchange: Exchange) -> bool:
    """Whether the request says of itself that it is a repeat."""
    headers = exchange.headers
    for name, first in RETRY_HEADERS:
        value = headers.get(name)
        if value and value != first:
            return True
    if exchange.query and RETRY_QUERY in exchange.query:
        return parameter(exchange.query, RETRY_QUERY) not in (None, b"", b"0")
    return False


def kept_agent(raw: bytes) -> bytes:
    """A user agent as it is stored; only those of usual length are worth a place in the cache."""
    return agent_of(raw) if len(raw) <= AGENT_BYTES_MAX else agent_of.__wrapped__(raw)


@lru_cache(maxsize=AGENTS_CACHED_MAX)
def agent_of(raw: bytes) -> bytes:
    """A user agent as UTF-8 (what is not is ISO-8859-1), cut to AGENT_BYTES_MAX."""
    try:
        agent = raw.decode()
    except UnicodeDecodeError:
        agent = raw.decode("latin-1")
    return agent.encode()[:AGENT_BYTES_MAX].decode(errors="ignore").encode()


def plain_id(value: bytes) -> bytes:
    """RudderStack's AnonymousId: most SDKs send base64 of it, some the id itself."""
    try:
        decoded = b64decode(value, validate=True)
        readable = decoded.decode().isprintable()
    except (Base64Error, UnicodeDecodeError):
        return value
    return decoded if decoded and readable else value
