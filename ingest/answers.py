"""The answer table: what each SDK family is told in each situation; the one place that makes answers.

A `Column` is one family, its rows are the members of `Situation`, as in a table

    situation         segment (Segment, RudderStack)         native (CloudEvents, native, beacon page)
    accepted          200 {"success":true}                   204 (kafka), 202 (disk, memory)
    the only event    200, event to the quarantine           400 with the reason
      is invalid
    one of a batch    200, event to the quarantine           207, one result per event, bad ones refused
      is invalid
    body unreadable   400                                    400
    unknown key       401                                    401
    too large         413                                    413
    over its quota    429, Retry-After, X-RateLimit-Reset    429, Retry-After
    overload          503, Retry-After                       503, Retry-After

Another family is one more Column. A pixel route has its dialect's statuses and always the same body.
Sources: what the SDKs do with a status, measured; RFC 9110 for 405, 408 and Retry-After.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

import orjson

from ingest.errors import RETRY_SECONDS, Situation
from ingest.exchange import Answer, Headers, Prepared

JSON: Final = b"application/json"
GIF: Final = b"image/gif"
# GIF89a, one transparent pixel.
PIXEL: Final = (
    b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff"
    b"!\xf9\x04\x01\x00\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;"
)
NO_STORE: Final = (b"cache-control", b"no-store")
CLOSE: Final = (b"connection", b"close")
ACK: Final = b"headrace-ack"
LEVELS: Final = (b"kafka", b"disk", b"memory")

REASON_TEXTS: Final[dict[str, str]] = {
    "not_an_object": "the event is not a JSON object",
    "event_too_large": "the event is larger than event_bytes_max",
    "invalid_event": "the event lacks what its dialect requires",
}


class Facts(NamedTuple):
    """What a body may tell. left_out: (index of the event, reason); now_us: receive time."""

    code: str = ""
    message: str = ""
    events: int = 0
    left_out: Sequence[tuple[int, str]] = ()
    body_bytes: int = 0
    now_us: int = 0
    query: bytes = b""
    retry_seconds: int = RETRY_SECONDS


class Reply(NamedTuple):
    """One cell. keeps: what is bad goes to the quarantine, which makes the request a success.

    weak_status: the status at the ack levels disk and memory, where it is another one.
    """

    status: int
    body: bytes | Callable[[Facts], bytes]
    keeps: bool = False
    weak_status: int = 0


class Column:
    """One SDK family: a reply for every situation."""

    def __init__(
        self,
        name: str,
        replies: Mapping[Situation, Reply],
        *,
        error: Callable[[Facts], bytes],
        rate_limit_reset: bool = False,
    ) -> None:
        """`error` is the body where a reply has none of its own, and in the situations common to all."""
        self.name = name
        self.rate_limit_reset = rate_limit_reset
        common = {situation: Reply(status, error) for situation, status in COMMON.items()}
        self.replies: Mapping[Situation, Reply] = {**common, **replies}
        accepted = self.replies[Situation.ACCEPTED]
        self.constant = not callable(accepted.body)
        self._accepted: dict[bytes, Prepared] = {}
        if self.constant:
            self._accepted = {ack: Prepared(*self._of(accepted, Facts(), ack, pixel=False)) for ack in LEVELS}

    def accepted(self, ack: bytes, cors: Headers) -> Answer:
        """Success at an ack level where the body is `constant`: the hot path, made once. Do not change it."""
        answer = self._accepted[ack]
        return Answer(answer.status, [*answer.headers, *cors], answer.body) if cors else answer

    def answer(
        self,
        situation: Situation,
        facts: Facts,
        cors: Headers,
        *,
        ack: bytes | None = None,
        pixel: bool = False,
        more: Headers | None = None,
    ) -> Answer:
        """The answer of one situation; `ack` only where events of the request are as durable as it says."""
        reply = self.replies[situation]
        answer = self._of(reply, facts, ack, pixel=pixel)
        if situation in (Situation.OVER_QUOTA, Situation.OVERLOAD):
            answer.headers.append((b"retry-after", b"%d" % facts.retry_seconds))
            if situation is Situation.OVER_QUOTA and self.rate_limit_reset:
                reset = facts.now_us // 1_000_000 + facts.retry_seconds
                answer.headers.append((b"x-ratelimit-reset", b"%d" % reset))
        if situation is Situation.UNKNOWN_KEY and reply.status == 401:
            answer.headers.append((b"www-authenticate", b'Bearer realm="events"'))
        answer.headers.extend(more or ())
        answer.headers.extend(cors)
        return answer

    def _of(self, reply: Reply, facts: Facts, ack: bytes | None, *, pixel: bool) -> Answer:
        status = reply.status if ack in (None, b"kafka") else reply.weak_status or reply.status
        body = reply.body(facts) if callable(reply.body) else reply.body
        if pixel:
            status, body = 200 if status < 300 else status, PIXEL
        headers: Headers = []
        if body:
            headers.append((b"content-type", GIF if pixel else JSON))
        if status != 204:
            headers.append((b"content-length", b"%d" % len(body)))
        if pixel or status >= 400:
            headers.append(NO_STORE)
        if ack is not None:
            headers.append((ACK, ack))
        return Answer(status, headers, body)


COMMON: Final[dict[Situation, int]] = {
    Situation.UNKNOWN_PATH: 404,
    Situation.WRONG_METHOD: 405,
    Situation.WRONG_ORIGIN: 403,
    Situation.TOO_SLOW: 408,
    Situation.MALFORMED: 400,
    Situation.HEAD_TOO_LARGE: 431,
    Situation.TARGET_TOO_LONG: 414,
}


def plain_error(facts: Facts) -> bytes:
    """`{"code", "message"}`."""
    return orjson.dumps({"code": facts.code, "message": facts.message})


def segment_error(facts: Facts) -> bytes:
    """As Segment's own: its SDKs read `code` and `message`."""
    return orjson.dumps({"success": False, "code": facts.code, "message": facts.message})


