"""The door: numbers, honesty about outcomes, what becomes of faults, and the paths that bring no events."""

from __future__ import annotations

import asyncio
import struct
from typing import Any

import orjson
import pytest
import structlog
from door_stand import BOOT, DoorStand, basic, header, json_of
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from _native.record import TOPIC_QUARANTINE
from ingest import packing
from ingest.counts import Counts
from ingest.door import Incoming, Waiting
from ingest.errors import ProduceError

BAD_BATCH = {"batch": [{"messageId": "a"}, 1, {"messageId": "b"}, "two", None]}


def error(code: str, retriable: bool = True) -> ProduceError:
    return ProduceError(code, "broker-7.internal:9092 said no", retriable=retriable)


def test_numbers_are_gapless_over_all_topics_and_requests() -> None:
    door = DoorStand({"web": {"write_keys": ["good"]}, "app": {"write_keys": ["app"], "topic": "other"}})
    door.post("/v1/batch", BAD_BATCH)
    door.post("/v1/batch", b"nope")
    door.post("/v1/track", {"event": "x"}, key="app")
    door.post("/events", [{"id": "1"}, 2])
    door.post("/events", b"", **{"ce-specversion": "1.0", "ce-type": "t"})
    door.post("/v1/batch?debug=1", BAD_BATCH)
    door.post("/v1/track", {"event": "y"})
    rows = [*door.rows(), *door.quarantined(), *door.rounds.rows("other")]
    assert sorted(row["sequence"] for row in rows) == list(range(9))
    assert {row["collector"] for row in rows} == {BOOT.hex()}


def test_g7_bad_events_of_a_batch_are_in_the_quarantine_with_bytes_reason_and_position() -> None:
    door = DoorStand()
    answer = door.post("/v1/batch", orjson.dumps(BAD_BATCH).replace(b'"two"', b'"tw\\u006f"'))
    assert (answer.status, header(answer, "headrace-ack")) == (200, "kafka")
    assert [row["event_id"] for row in door.rows()] == ["a", "b"]
    kept = [(row["payload"], row["reason"], row["position"]) for row in door.quarantined()]
    assert kept == [
        ("1", "not_an_object", 1),
        ('"tw\\u006f"', "not_an_object", 3),
        ("null", "not_an_object", 4),
    ]
    assert {row["source"] for row in door.quarantined()} == {"web"}
    assert door.rounds.outcomes == 1  # one answer for all of it, so the quarantine is as durable as the rest


@pytest.mark.parametrize("code", ["kafka_down", "topic_unusable", "stopping"])
def test_g1_nothing_is_taken_while_nothing_can_be_accepted(code: str) -> None:
    door = DoorStand()
    door.rounds.down = {"events": error(code)}
    answer = door.post("/v1/track", {"event": "a"})
    assert (answer.status, header(answer, "retry-after"), header(answer, "headrace-ack")) == (503, "5", None)
    said = json_of(answer)
    assert said["code"] == code
    assert "broker-7" not in said["message"]
    assert not door.rows()


@pytest.mark.parametrize(
    ("code", "status"),
    [("outcome_unknown", 503), ("produce_timeout", 503), ("produce_refused", 503), ("batch_too_large", 413)],
)
def test_g1_a_failed_outcome_is_never_answered_with_success(code: str, status: int) -> None:
    for path in ("/v1/track", "/events"):
        door = DoorStand()
        door.rounds.error = error(code)
        answer = door.post(path, {"event": "a"})
        assert (answer.status, header(answer, "headrace-ack")) == (status, None)
        assert json_of(answer)["code"] == code


def test_g1_an_unreachable_quarantine_is_no_success_for_what_belongs_there() -> None:
    door = DoorStand()
    door.rounds.down = {TOPIC_QUARANTINE: error("topic_unusable")}
    assert door.post("/v1/batch", BAD_BATCH).status == 503
    assert door.post("/v1/batch", {"batch": [{"messageId": "c"}]}).status == 200


