"""Requests made ahead: takes rendered requests, gives their bytes again and again with new event ids.

Rendering an event costs a hundred times what sending it may cost, so a pool is rendered once and goes round.
Ids have a fixed width (loadtest.ids) and stand in the body as text: each round writes the next numbers over
them. All else stays as it was, so a pool must be larger than what one record batch holds, or the same text in
one batch would compress better than real traffic does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from loadtest.bodies import Request
from loadtest.ids import event_id


@dataclass(frozen=True, slots=True)
class Ready:
    """One request as it goes over the wire; its events are numbered [first, first + events)."""

    data: bytes
    events: int
    first: int


@dataclass(slots=True)
class _Slot:
    data: bytearray
    at: tuple[int, ...]
    width: int


class Pool:
    """An endless row of requests; every event has an id of its own."""

    def __init__(self, requests: Sequence[Request], host: str, seed: int, first: int = 0) -> None:
        """`host` goes into the Host header; ids are those of numbers from `first` on."""
        assert requests, "a pool needs requests"
        self._slots = [_slot(request, host) for request in requests]
        self._seed = seed
        self._next = 0
        self.number = first
        """The number that the next event gets."""

    def next(self) -> Ready:
        """The next request. Does not suspend."""
        slot = self._slots[self._next]
        self._next = (self._next + 1) % len(self._slots)
        data, first = slot.data, self.number
        for number, at in enumerate(slot.at, first):
            data[at : at + slot.width] = event_id(self._seed, number).encode()
        self.number = first + len(slot.at)
        return Ready(bytes(data), len(slot.at), first)


def _slot(request: Request, host: str) -> _Slot:
    head = [f"POST {request.path} HTTP/1.1", f"Host: {host}", f"Content-Length: {len(request.body)}"]
    head += [f"{name}: {value}" for name, value in request.headers]
    data = bytearray("\r\n".join(head).encode() + b"\r\n\r\n" + request.body)
    at, places = len(data) - len(request.body), []
    for one in request.ids:
        at = data.index(one.encode(), at)
        places.append(at)
        at += len(one)
    return _Slot(data, tuple(places), len(request.ids[0]))