def results(facts: Facts) -> bytes:
    """One result per event of a batch, in its order."""
    bad = dict(facts.left_out)
    listed = [
        {"index": index, "status": "refused", "code": bad[index], "message": REASON_TEXTS[bad[index]]}
        if index in bad
        else {"index": index, "status": "accepted"}
        for index in range(facts.events)
    ]
    return orjson.dumps({"accepted": facts.events - len(bad), "refused": len(bad), "results": listed})


SEGMENT: Final = Column(
    "segment",
    {
        Situation.ACCEPTED: Reply(200, b'{"success":true}'),
        Situation.INVALID_ONE: Reply(200, b'{"success":true}', keeps=True),
        Situation.INVALID_SOME: Reply(200, b'{"success":true}', keeps=True),
        Situation.UNREADABLE: Reply(400, segment_error),
        Situation.UNKNOWN_KEY: Reply(401, segment_error),
        Situation.TOO_LARGE: Reply(413, segment_error),
        Situation.OVER_QUOTA: Reply(429, segment_error),
        Situation.OVERLOAD: Reply(503, segment_error),
    },
    error=segment_error,
    rate_limit_reset=True,
)

NATIVE: Final = Column(
    "native",
    {
        Situation.ACCEPTED: Reply(204, b"", weak_status=202),
        Situation.INVALID_ONE: Reply(400, plain_error),
        Situation.INVALID_SOME: Reply(207, results),
        Situation.UNREADABLE: Reply(400, plain_error),
        Situation.UNKNOWN_KEY: Reply(401, plain_error),
        Situation.TOO_LARGE: Reply(413, plain_error),
        Situation.OVER_QUOTA: Reply(429, plain_error),
        Situation.OVERLOAD: Reply(503, plain_error),
    },
    error=plain_error,
)

COLUMNS: Final[tuple[Column, ...]] = (SEGMENT, NATIVE)
