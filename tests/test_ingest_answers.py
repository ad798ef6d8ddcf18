"""The answer table: every cell, asked from a door; a column that lacks a situation fails here."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from door_stand import DoorStand, header, json_of

from _native.scan import TYPE
from ingest import dialects
from ingest.answers import COLUMNS, PIXEL, Column, Reply, plain_error
from ingest.dialects import Dialect, Route
from ingest.door import Answer
from ingest.errors import ProduceError, Refusal, Situation
from ingest.exchange import Exchange

ORIGIN = {"origin": "https://shop.example.com"}
ACCEPTED = b'{"batch":[{"type":"a"}]}'
EVENT_BYTES_MAX = 1024

COMMON: dict[Situation, tuple[int, bool]] = {
    Situation.UNKNOWN_PATH: (404, False),
    Situation.WRONG_METHOD: (405, False),
    Situation.WRONG_ORIGIN: (403, False),
    Situation.TOO_SLOW: (408, False),
    Situation.MALFORMED: (400, False),
    Situation.HEAD_TOO_LARGE: (431, False),
    Situation.TARGET_TOO_LONG: (414, False),
}
# What the HTTP path says before the door has the request.
BEFORE_THE_DOOR = (
    Situation.TOO_SLOW,
    Situation.MALFORMED,
    Situation.HEAD_TOO_LARGE,
    Situation.TARGET_TOO_LONG,
)

# DIALECTS, section 1: status and whether Retry-After is there, by column.
TABLE: dict[str, dict[Situation, tuple[int, bool]]] = {
    "segment": {
        Situation.ACCEPTED: (200, False),
        Situation.INVALID_ONE: (200, False),
        Situation.INVALID_SOME: (200, False),
        Situation.UNREADABLE: (400, False),
        Situation.UNKNOWN_KEY: (401, False),
        Situation.TOO_LARGE: (413, False),
        Situation.OVER_QUOTA: (429, True),
        Situation.OVERLOAD: (503, True),
        **COMMON,
    },
    "native": {
        Situation.ACCEPTED: (204, False),
        Situation.INVALID_ONE: (400, False),
        Situation.INVALID_SOME: (207, False),
        Situation.UNREADABLE: (400, False),
        Situation.UNKNOWN_KEY: (401, False),
        Situation.TOO_LARGE: (413, False),
        Situation.OVER_QUOTA: (429, True),
        Situation.OVERLOAD: (503, True),
        **COMMON,
    },
}
CELLS = [(column, situation) for column in COLUMNS for situation in Situation]


def over_quota(exchange: Exchange, body: bytes) -> bytes:
    if exchange.query == b"quota":
        raise Refusal(Situation.OVER_QUOTA, "over_quota", "too much of this source")
    return body


def family(column: Column, pixel: bool = False) -> Dialect:
    """A dialect of the test's own with this column, in which every situation can come up."""
    segment = next(each for each in dialects.found() if each.name == "segment")
    routes = (Route("POST", "/t", "one or more", pixel=pixel),)
    return dataclasses.replace(segment, column=column, routes=routes, required=(TYPE,), text=over_quota)


def stand(column: Column, pixel: bool = False) -> DoorStand:
    source: dict[str, Any] = {
        "write_keys": ["good"],
        "origins": ["https://shop.example.com"],
        "limits": {"event_bytes_max": EVENT_BYTES_MAX},
    }
    return DoorStand({"web": source}, families=[family(column, pixel)])


def asked(door: DoorStand, situation: Situation) -> Answer:
    """Bring a door into a situation."""
    bodies = {Situation.UNREADABLE: b"nope", Situation.INVALID_ONE: b"{}"}
    bodies[Situation.INVALID_SOME] = b'{"batch":[{"type":"a"},{}]}'
    bodies[Situation.TOO_LARGE] = b'{"type":"a","x":"' + b"x" * EVENT_BYTES_MAX + b'"}'
    headers = {"x-write-key": "bad" if situation is Situation.UNKNOWN_KEY else "good", **ORIGIN}
    if situation is Situation.WRONG_ORIGIN:
        headers["origin"] = "https://evil.example.com"
    if situation is Situation.OVERLOAD:
        door.rounds.down = {"events": ProduceError("kafka_down", "broker-7 is away", retriable=True)}
    if situation in BEFORE_THE_DOOR:
        return door.refuse("POST", "/t", Refusal(situation, situation.name.lower(), "not so"), ORIGIN)
    method = "GET" if situation is Situation.WRONG_METHOD else "POST"
    target = "/nowhere" if situation is Situation.UNKNOWN_PATH else "/t"
    target += "?quota" if situation is Situation.OVER_QUOTA else ""
    return door.ask(method, target, bodies.get(situation, ACCEPTED), headers)


def test_every_column_has_a_reply_for_every_situation_and_stands_in_this_table() -> None:
    assert {column.name for column in COLUMNS} == set(TABLE)
    for column in COLUMNS:
        assert set(column.replies) == set(Situation) == set(TABLE[column.name])


