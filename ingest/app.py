"""The Starlette application: translates between ASGI and the door, and bounds what is read of a body.

Every path goes through the same handler, so that the door alone knows what exists. A body is read up to
what its route may hold, within body_seconds_max; a longer or slower one is answered before it is whole.
"""

from __future__ import annotations

import asyncio
from typing import Final

from starlette.applications import Starlette
from starlette.types import Receive, Scope, Send

from ingest.decode import too_large
from ingest.door import Door
from ingest.errors import Refusal, Situation
from ingest.exchange import Answer, Headers, Incoming

DIGITS_MAX: Final = 20  # of a Content-Length: more than 64 bits hold, and still more than any bound
UNREAD_BYTES_MAX: Final = 64 * 1024  # of a body that nothing looks at, read so that the connection may stay


def build_app(door: Door) -> Starlette:
    """An application whose requests all go through `door`."""
    app = Starlette()
    app.router.default = Passage(door)  # for every path, `*` of an OPTIONS too
    return app


class Passage:
    """One ASGI application around the door."""

    def __init__(self, door: Door) -> None:
        self._door = door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request; a client that goes away before its body is whole gets none."""
        client = scope.get("client")
        incoming = Incoming(
            method=scope["method"],
            path=scope["path"],
            query=scope["query_string"],
            headers=scope["headers"],
            body=b"",
            peer=client[0] if client else "",
        )
        try:
            async with asyncio.timeout(self._door.body_seconds_max):
                body = await self._body(incoming, receive)
        except TimeoutError:
            text = f"the body did not come within {self._door.body_seconds_max:g} s"
            refusal = Refusal(Situation.TOO_SLOW, "body_too_slow", text)
            answer = self._door.refusal(incoming, refusal)
        except Refusal as refusal:
            answer = self._door.refusal(incoming, refusal)
        else:
            if body is None:
                return
            answer = await self._door.answer(incoming._replace(body=body))
        await _send(answer, send)

    async def _body(self, incoming: Incoming, receive: Receive) -> bytes | None:
        """The whole body; None where the client is gone. Raises Refusal beyond the bound."""
        bytes_max = self._door.body_bytes_max(incoming.method, incoming.path) or UNREAD_BYTES_MAX
        if _said_length(incoming.headers) > bytes_max:
            raise too_large(bytes_max)
        chunks: list[bytes] = []
        size = 0
        try:
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return None
                chunk = message.get("body", b"")
                self._door.bodies.take(len(chunk))
                size += len(chunk)
                if size > bytes_max:
                    raise too_large(bytes_max)
                chunks.append(chunk)
                if not message.get("more_body", False):
                    return chunks[0] if len(chunks) == 1 else b"".join(chunks)
        finally:
            self._door.bodies.give(size)


def _said_length(headers: Headers) -> int:
    """What Content-Length says; 0 where it says nothing that can be read, which the server has refused."""
    for name, value in headers:
        if name == b"content-length":
            return int(value[:DIGITS_MAX]) if value.isdigit() else 0
    return 0


async def _send(answer: Answer, send: Send) -> None:
    await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
    await send({"type": "http.response.body", "body": answer.body})
