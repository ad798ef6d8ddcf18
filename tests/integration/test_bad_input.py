"""Bad input on the running stack: a clear answer, nothing stored that should not be, nobody held up."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Mapping

import pytest
from stack_stand import Stack, until

from _native.record import Flags

KEY = {"Authorization": "Basic " + base64.b64encode(b"demo:").decode()}
LANDED_SECONDS = 30
ID_MADE = int(Flags.ID_MADE)


@pytest.mark.parametrize(
    ("path", "body", "headers", "status", "told"),
    [
        ("/v1/batch", b"{", KEY, 400, "JSON"),
        ("/events", b"", KEY, 400, "JSON"),
        ("/events", b'{"a":"\xff"}', KEY, 400, "UTF-8"),
        ("/events", b"[" * 65 + b"]" * 65, KEY, 400, "deep"),
        (
            "/v1/batch",
            b"{}",
            {"Authorization": "Basic " + base64.b64encode(b"wrong:").decode()},
            401,
            "/v1/batch",
        ),
        ("/v1/track", b'{"x":"' + b"x" * 40_000 + b'"}', KEY, 413, "larger"),
        ("/v1/batch", b'{"batch":[],"x":"' + b"x" * 600_000 + b'"}', KEY, 413, "larger"),
        ("/v2/other", b"{}", KEY, 404, "/v1/batch"),
    ],
)
def test_g10_a_clear_answer(
    stack: Stack, path: str, body: bytes, headers: Mapping[str, str], status: int, told: str
) -> None:
    found, answered, said = stack.post(path, body, headers)
    assert found == status
    assert told in json.loads(said)["message"]
    assert "headrace-ack" not in answered
    assert stack.post("/events", b'{"type":"after"}', KEY)[0] == 204


def test_g10_a_wrong_key_is_told_which_host_and_path_it_hit(stack: Stack) -> None:
    host = stack.ready["collector_url"].removeprefix("http://")
    _, _, said = stack.post("/v1/batch", b"{}", {"Authorization": "Bearer nobody's"})
    assert f"{host}/v1/batch" in json.loads(said)["message"]
    assert b"nobody" not in said


def test_g7_single_bad_events_stand_in_the_quarantine_with_their_bytes_and_the_reason(stack: Stack) -> None:
    mark = uuid.uuid4().hex
    good = {"type": "track", "messageId": mark, "event": "ok"}
    before = stack.count("headrace.quarantine")
    body = b'{"batch":[12, "' + mark.encode() + b'", ' + json.dumps(good).encode() + b"]}"
    assert stack.post("/v1/batch", body, KEY)[0] == 200
    stack.landed(before + 2, LANDED_SECONDS, "headrace.quarantine")
    select = "select payload, reason, position, source from rows where reason = 'not_an_object'"
    found = stack.rows(select, "headrace.quarantine")
    assert ("12", "not_an_object", 0, "demo") in found
    assert (f'"{mark}"', "not_an_object", 1, "demo") in found


def test_an_event_without_an_id_is_accepted_gets_one_and_is_flagged(stack: Stack) -> None:
    mark = uuid.uuid4().hex
    for _ in range(2):
        assert stack.post("/events", json.dumps({"type": mark}).encode(), KEY)[0] == 204
    select = f"select event_id, flags from rows where event_type = '{mark}'"
    until(lambda: len(stack.rows(select)) == 2, LANDED_SECONDS, "both rows")
    found = stack.rows(select)
    assert len({event_id for event_id, _ in found}) == 2
    assert all(flags & ID_MADE for _, flags in found)