@pytest.mark.parametrize(
    ("column", "situation"), CELLS, ids=[f"{column.name}-{situation.name}" for column, situation in CELLS]
)
def test_a_door_answers_as_the_table_says(column: Column, situation: Situation) -> None:
    door = stand(column)
    answer = asked(door, situation)
    status, retry_after = TABLE[column.name][situation]
    assert answer.status == status
    assert (header(answer, "retry-after") is not None) == retry_after
    assert header(answer, "vary") == "Origin"
    allowed = None if situation is Situation.WRONG_ORIGIN else ORIGIN["origin"]
    assert header(answer, "access-control-allow-origin") == allowed
    if situation is not Situation.WRONG_ORIGIN:
        assert header(answer, "access-control-allow-credentials") == "true"
        assert header(answer, "access-control-expose-headers") == "Retry-After, Headrace-Ack"
    if status != 204:
        assert header(answer, "content-length") == str(len(answer.body))
    reset = column.name == "segment" and situation is Situation.OVER_QUOTA
    assert header(answer, "x-ratelimit-reset") == (str(door.now_us // 1_000_000 + 5) if reset else None)


@pytest.mark.parametrize(
    ("column", "situation"), CELLS, ids=[f"{column.name}-{situation.name}" for column, situation in CELLS]
)
def test_g1_the_ack_header_is_there_exactly_when_something_of_the_request_is_in_kafka(
    column: Column, situation: Situation
) -> None:
    door = stand(column)
    answer = asked(door, situation)
    produced = len(door.rows()) + len(door.quarantined())
    assert header(answer, "headrace-ack") == ("kafka" if produced else None)
    assert door.rounds.outcomes == (1 if produced else 0)


@pytest.mark.parametrize("column", COLUMNS, ids=[column.name for column in COLUMNS])
def test_g7_an_invalid_event_is_either_in_the_quarantine_or_refused(column: Column) -> None:
    for situation in (Situation.INVALID_ONE, Situation.INVALID_SOME):
        door = stand(column)
        answer = asked(door, situation)
        batch = situation is Situation.INVALID_SOME
        assert len(door.rows()) == (1 if batch else 0)
        if column.replies[situation].keeps:
            (row,) = door.quarantined()
            assert (row["payload"], row["reason"], row["position"]) == ("{}", "invalid_event", int(batch))
        else:
            assert not door.quarantined()
            said = json_of(answer)
            code = said["results"][1]["code"] if batch else said["code"]
            assert code == "invalid_event"


def test_a_batch_with_bad_events_gets_one_result_per_event() -> None:
    answer = DoorStand().post("/events", [{"id": "1"}, 7, {"id": "2"}])
    assert answer.status == 207
    assert json_of(answer) == {
        "accepted": 2,
        "refused": 1,
        "results": [
            {"index": 0, "status": "accepted"},
            {
                "index": 1,
                "status": "refused",
                "code": "not_an_object",
                "message": "the event is not a JSON object",
            },
            {"index": 2, "status": "accepted"},
        ],
    }


def test_the_bodies_of_segment_are_those_its_sdks_read() -> None:
    door = DoorStand()
    accepted = door.post("/v1/track", {"event": "a"})
    assert (accepted.status, accepted.body) == (200, b'{"success":true}')
    refused = json_of(door.post("/v1/track", b"nope"))
    assert refused == {
        "success": False,
        "code": "invalid_json",
        "message": "expected JSON, got something else (byte 0)",
    }


@pytest.mark.parametrize("column", COLUMNS, ids=[column.name for column in COLUMNS])
def test_a_pixel_route_answers_with_the_image_whatever_happens(column: Column) -> None:
    for situation in Situation:
        if situation in (Situation.UNKNOWN_PATH, Situation.WRONG_METHOD):
            continue
        answer = asked(stand(column, pixel=True), situation)
        status, _ = TABLE[column.name][situation]
        assert answer.status == (200 if status < 300 else status), situation
        assert answer.body == PIXEL
        assert len(PIXEL) == 43
        assert header(answer, "content-type") == "image/gif"
        assert header(answer, "cache-control") == "no-store"


def test_a_family_that_must_not_be_told_of_an_unreadable_body_has_it_in_the_quarantine() -> None:
    kept = {**COLUMNS[0].replies, Situation.UNREADABLE: Reply(200, b"ok", keeps=True)}
    column = Column("kept", kept, error=plain_error)
    door = DoorStand({"open": {}}, families=[family(column)])
    answer = door.post("/t", b"\xff nope", key=None)
    assert (answer.status, answer.body, header(answer, "headrace-ack")) == (200, b"ok", "kafka")
    (row,) = door.quarantined()
    assert (row["payload_bytes"], row["reason"], row["position"]) == (b"\xff nope", "unreadable_body", -1)
    assert not door.rows()
    assert door.post("/t", b"\xff nope", key="bad").status == 401
    debug = json_of(door.post("/t?debug=1", b"\xff nope", key=None))
    assert (debug["events"][0]["code"], debug["valid"]) == ("invalid_utf8", 0)
    assert len(door.quarantined()) == 1


def test_the_weaker_levels_have_the_status_of_their_own() -> None:
    native = next(column for column in COLUMNS if column.name == "native")
    for ack, status in ((b"kafka", 204), (b"disk", 202), (b"memory", 202)):
        answer = native.accepted(ack, [])
        assert (answer.status, header(answer, "headrace-ack")) == (status, ack.decode())


def test_a_request_whose_rest_is_not_read_closes_its_connection() -> None:
    for situation in Situation:
        answer = asked(stand(COLUMNS[0]), situation)
        closes = situation in BEFORE_THE_DOOR
        assert header(answer, "connection") == ("close" if closes else None)