def test_g8_at_the_bound_of_pending_bytes_a_request_is_refused_at_once() -> None:
    door = DoorStand()
    door.rounds.full = True
    for path, headers in (("/v1/track", {}), ("/events", {"ce-specversion": "1.0", "ce-type": "t"})):
        answer = door.post(path, {"event": "a"}, **headers)
        assert (answer.status, header(answer, "retry-after")) == (503, "1")
        assert json_of(answer)["code"] == "pending_full"
    assert not door.rows()


@pytest.mark.parametrize("level", ["kafka", "disk", "memory"])
def test_g1_who_asks_for_less_is_told_the_level_that_was_reached(level: str) -> None:
    door = DoorStand({"web": {"write_keys": ["good"], "ack": level}})
    answer = door.post("/events", {"id": "1"})
    assert (answer.status, header(answer, "headrace-ack")) == (204, "kafka")
    assert door.rows()[0]["ack"] == "kafka"


def test_an_internal_fault_is_a_503_and_is_logged_without_what_the_client_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: Any) -> None:
        secret = "payload of a person"
        raise ValueError(secret)

    monkeypatch.setattr(packing, "pack", fail)
    with structlog.testing.capture_logs() as logs:
        answer = DoorStand().post("/v1/track", {"event": "payload of a person"})
    assert (answer.status, json_of(answer)["code"]) == (503, "internal_error")
    (entry,) = logs
    assert (entry["event"], entry["log_level"], entry["error"]) == ("request_failed", "error", "ValueError")
    assert any("packing" in line for line in entry["where"])
    assert "payload of a person" not in repr(
        {**entry, "where": [line for line in entry["where"] if "secret" not in line]}
    )


def test_begin_and_end_do_what_answer_does() -> None:
    async def both() -> None:
        door = DoorStand()
        incoming = Incoming(
            "POST", "/v1/track", b"", [(b"authorization", basic("good").encode())], b'{"event":"a"}', ""
        )
        begun = door.door.begin(incoming)
        assert isinstance(begun, Waiting)
        assert door.door.end(begun) == await door.door.answer(incoming)
        refused = door.door.begin(incoming._replace(body=b"nope"))
        assert not isinstance(refused, Waiting)
        assert refused.status == 400
        door.door.flush_counts()

    asyncio.run(both())


# Debug


def test_debug_reports_every_event_and_produces_nothing() -> None:
    door = DoorStand()
    first_event = b'{"messageId":"1","event":"e","timestamp":"yesterday","userId":7}'
    body = b'{"batch":[' + first_event + b',3,{"type":"t","timestamp":0}]}'
    answer = door.post("/v1/batch?debug=1", body)
    said = json_of(answer)
    assert (answer.status, header(answer, "headrace-ack")) == (200, None)
    assert (said["source"], said["dialect"], said["produced"]) == ("web", "segment", False)
    assert (said["valid"], said["invalid"]) == (2, 1)
    first, second, third = said["events"]
    assert (first["id"], first["name"], first["user_id"], first["time"]) == ("1", "e", "7", None)
    assert first["notes"] == ["no type: it will be called event", "the time could not be read"]
    assert (second["valid"], second["code"]) == (False, "not_an_object")
    assert (third["time"], third["notes"]) == ("1970-01-01T00:00:00.000000Z", ["no id: one will be made"])
    assert door.post("/v1/batch?debug=0", {"batch": []}).body == b'{"success":true}'
    assert not door.rows()
    assert not door.quarantined()
    assert door.rounds.outcomes == 0


def test_debug_needs_the_key_and_tells_why_a_body_is_refused() -> None:
    door = DoorStand()
    assert door.post("/v1/batch?debug=1", BAD_BATCH, key="bad").status == 401
    assert door.post("/v1/batch?debug=1", b"nope").status == 400
    binary = {"ce-specversion": "1.0", "ce-type": "t", "content-type": "text/plain"}
    said = json_of(door.post("/events?debug=1", b"data", **binary))
    assert (said["events"][0]["type"], said["dialect"]) == ("t", "cloudevents")
    assert json_of(door.ask("GET", "/pixel.gif?debug=1&key=good&e=n"))["events"][0]["name"] == "n"
    assert not door.rows()


def test_debug_works_while_kafka_is_away() -> None:
    door = DoorStand()
    door.rounds.down = {"events": error("kafka_down")}
    door.rounds.full = True
    assert door.post("/v1/track?debug=1", {"event": "a"}).status == 200


