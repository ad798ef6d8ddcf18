"""One request and its answer, as every HTTP path hands them in and takes them back.

Starlette's routes and the own protocol make an `Incoming`, `ingest.door` makes an `Answer` of it; what
becomes known on the way stands in the `Exchange`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import unquote_to_bytes

if TYPE_CHECKING:
    from ingest.admit import Terms
    from ingest.dialects import Dialect, Route

Headers = list[tuple[bytes, bytes]]

SHOWN_CHARS_MAX: Final = 200  # of a host or path in a message


class Incoming(NamedTuple):
    """A request whose body is whole. Header names in lower case; `path` percent-decoded, without the query.

    `body` as it came, still compressed; `peer` the address of the other end, "" where there is none; `named`
    the headers by name, of a repeated one the last value, where whoever read them has them so.
    """

    method: str
    path: str
    query: bytes
    headers: Headers
    body: bytes
    peer: str
    named: dict[bytes, bytes] | None = None


class Answer(NamedTuple):
    """What goes back, byte for byte the same on every HTTP path; the server adds `date` alone."""

    status: int
    headers: Headers
    body: bytes


class Prepared(Answer):
    """An answer that is given again and again: its bytes are kept as long as the server adds the same."""

    written: bytes
    beside: object = None
    """The server's own headers, as an object, with which `written` was made."""


class Exchange:
    """What is known of one request. `headers`: of a repeated name the last value."""

    __slots__ = (
        "body",
        "count",
        "dialect",
        "flags",
        "headers",
        "incoming",
        "origin",
        "owner",
        "query",
        "received_us",
        "route",
        "segments",
        "terms",
    )

    def __init__(self, incoming: Incoming, received_us: int) -> None:
        self.incoming = incoming
        named = incoming.named
        self.headers: dict[bytes, bytes] = dict(incoming.headers) if named is None else named
        self.query = incoming.query
        self.body = incoming.body  # the latest form: as it came, plain, JSON text
        self.origin = self.headers.get(b"origin", b"")
        self.received_us = received_us
        self.owner = ""  # the source whose own path was hit
        self.route: Route | None = None
        self.dialect: Dialect | None = None
        self.terms: Terms | None = None
        self.segments: dict[str, str] = {}  # what stood in the path where the route has {name}
        self.flags = 0  # bits of `_native.record.Flags` that all events of the request get
        self.count = 0  # of events, once they are known

    def where(self) -> str:
        """Method, host and path that were hit, for messages; a key in the path is not shown."""
        host = self.headers.get(b"host", b"").decode("latin-1")[:SHOWN_CHARS_MAX]
        path = self.route.path if self.segments and self.route else self.incoming.path[:SHOWN_CHARS_MAX]
        return f"{self.incoming.method[:SHOWN_CHARS_MAX]} {host}{path}"


def parameter(query: bytes, name: bytes) -> bytes | None:
    """The first value of a query parameter, decoded; None where it is absent."""
    start = name + b"="
    if start not in query:
        return None
    for part in query.split(b"&"):
        if part.startswith(start):
            return unquote_to_bytes(part[len(start) :].replace(b"+", b" "))
    return None
