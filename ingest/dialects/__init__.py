"""Dialects: what each SDK family sends, as data. One module each; `found` collects their `DIALECTS`.

A `Dialect` names its routes, where the key stands, how the scan finds events, its limits and its column of
the answer table. Functions are there only where the wire form is not the JSON text of events: `text` makes
it, `one` makes the single record of a request whose events are not in its body's JSON.
Several dialects may share a path: the first whose `matches` says yes has the request, one without
`matches` comes last.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from _native.pack import One
from _native.scan import ScanSpec
from ingest.answers import Column
from ingest.exchange import Exchange

KIB: Final = 1024
MIB: Final = 1024 * KIB


class Limits(NamedTuple):
    """A dialect's own bounds: bytes of the body after inflating, bytes of one event, events of a request."""

    body_bytes_max: int
    event_bytes_max: int
    batch_events_max: int


@dataclass(frozen=True)
class Route:
    """One method and path. A segment `{name}` of the path stands for any text.

    type_default: the event type where the event has none. pixel: the answer is an image, whatever happens.
    stub: answers at once, without events; `keyed`: only to who has a key that a source has. A wildcard
    segment named `key` holds the key; one named `type` the event type.
    """

    method: str
    path: str
    summary: str
    type_default: bytes | None = None
    pixel: bool = False
    stub: Callable[[Exchange], bytes] | None = None
    keyed: bool = True


@dataclass(frozen=True, eq=False)
class Dialect:
    """One protocol (or one mode of it: several may have one name).

    spec: the envelope names that the door knows are `key`, `sent` and `context`.
    key_queries: query parameters that may hold the key (headers are the same for all).
    required: roles without which an event is invalid.
    attributes: an event's members become `ce_` headers and its `data` the value.
    by_bytes: compression is recognised by magic bytes too, not by Content-Encoding alone.
    text(exchange, body): the JSON text of the events; it may set `exchange.flags`. Raises Refusal.
    one(exchange, body): the record of a request that is one event whatever its bytes. Raises Refusal.
    anonymous_header, sent_header: request headers with the anonymous id and the client's clock.
    """

    name: str
    column: Column
    routes: tuple[Route, ...]
    spec: ScanSpec
    limits: Limits
    key_queries: tuple[bytes, ...] = ()
    matches: Callable[[Exchange], bool] | None = None
    required: tuple[int, ...] = ()
    attributes: bool = False
    by_bytes: bool = True
    text: Callable[[Exchange, bytes], bytes] | None = None
    one: Callable[[Exchange, bytes], One] | None = None
    anonymous_header: bytes | None = None
    sent_header: bytes | None = None
    webhook: bool = False  # answers the validation handshake of CloudEvents webhooks
    media_types: tuple[str, ...] = field(default=("application/json",))


def found() -> tuple[Dialect, ...]:
    """The dialects of all modules of this package, in the order of their names."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    modules = [importlib.import_module(f"{__name__}.{name}") for name in names]
    return tuple(dialect for module in modules for dialect in module.DIALECTS)