# Paths without events


def test_an_unknown_path_says_what_was_hit_and_what_exists() -> None:
    answer = DoorStand().post("/v2/batch", b"{}", host="c.example.com")
    said = json_of(answer)
    assert (answer.status, said["code"]) == (404, "unknown_path")
    assert "POST c.example.com/v2/batch" in said["message"]
    for path in ("POST /v1/batch", "POST /events", "GET /pixel.gif", "GET /openapi.json"):
        assert path in said["message"]


def test_a_wrong_method_says_which_there_are() -> None:
    door = DoorStand()
    for method, target, allow in (
        ("GET", "/v1/batch", "OPTIONS, POST"),
        ("PUT", "/events", "OPTIONS, POST"),
        ("POST", "/pixel.gif", "GET, HEAD, OPTIONS"),
        ("DELETE", "/openapi.json", "GET, HEAD, OPTIONS"),
    ):
        answer = door.ask(method, target, b"")
        assert (answer.status, header(answer, "allow")) == (405, allow)
        assert json_of(answer)["code"] == "wrong_method"
    plain = door.ask("OPTIONS", "/v1/batch")
    assert (plain.status, header(plain, "allow")) == (204, "OPTIONS, POST")
    assert door.ask("OPTIONS", "/nowhere").status == 404


def test_head_tells_what_get_would_and_brings_no_event() -> None:
    door = DoorStand()
    for target, status in (
        ("/openapi.json", 200),
        ("/pixel.gif?key=good&e=x", 200),
        ("/v1/projects/good/settings", 200),
        ("/v1/projects/bad/settings", 401),
        ("/v1/batch", 405),
        ("/nowhere", 404),
    ):
        answer = door.ask("HEAD", target)
        assert (answer.status, answer.body) == (status, b""), target
        assert int(header(answer, "content-length") or 0) > 0
    assert not door.rows()


def test_the_openapi_document_names_every_path_with_its_statuses() -> None:
    door = DoorStand()
    document = json_of(door.ask("GET", "/openapi.json"))
    assert document["openapi"].startswith("3.1")
    events = document["paths"]["/events"]["post"]
    assert set(events["tags"]) == {"cloudevents", "native"}
    assert {"204", "207", "400", "401", "413", "429", "503"} <= set(events["responses"])
    assert set(document["paths"]["/pixel.gif"]) == {"get"}
    assert document["paths"]["/v1/projects/{key}/settings"]["get"]["parameters"][0]["in"] == "path"
    listed = json_of(door.ask("POST", "/nowhere"))["message"]
    for path, operations in document["paths"].items():
        for method in operations:
            assert f"{method.upper()} {path}" in listed


# Counts


