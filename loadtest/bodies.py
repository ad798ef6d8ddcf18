"""Requests that carry events: takes neutral records and a key, gives paths, headers and bodies byte for byte.

Each dialect renders the same events as its SDKs do: Segment in batches of a server, CloudEvents 1.0 (JSON
batch), plain JSON arrays. The same events give the same bytes.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Final

import orjson

from loadtest.sessions import Event
from loadtest.shop import HOST


@dataclass(frozen=True, slots=True)
class Request:
    """A POST that is ready to be sent; `ids` are those of its events. Host and length are left out."""

    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    ids: tuple[str, ...]
    due_us: int


def segment(events: Sequence[Event], key: str) -> Request:
    """POST /v1/batch, as a Segment SDK of a server sends it."""
    body = {"batch": [segment_event(event) for event in events], "sentAt": _moment(events[-1].sent_us)}
    basic = base64.b64encode(f"{key}:".encode()).decode()
    return _request("/v1/batch", (("authorization", f"Basic {basic}"), _JSON), orjson.dumps(body), events)


def cloudevents(events: Sequence[Event], key: str) -> Request:
    """POST /events, CloudEvents JSON batch (CloudEvents 1.0.2, JSON format section 4)."""
    content = ("content-type", "application/cloudevents-batch+json; charset=utf-8")
    body = orjson.dumps([cloudevent(event) for event in events])
    return _request("/events", (("authorization", f"Bearer {key}"), content), body, events)


def native(events: Sequence[Event], key: str) -> Request:
    """POST /events, a plain JSON array."""
    body = orjson.dumps([native_event(event) for event in events])
    return _request("/events", (("authorization", f"Bearer {key}"), _JSON), body, events)


DIALECTS: Final[dict[str, Callable[[Sequence[Event], str], Request]]] = {
    "segment": segment,
    "cloudevents": cloudevents,
    "native": native,
}
_JSON: Final = ("content-type", "application/json")


def requests(events: Iterable[Event], dialect: str, key: str, batch_events: int) -> Iterator[Request]:
    """Requests of `batch_events` events each, in the order of the events; the last may have fewer."""
    render = DIALECTS[dialect]
    left = iter(events)
    while some := list(islice(left, batch_events)):
        yield render(some, key)


def segment_event(event: Event) -> dict[str, Any]:
    """The event as an element of Segment's batch."""
    told: dict[str, Any] = {"type": event.kind, "messageId": event.id, "timestamp": _moment(event.made_us)}
    told |= _who(event)
    if event.kind == "identify":
        return {**told, "context": event.context, "traits": event.properties}
    told["event" if event.kind == "track" else "name"] = event.name
    return {**told, "context": event.context, "properties": event.properties}


def native_event(event: Event) -> dict[str, Any]:
    """The event as plain JSON."""
    told: dict[str, Any] = {"id": event.id, "type": event.kind, "name": event.name}
    told |= {"timestamp": _moment(event.made_us), **_who(event)}
    return {**told, "context": event.context, "properties": event.properties}


def cloudevent(event: Event) -> dict[str, Any]:
    """The event as a CloudEvent; who it was stands in the data."""
    data = {**_who(event), "name": event.name, "context": event.context, "properties": event.properties}
    return {
        "specversion": "1.0",
        "id": event.id,
        "source": HOST,
        "type": f"com.example.shop.{event.kind}",
        "time": _moment(event.made_us),
        "datacontenttype": "application/json",
        "data": data,
    }


def _who(event: Event) -> dict[str, str]:
    known = {"userId": event.person.user_id} if event.person.user_id else {}
    return {**known, "anonymousId": event.person.anonymous_id}


def _moment(us: int) -> str:
    """RFC 3339 with milliseconds, as SDKs write it."""
    return datetime.fromtimestamp(us // 1000 / 1000, UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


def _request(
    path: str, headers: tuple[tuple[str, str], ...], body: bytes, events: Sequence[Event]
) -> Request:
    if any(event.attempt for event in events):
        headers = (*headers, ("x-retry-count", str(max(event.attempt for event in events))))
    return Request(path, headers, body, tuple(event.id for event in events), events[-1].due_us)
