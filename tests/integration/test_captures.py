"""What real SDKs sent, replayed over HTTP against a running stack: each event once by id, as it was meant."""

from __future__ import annotations

import http.client
from collections import defaultdict
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from captures import Recorded, recorded
from stack_stand import Stack

FILES = (
    "segment-analytics-python",
    "segment-analytics-node",
    "segment-analytics-next",
    "cloudevents-python",
    "beacon-page",
)
BODY_BYTES_MAX = 900_000  # what the sizes scenario sends beyond it is there to be refused
LANDED_SECONDS = 60
OWN = ("host", "content-length", "transfer-encoding")
CONFIG = """
[sources.keyed]
write_keys = ["WRITE_KEY_example_1234567890"]
origins = ["https://shop.example.com"]
[sources.open]
write_keys = []
origins = ["https://shop.example.com"]
[topics.events]
partitions = 4
lanes = 2
roll_seconds = 1
[limits]
body_bytes_max = 8388608
event_bytes_max = 1048576
"""


@pytest.fixture(scope="module")
def replay_stack(kafka_jars: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    stack = Stack(tmp_path_factory.mktemp("replay"), CONFIG)
    try:
        stack.start()
        yield stack
    finally:
        stack.kill()


def replay(stack: Stack, requests: list[Recorded]) -> dict[str, list[dict[str, Any]]]:
    """Send them in order over one connection, as they were recorded; the events by id."""
    place = urlsplit(stack.ready["collector_url"])
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=30)
    sent = defaultdict(list)
    for request in requests:
        headers = [(name, value) for name, value in request.headers if name.lower() not in OWN]
        connection.putrequest(request.method, request.target, skip_host=True, skip_accept_encoding=True)
        connection.putheader("Host", place.netloc)
        for name, value in headers:
            try:
                connection.putheader(name, value.encode("latin-1"))
            except UnicodeEncodeError:
                connection.putheader(name, value.encode())
        if request.method == "POST" or request.body:
            connection.putheader("Content-Length", str(len(request.body)))
        connection.endheaders(request.body or None)
        answer = connection.getresponse()
        answer.read()
        assert 200 <= answer.status < 300, (request.scenario, request.target, answer.status)
        for event in request.events:
            sent[event["id"]].append(event)
    connection.close()
    return sent


@pytest.mark.parametrize("name", FILES)
def test_each_recorded_event_is_in_the_lake_with_its_type_name_and_user(
    replay_stack: Stack, name: str
) -> None:
    sent = replay(replay_stack, [one for one in recorded(name) if len(one.body) <= BODY_BYTES_MAX])
    assert len(sent) > 10
    replay_stack.landed(sum(replay_stack.end_offsets().values()), LANDED_SECONDS)
    columns = "event_id, event_type, event_name, user_id, anonymous_id"
    rows = [row for row in replay_stack.rows(f"select {columns} from rows") if row[0] in sent]
    assert {row[0] for row in rows} == set(sent)
    assert len(rows) == sum(map(len, sent.values())), "a repeat may land as often as it was sent, not more"
    for event_id, event_type, event_name, user_id, anonymous_id in rows:
        event = sent[event_id][0]
        assert event_type == event["type"]
        assert user_id == (event["user_id"] or None)
        assert anonymous_id == event["anonymous_id"] or not event["anonymous_id"]
        if name != "cloudevents-python":  # there the name is an extension of the sender's own
            assert event_name == (event["name"] or None)
