"""Real SDKs pointed at the running stack: each event once in the lake, with its id, type, name and user."""

from __future__ import annotations

import json
import time
import uuid
from typing import Any

import requests
import segment.analytics as segment
from cloudevents.v1.http import CloudEvent, to_binary, to_structured
from stack_stand import Stack

VISIBLE_SECONDS_MAX = 30  # from POST to visible row; `up` takes 10 by default
EVENTS = 100


def landed(stack: Stack, ids: set[str]) -> dict[str, dict[str, Any]]:
    """The rows of these ids once all are visible, each once; and how long that took is bounded."""
    columns = (
        "event_id",
        "event_type",
        "event_name",
        "user_id",
        "anonymous_id",
        "payload",
        "dialect",
        "flags",
    )
    deadline = time.monotonic() + VISIBLE_SECONDS_MAX
    while True:
        found = stack.rows(f"select {', '.join(columns)} from rows")
        mine = [dict(zip(columns, row, strict=True)) for row in found if row[0] in ids]
        if len(mine) >= len(ids):
            break
        assert time.monotonic() < deadline, f"{len(mine)} of {len(ids)} rows after {VISIBLE_SECONDS_MAX} s"
        time.sleep(0.2)
    assert len(mine) == len(ids)
    return {row["event_id"]: row for row in mine}


def test_segment_python_sends_and_each_event_lands_once(stack: Stack) -> None:
    failures: list[Exception] = []
    client = segment.Client(
        "demo",
        host=stack.ready["collector_url"],
        on_error=lambda error, _: failures.append(error),
        upload_size=20,
        gzip=True,
    )
    sent: dict[str, str] = {}
    for number in range(EVENTS):
        identifier = str(uuid.uuid4())
        sent[identifier] = f"user-{number % 7}"
        client.track(
            sent[identifier],
            "Bought ☕",
            {"n": number, "price": 10**30, "text": "a/b\\c"},
            message_id=identifier,
        )
    client.shutdown()
    assert not failures
    rows = landed(stack, set(sent))
    for identifier, user in sent.items():
        row = rows[identifier]
        assert (row["event_type"], row["event_name"], row["user_id"]) == ("track", "Bought ☕", user)
        payload = json.loads(row["payload"])
        assert payload["messageId"] == identifier
        assert payload["properties"]["price"] == 10**30
        assert row["dialect"] == "segment"


def test_cloudevents_python_sends_in_both_modes(stack: Stack) -> None:
    sent: dict[str, dict[str, Any]] = {}
    for number in range(EVENTS):
        data = {"n": number, "text": "grün"}
        event = CloudEvent({"type": "com.example.order", "source": "/shop"}, data)
        headers, body = (to_binary if number % 2 else to_structured)(event)
        headers = {**headers, "Authorization": "Bearer demo"}
        answer = requests.post(
            stack.ready["collector_url"] + "/events", data=body, headers=headers, timeout=30
        )
        assert answer.status_code == 204
        assert answer.headers["headrace-ack"] == "kafka"
        sent[event["id"]] = data
    rows = landed(stack, set(sent))
    for identifier, data in sent.items():
        assert rows[identifier]["event_type"] == "com.example.order"
        assert json.loads(rows[identifier]["payload"]) == data
