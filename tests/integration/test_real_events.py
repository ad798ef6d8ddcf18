"""Real events through the running stack: what was sent is what plain DuckDB finds in the lake, byte for byte.

The sets of ../shared/data beside the checkout; where they are absent, generated sessions take their place.
"""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import pytest
from stack_stand import ROOT, Stack

from loadtest.sessions import Event, stream

DATA = ROOT.parent / "shared" / "data"
SETS = ("wikipedia", "ga4", "usagov", "apache", "coffee", "otto")
BATCH = 40  # ga4 has events of 10 kB, and Segment takes 500 kB in a request
LANDED_SECONDS = 90
KEY = {"Authorization": "Basic " + base64.b64encode(b"demo:").decode()}
BEARER = {"Authorization": "Bearer demo", "Content-Type": "application/json"}
STRANGE = (
    '{"event_id":"strange-1","event_type":"emoji","text":"\\ud83d\\ude80 🚀 \\u0000 \\/slashes\\/ ‮rtl"}',
    '{ "event_id" : "strange-2" , "event_type":"number", "n": 123456789012345678901234567890.125e-7 }',
    '{"event_id":"strange-3","event_type":"large","text":"' + "x€" * 2700 + '"}',
    '{"event_id":"strange-4","event_type":"twice","event_type":"last","a":{"event_type":"in"},"z":[[],{}]}',
)


@dataclass
class Expected:
    payload: str
    event_type: str
    event_time: datetime | None
    user_id: str | None


def converted(name: str) -> list[str]:
    """The lines of one set, or as many generated events."""
    if not DATA.exists():
        print(f"../shared/data is absent: generated sessions in place of {name}")
        events = stream(SETS.index(name), 50, 1_790_000_000_000_000)
        return [json.dumps(enveloped(event)) for event in islice(events, 1000) if not event.attempt]
    done = subprocess.run(
        [sys.executable, str(DATA / "convert_to_events.py"), name], capture_output=True, check=True
    )
    return done.stdout.decode().splitlines()


def enveloped(event: Event) -> dict[str, Any]:
    """A generated event in the envelope of the sets."""
    at = datetime.fromtimestamp(event.made_us // 1000 / 1000, UTC).isoformat(timespec="milliseconds")
    told = {"event_id": event.id, "event_type": event.kind, "event_time": at, "source": "generated"}
    return {**told, "user_id": event.person.user_id, "properties": event.properties}


def when(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text).astimezone(UTC) if text else None


def as_native(line: str, event: dict[str, Any]) -> tuple[str, Expected]:
    return line, Expected(line, event["event_type"], when(event["event_time"]), event["user_id"])


def as_segment(line: str, event: dict[str, Any]) -> tuple[str, Expected]:
    sent = {"messageId": event["event_id"], "type": "track", "event": event["event_type"]}
    sent |= {"userId": event["user_id"], "timestamp": event["event_time"], "properties": event["properties"]}
    text = json.dumps(sent, ensure_ascii=True)
    return text, Expected(text, "track", when(event["event_time"]), event["user_id"])


def as_cloudevent(line: str, event: dict[str, Any]) -> tuple[str, Expected]:
    data = json.dumps(event["properties"], ensure_ascii=False, indent=1)
    attributes = {"specversion": "1.0", "id": event["event_id"], "source": "/sets/" + event["source"]}
    attributes |= {"type": event["event_type"], "time": event["event_time"]}
    text = json.dumps(attributes)[:-1] + ', "data": ' + data + "}"
    return text, Expected(data, event["event_type"], when(event["event_time"]), None)


FORMS = (
    (as_native, "/events", BEARER, "[%s]"),
    (as_segment, "/v1/batch", KEY, '{"batch":[%s]}'),
    (as_cloudevent, "/events", BEARER | {"Content-Type": "application/cloudevents-batch+json"}, "[%s]"),
)


def send(stack: Stack, lines: list[str]) -> dict[str, Expected]:
    """Every line once, a third of them in each form; what the lake must hold, by event id."""
    expected: dict[str, Expected] = {}
    for number, (form, path, headers, envelope) in enumerate(FORMS):
        mine = lines[number :: len(FORMS)]
        for at in range(0, len(mine), BATCH):
            texts = []
            for line in mine[at : at + BATCH]:
                event = json.loads(line)
                text, expected[event["event_id"]] = form(line, event)
                texts.append(text)
            status, answered, body = stack.post(path, (envelope % ",".join(texts)).encode(), headers)
            assert status in (200, 204), (status, body)
            assert answered["headrace-ack"] == "kafka"
    return expected


@pytest.mark.timeout(300)
def test_g3_g6_real_sets_land_once_and_byte_for_byte(stack: Stack) -> None:
    expected: dict[str, Expected] = {}
    before, sent = sum(stack.end_offsets().values()), 0
    for name in SETS:
        lines = converted(name)
        expected |= send(stack, lines)
        sent += len(lines)
    assert sum(stack.end_offsets().values()) == before + sent
    stack.landed(before + sent, LANDED_SECONDS)
    columns = "event_id, payload, event_type, event_time, user_id, kafka_partition, kafka_offset"
    rows = [row for row in stack.rows(f"select {columns} from rows") if row[0] in expected]
    assert len(rows) == sent
    assert len({(partition, offset) for *_, partition, offset in rows}) == sent
    assert {row[0] for row in rows} == set(expected)
    for event_id, payload, event_type, event_time, user_id, _, _ in rows:
        want = expected[event_id]
        assert payload == want.payload
        assert event_type == want.event_type
        assert event_time == want.event_time
        assert user_id == want.user_id
    assert stack.verify()["proved"]


def test_g6_strange_text_stays_as_it_was(stack: Stack) -> None:
    before = stack.count()
    for text in STRANGE:
        assert stack.post("/events", text.encode(), BEARER)[0] == 204
    stack.landed(before + len(STRANGE), LANDED_SECONDS)
    found = stack.rows("select event_id, payload, event_type from rows where event_id like 'strange-%'")
    assert {row[0]: row[1] for row in found} == {json.loads(text)["event_id"]: text for text in STRANGE}
    assert {row[0]: row[2] for row in found}["strange-4"] == "last"