def counted(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def test_what_was_answered_is_counted_by_dialect_source_and_reason() -> None:
    door = DoorStand({"counted": {"write_keys": ["good"]}})

    def now() -> list[float]:
        return [
            counted("headrace_requests_total", dialect="segment", status="2xx"),
            counted("headrace_requests_total", dialect="native", status="4xx"),
            counted("headrace_requests_total", dialect="none", status="4xx"),
            counted("headrace_body_bytes_total", dialect="segment"),
            counted("headrace_events_accepted_total", source="counted"),
            counted("headrace_events_quarantined_total", source="counted", reason="not_an_object"),
            counted("headrace_events_refused_total", source="counted", reason="not_an_object"),
            counted("headrace_events_refused_total", source="counted", reason="kafka_down"),
            counted("headrace_request_seconds_count", dialect="segment"),
            counted("headrace_request_seconds_bucket", dialect="segment", le="+Inf"),
            counted("headrace_request_seconds_bucket", dialect="segment", le="0.001"),
        ]

    before = now()
    body = orjson.dumps(BAD_BATCH)
    door.post("/v1/batch", body)
    door.post("/events", b"nope")
    door.post("/nowhere", b"")
    door.post("/events", [{}, 1])
    door.rounds.down = {"events": error("kafka_down")}
    door.post("/events", [{}, {}])
    grown = [after - start for after, start in zip(now(), before, strict=True)]
    assert grown == [1, 1, 1, len(body), 3, 3, 1, 2, 1, 1, 1]


def test_the_seconds_of_requests_are_summed() -> None:
    async def sum_up() -> None:
        counts = Counts()
        for seconds in (0.0005, 0.5, 100.0):
            counts.answered("summed", 200, seconds, 10)
        counts.flush()

    asyncio.run(sum_up())
    assert counted("headrace_request_seconds_sum", dialect="summed") == 100.5005
    buckets = {
        le: counted("headrace_request_seconds_bucket", dialect="summed", le=le) for le in ("0.001", "0.5")
    }
    assert buckets == {"0.001": 1, "0.5": 2}
    assert counted("headrace_request_seconds_count", dialect="summed") == 3


def test_counts_reach_the_metrics_by_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.counts.FLUSH_SECONDS", 0.01)

    async def wait() -> None:
        door = DoorStand({"timed": {"write_keys": ["good"]}})
        incoming = Incoming("POST", "/events", b"", [(b"x-write-key", b"good")], b"{}", "")
        await door.door.answer(incoming)
        deadline = asyncio.get_running_loop().time() + 5
        while not counted("headrace_events_accepted_total", source="timed"):
            assert asyncio.get_running_loop().time() < deadline
            await asyncio.sleep(0.005)

    asyncio.run(wait())


# Anything


PATHS = ("/v1/batch", "/events", "/beacon", "/pixel.gif", "/sourceConfig", "/", "", "/v1/projects//settings")
QUERIES = (b"key=good", b"debug=1&key=good", b"writeKey=good&data=%7B%7D")
NAMES = (
    b"content-type",
    b"content-encoding",
    b"origin",
    b"ce-specversion",
    b"ce-type",
    b"ce-",
    b"host",
    b"authorization",
    b"x-forwarded-for",
    b"sentat",
    b"anonymousid",
    b"user-agent",
    b"x-retry-count",
    b"access-control-request-method",
    b"webhook-request-origin",
)
VALUES = (b"application/cloudevents+json", b"gzip", b"br", b"1.0")
BODIES = (b"{}", b'{"batch":[{},1]}', b"--a\r\n", b"data=%7B%7D", b"[]", b"[1]")


@settings(deadline=None, max_examples=60)
@given(
    method=st.sampled_from(["GET", "POST", "OPTIONS", "HEAD", "PATCH", "\u00e9"]),
    path=st.sampled_from(PATHS) | st.text(max_size=20),
    query=st.binary(max_size=30) | st.sampled_from(QUERIES),
    names=st.lists(st.sampled_from(NAMES), max_size=6),
    values=st.lists(st.binary(max_size=20) | st.sampled_from(VALUES), min_size=6, max_size=6),
    body=st.binary(max_size=60) | st.sampled_from(BODIES),
)
def test_g10_whatever_comes_gets_an_answer_that_is_no_fault_of_ours(
    method: str, path: str, query: bytes, names: list[bytes], values: list[bytes], body: bytes
) -> None:
    async def ask() -> None:
        door = DoorStand(
            {"web": {"write_keys": ["good"]}, "open": {}}, collector={"trusted_proxies": ["::/0"]}
        )
        headers = list(zip(names, values, strict=False))
        answer = await door.door.answer(Incoming(method, path, query, headers, body, "::1"))
        door.door.flush_counts()
        assert answer.status < 500
        for name, value in answer.headers:
            assert name == name.lower()
            assert isinstance(value, bytes)
        if answer.status != 204 and method != "HEAD":
            assert dict(answer.headers)[b"content-length"] == b"%d" % len(answer.body)
        sequences = [row["sequence"] for row in [*door.rows(), *door.quarantined()]]
        assert sorted(sequences) == list(range(len(sequences)))

    asyncio.run(ask())


def test_hr_seq_is_boot_id_and_number() -> None:
    door = DoorStand()
    door.post("/v1/track", {"event": "a"})
    batch = next(iter(door.rounds.topics["events"].batches.values()))[0]
    batch.seal()
    batch._set_producer_state(1, 0, 0)
    assert BOOT + struct.pack(">Q", 0) in bytes(batch._build())
