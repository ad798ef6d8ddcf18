"""Beside the HTTP path: what stands in the head of a request, and what it means that one can't be read."""

from __future__ import annotations

from typing import Final

import structlog
from httptools import HttpParserError

from ingest.errors import Refusal, Situation
from ingest.exchange import Headers

OFFERS: Final = (b"upgrade", b"http2-settings")  # header fields, and tokens of Connection

log = structlog.get_logger()


def refusal_of(error: BaseException | None) -> Refusal:
    """What a failure while parsing means to the client; what nobody expected is logged as our fault."""
    if isinstance(error, Refusal):
        return error
    if isinstance(error, HttpParserError):
        return Refusal(Situation.MALFORMED, "malformed_request", f"this is not HTTP/1.1: {error}")
    log.error("request_not_parsed", error=type(error).__name__)
    return Refusal(Situation.OVERLOAD, "internal_error", "the collector failed at this request")


def said_length(headers: Headers) -> int:
    """What Content-Length says; 0 where it is absent. The parser has refused what is no number."""
    for name, value in headers:
        if name == b"content-length":
            return int(value) if value.isdigit() else 0
    return 0


def without_offer(method: bytes, target: bytes, version: str, headers: Headers) -> bytes:
    """The head of the same request without its offer of another protocol (RFC 9110 section 7.8)."""
    lines = [b"%s %s HTTP/%s" % (method, target, version.encode())]
    for name, value in headers:
        if name == b"connection":
            tokens = [token.strip() for token in value.split(b",")]
            value = b", ".join(token for token in tokens if token.lower() not in OFFERS)
        if name not in OFFERS:
            lines.append(b"%s: %s" % (name, value))
    return b"\r\n".join(lines) + b"\r\n\r\n"
