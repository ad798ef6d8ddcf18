"""Beside the journey: `?debug=1` on any path of events: what was understood, event by event; nothing is sent.

The events are packed for good into batches that are thrown away, so what is said of them is what would
become of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import orjson

from _native.batch import RecordBatch
from _native.pack import One, Stamp, append_one, pack
from _native.scan import ANON, ID, NAME, TIME, TYPE, USER, Scan, text
from _native.timestamp import parse_us, rfc3339
from ingest.answers import JSON, NO_STORE, REASON_TEXTS
from ingest.errors import Refusal
from ingest.exchange import Answer, Exchange, Headers, parameter
from ingest.quarantine import cell_of
from ingest.stamp import type_default

DEBUG: Final = b"debug"
BATCH_BYTES: Final = 64 * 1024


class Nowhere:
    """Batches of a topic that nobody sends."""

    partitions = 1

    def __init__(self) -> None:
        self._batch = RecordBatch("none", BATCH_BYTES)

    def open(self, _partition: int, size: int) -> RecordBatch:
        """A batch with room for `size` bytes; the last one is dropped. Does not suspend."""
        self._batch = RecordBatch("none", max(BATCH_BYTES, size + BATCH_BYTES))
        return self._batch


def wants_explanation(exchange: Exchange) -> bool:
    """Whether the query says `debug=1`."""
    return bool(exchange.query) and DEBUG in exchange.query and parameter(exchange.query, DEBUG) == b"1"


def explain(exchange: Exchange, stamp: Stamp, body: bytes, found: Scan, cors: Headers) -> Answer:
    """What would become of the events of a body, without doing it."""
    left_out = dict(pack(body, found, stamp, Nowhere()).left_out)
    return _answer(
        exchange, (_event(exchange, body, found, index, left_out) for index in range(found.count)), cors
    )


def explain_one(exchange: Exchange, stamp: Stamp, one: One, cors: Headers) -> Answer:
    """The same for a request that is one record."""
    append_one(one, stamp, Nowhere())
    said = {"id": one.id, "type": one.type, "name": one.name, "user_id": one.user, "anonymous_id": one.anon}
    event = _verdict({"index": 0, **{key: _shown(value) for key, value in said.items()}}, one.time, None)
    return _answer(exchange, [event], cors)


def explain_refusal(exchange: Exchange, refusal: Refusal, cors: Headers) -> Answer:
    """Why a body can't be taken apart, where its senders must not be told and it would be kept as it is."""
    event = {"index": None, "valid": False, "code": refusal.code, "message": str(refusal)}
    return _answer(exchange, [event], cors)


def _event(
    exchange: Exchange, body: bytes, found: Scan, index: int, left_out: dict[int, str]
) -> dict[str, Any]:
    def lifted(role: int) -> bytes | None:
        return text(body, cell_of(found, index, role))

    event: dict[str, Any] = {
        "index": index,
        "id": _shown(lifted(ID)),
        "type": _shown(lifted(TYPE) or type_default(exchange)),
        "name": _shown(lifted(NAME)),
        "user_id": _shown(lifted(USER)),
        "anonymous_id": _shown(lifted(ANON)),
    }
    return _verdict(event, lifted(TIME), left_out.get(index))


def _verdict(event: dict[str, Any], time: bytes | None, reason: str | None) -> dict[str, Any]:
    at_us = parse_us(time) if time else None
    event["time"] = _shown(rfc3339(at_us)) if at_us is not None else None
    notes = [] if event["id"] else ["no id: one will be made"]
    notes += [] if event["type"] else ["no type: it will be called event"]
    notes += ["the time could not be read"] if time and at_us is None else []
    event["notes"] = notes
    event["valid"] = reason is None
    if reason is not None:
        event["code"], event["message"] = reason, REASON_TEXTS[reason]
    return event


def _shown(value: bytes | None) -> str | None:
    return value.decode(errors="replace") if value else None


def _answer(exchange: Exchange, events: Iterable[dict[str, Any]], cors: Headers) -> Answer:
    assert exchange.terms is not None
    assert exchange.dialect is not None
    listed = list(events)
    body = orjson.dumps(
        {
            "debug": True,
            "produced": False,
            "source": exchange.terms.source.name,
            "topic": exchange.terms.source.topic,
            "dialect": exchange.dialect.name,
            "valid": sum(event["valid"] for event in listed),
            "invalid": sum(not event["valid"] for event in listed),
            "events": listed,
        }
    )
    size = (b"content-length", b"%d" % len(body))
    return Answer(200, [(b"content-type", JSON), size, NO_STORE, *cors], body)
