"""The Starlette application: the door's own bytes, bodies bounded in size and time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, MutableMapping
from typing import Any

import pytest
from door_stand import DoorStand, basic, header, json_of
from starlette.applications import Starlette

from ingest.app import UNREAD_BYTES_MAX, build_app
from ingest.door import Answer, Incoming

Message = MutableMapping[str, Any]
KEY = (b"authorization", basic("good").encode())
BODY_BYTES_MAX = 2048


def stand(**limits: Any) -> DoorStand:
    return DoorStand(limits={"body_bytes_max": BODY_BYTES_MAX, "event_bytes_max": BODY_BYTES_MAX, **limits})


class Client:
    """Speaks ASGI with an application, one message at a time; counts what was read of the body."""

    def __init__(
        self, app: Starlette, messages: list[Message], then: Callable[[], Any] | None = None
    ) -> None:
        self._app = app
        self._messages = list(messages)
        self._then = then
        self.read = 0
        self.sent: list[Message] = []

    async def receive(self) -> Message:
        if self._messages:
            self.read += 1
            return self._messages.pop(0)
        if self._then is not None:
            return self._then()  # type: ignore[no-any-return]
        await asyncio.Event().wait()  # nothing comes any more
        raise AssertionError

    async def send(self, message: Message) -> None:
        self.sent.append(message)

    async def ask(self, method: str, target: str, headers: list[tuple[bytes, bytes]]) -> Answer | None:
        path, _, query = target.partition("?")
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": query.encode(),
            "headers": headers,
            "client": ("192.0.2.7", 4711),
        }
        await self._app(scope, self.receive, self.send)
        if not self.sent:
            return None
        start, body = self.sent
        return Answer(start["status"], start["headers"], body["body"])


def chunk(data: bytes, more: bool = False) -> Message:
    return {"type": "http.request", "body": data, "more_body": more}


def asked(
    door: DoorStand,
    method: str,
    target: str,
    messages: list[Message],
    headers: list[tuple[bytes, bytes]] | None = None,
    then: Callable[[], Any] | None = None,
) -> tuple[Answer | None, Client]:
    async def ask() -> Answer | None:
        answer = await client.ask(method, target, [KEY] if headers is None else headers)
        door.door.flush_counts()
        return answer

    client = Client(build_app(door.door), messages, then)
    return asyncio.run(ask()), client


@pytest.mark.parametrize(
    ("method", "target", "body"),
    [
        ("POST", "/v1/batch", b'{"batch":[{"messageId":"1"},2]}'),
        ("POST", "/events", b'[{"id":"1"},2]'),
        ("POST", "/events", b"nope"),
        ("GET", "/pixel.gif?key=good&e=x", b""),
        ("GET", "/v1/projects/good/settings", b""),
        ("GET", "/nowhere", b""),
        ("GET", "/", b""),
        ("PUT", "/v1/batch", b"{}"),
        ("HEAD", "/openapi.json", b""),
        ("OPTIONS", "/v1/batch", b""),
        ("POST", "/v1//batch", b"{}"),
    ],
)
def test_an_answer_is_the_doors_own_byte_for_byte(method: str, target: str, body: bytes) -> None:
    headers = [KEY, (b"origin", b"https://a.b"), (b"host", b"c.example.com")]
    through, _ = asked(stand(), method, target, [chunk(body)], headers)
    path, _, query = target.partition("?")
    incoming = Incoming(method, path, query.encode(), headers, body, "192.0.2.7")
    door = stand()
    assert through == door.ask(method, target, body, {k.decode(): v for k, v in headers}, peer=incoming.peer)


def test_a_body_in_pieces_is_one_body() -> None:
    door = stand()
    pieces = [chunk(b'{"mess', more=True), chunk(b"", more=True), chunk(b'ageId":"1"}')]
    answer, _ = asked(door, "POST", "/v1/track", pieces)
    assert answer is not None
    assert answer.status == 200
    assert [row["event_id"] for row in door.rows()] == ["1"]
    assert door.rows()[0]["client_ip"] == "192.0.2.7"


def padded(size: int) -> bytes:
    return b'{"x":"' + b"x" * (size - 8) + b'"}'


def test_g8_a_body_is_read_up_to_its_bound_and_not_a_byte_further() -> None:
    fits, _ = asked(stand(), "POST", "/v1/track", [chunk(padded(BODY_BYTES_MAX))])
    assert fits is not None
    assert fits.status == 200
    pieces = [chunk(b"x" * 1024, more=True)] * 10
    answer, client = asked(stand(), "POST", "/v1/track", pieces)
    assert answer is not None
    assert (answer.status, header(answer, "connection")) == (413, "close")
    assert client.read == 3
    assert json_of(answer)["code"] == "body_too_large"


def test_g8_a_body_that_says_that_it_is_too_large_is_not_read_at_all() -> None:
    for said, status, read in ((b"2048", 200, 1), (b"2049", 413, 0), (b"9" * 40, 413, 0)):
        headers = [KEY, (b"content-length", said), (b"origin", b"https://a.b")]
        answer, client = asked(stand(), "POST", "/v1/track", [chunk(padded(BODY_BYTES_MAX))], headers)
        assert answer is not None
        assert (answer.status, client.read) == (status, read)
        assert header(answer, "access-control-allow-origin") == "https://a.b"


def test_g8_a_body_for_nobody_is_bounded_too() -> None:
    for size, status in ((UNREAD_BYTES_MAX, 404), (UNREAD_BYTES_MAX + 1, 413)):
        answer, _ = asked(stand(), "POST", "/nowhere", [chunk(b"x" * size)])
        assert answer is not None
        assert answer.status == status


def test_g10_a_body_that_does_not_come_in_time_is_answered_with_408() -> None:
    door = stand(body_seconds_max=0.1)
    answer, _ = asked(door, "POST", "/v1/track", [chunk(b'{"a":', more=True)])
    assert answer is not None
    assert (answer.status, header(answer, "connection")) == (408, "close")
    assert json_of(answer)["success"] is False
    assert not door.rows()


def test_a_client_that_goes_away_within_its_body_brings_nothing() -> None:
    door = stand()
    pieces = [chunk(b'{"a":1}', more=True), {"type": "http.disconnect"}]
    answer, client = asked(door, "POST", "/v1/track", pieces)
    assert answer is None
    assert not client.sent
    assert not door.rows()
