"""What real SDKs sent, replayed against the door: each event once, with its id, type, name and user."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from typing import Any

import pytest
from captures import Recorded, recorded
from door_stand import DoorStand, header

from _native.record import Flags
from ingest.exchange import Answer

KEY = "WRITE_KEY_example_1234567890"
ORIGIN = "https://shop.example.com"
SIZES_BYTES_MAX = 900_000  # what the sizes scenario sends beyond it is there to be refused
SEGMENT = ("segment-analytics-python", "segment-analytics-node", "segment-analytics-next")
WITH_CREDENTIALS = "beacon-page"


def stand() -> DoorStand:
    common = {"origins": [ORIGIN]}
    return DoorStand(
        {"keyed": {"write_keys": [KEY], **common}, "open": common},
        limits={"body_bytes_max": 8 << 20, "event_bytes_max": 1 << 20},
    )


def replayed(name: str) -> tuple[DoorStand, list[tuple[Recorded, Answer]]]:
    door = stand()
    answered = []
    for request in recorded(name):
        if len(request.body) > SIZES_BYTES_MAX:
            continue
        headers = {key.lower(): raw(value) for key, value in request.headers}
        answered.append((request, door.ask(request.method, request.target, request.body, headers)))
    assert answered
    return door, answered


def raw(value: str) -> bytes:
    try:
        return value.encode("latin-1")
    except UnicodeEncodeError:
        return value.encode()


def wanted(answered: list[tuple[Recorded, Answer]]) -> dict[str, list[dict[str, Any]]]:
    found = defaultdict(list)
    for request, _ in answered:
        for event in request.events:
            found[event["id"]].append(event)
    return found


def none(value: Any) -> str | None:
    return None if value in (None, "") else str(value)


@pytest.mark.parametrize("name", [*SEGMENT, "cloudevents-python", "beacon-page"])
def test_each_recorded_event_is_there_as_often_as_it_was_sent(name: str) -> None:
    door, answered = replayed(name)
    rows, events = door.rows(), wanted(answered)
    assert len(events) > 10
    assert Counter(row["event_id"] for row in rows) == {key: len(sent) for key, sent in events.items()}
    for row in rows:
        event = events[row["event_id"]][0]
        assert row["event_type"] == event["type"]
        assert row["user_id"] == none(event["user_id"])
        if none(event["anonymous_id"]):
            assert row["anonymous_id"] == event["anonymous_id"]
        if name != "cloudevents-python":  # there the name is an extension of the sender's own
            assert row["event_name"] == none(event["name"]), row
    assert not door.quarantined()


@pytest.mark.parametrize("name", SEGMENT)
def test_a_segment_payload_is_the_text_that_the_sdk_wrote(name: str) -> None:
    door, answered = replayed(name)
    bodies = b"".join(request.body for request, _ in answered if request.header("content-encoding") != "gzip")
    for row in door.rows():
        if row["payload"].encode() not in bodies:
            gzipped = [r for r, _ in answered if r.header("content-encoding") == "gzip"]
            assert any(row["event_id"] in {e["id"] for e in request.events} for request in gzipped)
        assert json.loads(row["payload"])["messageId"] == row["event_id"]


def test_a_batch_of_the_python_sdk_has_its_times_corrected_by_sent_at() -> None:
    door, _ = replayed("segment-analytics-python")
    batched = [row for row in door.rows() if row["event_time"] is not None]
    assert batched
    assert all(row["flags"] & Flags.TIME_CORRECTED for row in batched)


def test_retries_of_the_sdks_are_flagged() -> None:
    for name in SEGMENT:
        door, answered = replayed(name)
        retried = {
            event["id"]
            for request, _ in answered
            if request.header("x-retry-count") not in ("", "0")
            for event in request.events
        }
        flagged = {row["event_id"] for row in door.rows() if row["flags"] & Flags.RETRY}
        assert retried
        assert flagged == retried


def test_the_data_of_a_cloudevent_is_its_value_and_its_attributes_stand_beside_it() -> None:
    door, answered = replayed("cloudevents-python")
    events = wanted(answered)
    for row in door.rows():
        event = events[row["event_id"]][0]
        attributes = dict(row["attributes"])
        assert attributes["ce_source"] == event["source"]
        assert attributes["ce_probe"] == event["probe"]
        assert json.loads(row["payload"])["probe"] == event["probe"]
        assert attributes.get("ce_callname") == event["name"] or not event["name"]


@pytest.mark.parametrize("name", [*SEGMENT, "cloudevents-python", "beacon-page"])
def test_the_answers_let_each_sdk_go_on(name: str) -> None:
    _, answered = replayed(name)
    for request, answer in answered:
        if request.kind == "preflight":
            assert answer.status == 204
            asked = {word.strip() for word in request.header("access-control-request-headers").split(",")}
            allowed = header(answer, "access-control-allow-headers") or ""
            assert asked <= {word.strip() for word in allowed.split(",")}
        elif request.method == "GET":
            assert (answer.status, header(answer, "content-type")) == (200, "image/gif")
        elif name in SEGMENT:
            assert (answer.status, answer.body) == (200, b'{"success":true}')
        else:
            assert (answer.status, answer.body) == (204, b"")
        if request.header("origin"):
            assert header(answer, "access-control-allow-origin") == ORIGIN
            assert header(answer, "access-control-allow-credentials") == "true"


def test_a_page_without_a_key_goes_to_the_source_without_keys() -> None:
    door, _ = replayed("beacon-page")
    assert {row["source"] for row in door.rows()} == {"open"}
    door, _ = replayed("segment-analytics-next")
    assert {row["source"] for row in door.rows()} == {"keyed"}
