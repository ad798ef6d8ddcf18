"""Dialects: what Segment, RudderStack, CloudEvents, native senders and beacon pages send, and its rows."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from door_stand import NOW_US, DoorStand, header, json_of

from _native.record import Flags
from ingest.answers import PIXEL
from ingest.forms import FIELDS_MAX
from ingest.stamp import AGENT_BYTES_MAX, CONTEXT_BYTES_MAX

NOW = datetime.fromtimestamp(NOW_US / 1e6, UTC)


def one_row(door: DoorStand) -> dict[str, Any]:
    (row,) = door.rows()
    return row


# Segment, RudderStack


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("track", "track"),
        ("t", "track"),
        ("page", "page"),
        ("p", "page"),
        ("screen", "screen"),
        ("s", "screen"),
        ("identify", "identify"),
        ("i", "identify"),
        ("group", "group"),
        ("g", "group"),
        ("alias", "alias"),
        ("a", "alias"),
    ],
)
def test_the_path_says_the_type_where_the_event_does_not(path: str, kind: str) -> None:
    door = DoorStand()
    assert door.post(f"/v1/{path}", {"messageId": "1"}).status == 200
    assert door.post(f"/v1/{path}/", {"messageId": "2", "type": "own"}).status == 200
    first, second = door.rows()
    assert (first["event_type"], second["event_type"]) == (kind, "own")
    assert not first["flags"] & Flags.TYPE_MISSING


@pytest.mark.parametrize("path", ["/v1/batch", "/v1/b", "/v1/import", "/beacon/v1/batch"])
def test_a_batch_path_takes_batches_and_single_events(path: str) -> None:
    door = DoorStand()
    assert door.post(path, {"batch": [{"messageId": "1"}, {"messageId": "2"}]}).status == 200
    assert door.post(path, {"messageId": "3"}).status == 200
    assert [row["event_id"] for row in door.rows()] == ["1", "2", "3"]


def test_segment_fields_become_columns_and_the_payload_keeps_its_bytes() -> None:
    event = (
        b'{ "messageId":"m\\u00e9","type":"track","event":"Bought","name":"unused","userId":"u",'
        b'"anonymousId":"a","timestamp":"2026-11-23T02:49:00Z","n":12345678901234567890123 }'
    )
    door = DoorStand()
    door.post("/v1/batch", b'{"batch":[' + event + b'],"sentAt":"2026-11-23T02:49:30Z"}')
    row = one_row(door)
    assert row["payload"].encode() == event
    assert (row["event_id"], row["event_type"], row["event_name"]) == ("mé", "track", "Bought")
    assert (row["user_id"], row["anonymous_id"], row["dialect"]) == ("u", "a", "segment")
    # The client's clock is 30 s behind: the event was 30 s before it was sent, and it was sent now.
    assert row["event_time"] == datetime(2026, 11, 23, 2, 49, 30, tzinfo=UTC)
    assert row["flags"] & Flags.TIME_CORRECTED


def test_an_event_without_an_id_gets_one_and_is_flagged() -> None:
    door = DoorStand()
    door.post("/v1/track", {"event": "a"})
    row = one_row(door)
    assert row["event_id"] == "0001020304050607-0"
    assert row["flags"] & Flags.ID_MADE


def test_the_context_that_a_batch_shares_stands_beside_its_events_up_to_a_bound() -> None:
    def context_of(size: int) -> tuple[str | None, int]:
        door = DoorStand()
        context = b'{"x":"' + b"x" * (size - 8) + b'"}'
        door.post("/v1/batch", b'{"batch":[{"context":{"own":1}}],"context":' + context + b"}")
        row = one_row(door)
        return dict(row["attributes"] or {}).get("hr_ctx"), row["flags"] & Flags.FIELD_CUT

    kept, cut = context_of(CONTEXT_BYTES_MAX)
    assert (len(kept or ""), cut) == (CONTEXT_BYTES_MAX, 0)
    kept, cut = context_of(CONTEXT_BYTES_MAX + 1)
    assert (kept, bool(cut)) == (None, True)


def test_a_single_event_has_its_context_in_the_payload_alone() -> None:
    door = DoorStand()
    door.post("/v1/track", {"context": {"a": 1}})
    assert "hr_ctx" not in dict(one_row(door)["attributes"] or {})


@pytest.mark.parametrize("value", ["anon-42", base64.b64encode(b"anon-42").decode()])
def test_rudderstack_headers_fill_in_what_the_event_lacks(value: str) -> None:
    door = DoorStand()
    headers = {"anonymousid": value, "sentat": "2026-11-23T02:50:10Z"}
    door.post("/v1/track", {"messageId": "1", "originalTimestamp": "2026-11-23T02:50:00Z"}, **headers)
    door.post("/v1/track", {"messageId": "2", "anonymousId": "own"}, **headers)
    first, second = door.rows()
    assert (first["anonymous_id"], second["anonymous_id"]) == ("anon-42", "own")
    assert first["event_time"] == datetime(2026, 11, 23, 2, 49, 50, tzinfo=UTC)


@pytest.mark.parametrize(
    ("headers", "query", "flagged"),
    [
        ({}, "", False),
        ({"x-retry-count": "0"}, "", False),
        ({"x-retry-count": "1"}, "", True),
        ({"rsa-retry-attempt": "2"}, "", True),
        ({"posthog-attempt": "1"}, "", False),
        ({"posthog-attempt": "2"}, "", True),
        ({}, "?retry_count=0", False),
        ({}, "?a=b&retry_count=3", True),
    ],
)
def test_g4_what_says_that_it_is_a_retry_is_flagged(
    headers: dict[str, str], query: str, flagged: bool
) -> None:
    door = DoorStand()
    door.post(f"/v1/track{query}", {"event": "a"}, **headers)
    assert bool(one_row(door)["flags"] & Flags.RETRY) == flagged


def test_start_up_calls_get_a_small_honest_stub() -> None:
    door = DoorStand()
    for path in ("/v1/projects/good/settings", "/projects/good/settings"):
        said = json_of(door.ask("GET", path, headers={"host": "c.example.com", "origin": "https://a.b"}))
        integration = said["integrations"]["Segment.io"]
        assert (integration["apiHost"], integration["protocol"]) == ("c.example.com/v1", "https")
        assert integration["apiKey"] == "good"
        assert door.ask("GET", path.replace("good", "bad")).status == 401
    said = json_of(door.ask("GET", "/sourceConfig/?writeKey=good"))
    assert (said["source"]["enabled"], said["source"]["destinations"]) == (True, [])
    assert door.ask("GET", "/sourceConfig/?writeKey=bad").status == 401
    assert door.ask("GET", "/sourceConfig/").status == 401
    assert door.post("/v1/m", {"series": []}, key=None).body == b'{"success":true}'
    assert not door.rows()


def test_a_refused_stub_does_not_show_the_key_that_stood_in_the_path() -> None:
    answer = DoorStand().ask("GET", "/v1/projects/s3cr3t/settings")
    assert b"s3cr3t" not in answer.body
    assert "/v1/projects/{key}/settings" in json_of(answer)["message"]


def test_a_user_agent_is_kept_as_text_up_to_a_bound() -> None:
    door = DoorStand()
    for agent in ("Mozilla/5.0", "Caf\xe9".encode("latin-1"), "é".encode() * AGENT_BYTES_MAX):
        door.post("/v1/track", {"event": "a"}, user_agent=agent)
    agents = [row["user_agent"] for row in door.rows()]
    assert agents == ["Mozilla/5.0", "Café", "é" * (AGENT_BYTES_MAX // 2)]


# Native


@pytest.mark.parametrize(
    ("body", "ids"),
    [
        (b'{"id":"1"}', ["1"]),
        (b'[{"id":"1"},{"id":"2"}]', ["1", "2"]),
        (b'{"id":"1"}\n{"id":"2"}\n', ["1", "2"]),
        (b'{"id":"1"}\r\n\r\n {"id":"2"}', ["1", "2"]),
        (b"[]", []),
    ],
)
@pytest.mark.parametrize(
    "kind", ["application/json", "text/plain", "application/x-www-form-urlencoded", None]
)
def test_plain_json_comes_as_object_array_or_lines_whatever_its_type(
    body: bytes, ids: list[str], kind: str | None
) -> None:
    door = DoorStand()
    answer = door.post("/events", body, **({"content_type": kind} if kind else {}))
    assert (answer.status, answer.body) == (204, b"")
    assert [row["event_id"] for row in door.rows()] == ids
    assert header(answer, "headrace-ack") == ("kafka" if ids else None)


def test_native_names_are_read_in_their_order_of_preference() -> None:
    door = DoorStand()
    door.post("/events", {"id": "1", "event_id": "x", "type": "t1", "event": "n1", "userId": "u", "aid": "a"})
    door.post("/events", {"messageId": "2", "t": "t2", "e": "n2", "uid": "u2", "ts": NOW_US // 1000})
    first, second = door.rows()
    assert [first[name] for name in ("event_id", "event_type", "event_name", "user_id", "anonymous_id")] == [
        "1",
        "t1",
        "n1",
        "u",
        "a",
    ]
    assert [second[name] for name in ("event_id", "event_type", "event_name", "user_id")] == [
        "2",
        "t2",
        "n2",
        "u2",
    ]
    assert second["event_time"] == NOW
    assert (first["dialect"], second["dialect"]) == ("native", "native")


@pytest.mark.parametrize(
    "body", [b"", b"   ", b"nope", b"42", b'"text"', b'{"a":1}x', b'{"a":1', b"\xff", b"{'a':1}"]
)
def test_what_is_no_json_of_events_is_refused_with_the_place(body: bytes) -> None:
    answer = DoorStand().post("/events", body)
    assert answer.status == 400
    assert "byte" in json_of(answer)["message"]


# CloudEvents

CE = {"specversion": "1.0", "id": "ce-1", "source": "/shop", "type": "com.example.sold"}
BINARY = {f"ce-{name}": value for name, value in CE.items()}


def structured(door: DoorStand, event: Any, kind: str = "application/cloudevents+json") -> int:
    return door.post("/events", event, content_type=kind).status


@pytest.mark.parametrize(
    "kind", ["application/cloudevents+json", "Application/CloudEvents+JSON; charset=utf-8"]
)
def test_a_structured_event_is_taken_apart(kind: str) -> None:
    door = DoorStand()
    event = {**CE, "time": "2026-11-23T02:49:00Z", "subject": "s", "userid": "u", "data": {"a": [1, 2]}}
    assert structured(door, event, kind) == 204
    row = one_row(door)
    assert (row["event_id"], row["event_type"], row["dialect"]) == ("ce-1", "com.example.sold", "cloudevents")
    assert row["payload"] == '{"a":[1,2]}'
    assert (row["user_id"], row["event_time"].minute) == ("u", 49)
    attributes = dict(row["attributes"])
    assert (attributes["ce_source"], attributes["ce_subject"]) == ("/shop", "s")


def test_a_batch_is_always_taken_apart_and_may_be_empty() -> None:
    door = DoorStand()
    kind = "application/cloudevents-batch+json"
    assert structured(door, [{**CE, "data": 1}, {**CE, "id": "ce-2", "data": "x"}], kind) == 204
    assert structured(door, [], kind) == 204
    assert [(row["event_id"], row["payload"]) for row in door.rows()] == [("ce-1", "1"), ("ce-2", '"x"')]
    assert structured(door, CE, kind) == 400


def test_data_that_is_no_json_keeps_its_bytes_and_type() -> None:
    door = DoorStand()
    xml = {**CE, "datacontenttype": "text/xml", "data": "<a>é</a>"}
    raw = {**CE, "datacontenttype": "image/png", "data_base64": base64.b64encode(b"\x89PNG\x00").decode()}
    assert structured(door, xml) == structured(door, raw) == structured(door, CE) == 204
    text, image, nothing = door.rows()
    assert (text["payload_bytes"], text["content_type"]) == ("<a>é</a>".encode(), "text/xml")
    assert (image["payload_bytes"], image["content_type"]) == (b"\x89PNG\x00", "image/png")
    assert not nothing["payload"]
    assert not nothing["payload_bytes"]


@pytest.mark.parametrize(
    "event",
    [
        {**CE, "data": 1, "data_base64": "AA=="},
        {**CE, "data_base64": "not base64"},
        {"specversion": "1.0", "id": "x", "source": "/s"},
    ],
)
def test_an_invalid_cloudevent_is_refused_alone_and_marked_in_a_batch(event: dict[str, Any]) -> None:
    door = DoorStand()
    assert structured(door, event) == 400
    answer = door.post("/events", [CE, event], content_type="application/cloudevents-batch+json")
    assert answer.status == 207
    assert [each["status"] for each in json_of(answer)["results"]] == ["accepted", "refused"]
    assert len(door.rows()) == 1


def test_binary_mode_has_its_attributes_in_headers() -> None:
    door = DoorStand()
    headers = {
        **BINARY,
        "ce-subject": "Euro%20%E2%82%AC%2520",
        "ce-city": "Malm\xf6".encode("latin-1"),
        "ce-quoted": '"a \\"b\\""',
        "ce-anonymousid": "anon",
        "ce-time": "2026-11-23T02:49:00Z",
        "content-type": "application/json; charset=utf-8",
    }
    assert door.post("/events", b'{"n": 1}', **headers).status == 204
    row = one_row(door)
    attributes = dict(row["attributes"])
    assert (row["payload"], row["anonymous_id"], row["event_time"].minute) == ('{"n": 1}', "anon", 49)
    assert attributes["ce_subject"] == "Euro €%20"
    assert attributes["ce_city"] == "Malmö"
    assert attributes["ce_quoted"] == 'a "b"'
    assert attributes["ce_source"] == "/shop"


@pytest.mark.parametrize(
    ("body", "kind", "payload", "payload_bytes"),
    [
        (b"[1, 2]", "application/json", "[1, 2]", None),
        (b'"x"', "application/vnd.a+json", '"x"', None),
        (b'{"a":1}', None, '{"a":1}', None),
        (b"\xff\x00", None, None, b"\xff\x00"),
        (b"\x1f\x8bnot gzip", "application/gzip", None, b"\x1f\x8bnot gzip"),
        (b"x\x9c text", "text/plain", None, b"x\x9c text"),
        (b"", "application/json", "", None),
    ],
)
def test_binary_data_is_kept_as_it_came(
    body: bytes, kind: str | None, payload: str | None, payload_bytes: bytes | None
) -> None:
    door = DoorStand()
    headers = {**BINARY, **({"content-type": kind} if kind else {})}
    assert door.post("/events", body, **headers).status == 204
    row = one_row(door)
    assert (row["payload"] or None, row["payload_bytes"] or None) == (payload or None, payload_bytes)


def test_binary_data_that_says_json_and_is_none_is_refused() -> None:
    door = DoorStand()
    assert door.post("/events", b"nope", **BINARY, content_type="application/json").status == 400
    assert door.post("/events", b"[" * 65 + b"]" * 65, **BINARY, content_type="text/json").status == 400
    untyped = {name: value for name, value in BINARY.items() if name != "ce-type"}
    answer = door.post("/events", b"{}", **untyped)
    assert (answer.status, json_of(answer)["code"]) == (400, "invalid_event")
    assert not door.rows()


def test_a_binary_event_is_bounded_like_any_other() -> None:
    door = DoorStand({"web": {"write_keys": ["good"], "limits": {"event_bytes_max": 1024}}})
    assert door.post("/events", b"x" * 1024, **BINARY, content_type="text/plain").status == 204
    assert door.post("/events", b"x" * 1025, **BINARY, content_type="text/plain").status == 413
    assert len(door.rows()) == 1


def test_the_webhook_handshake_grants_hosts_on_the_list() -> None:
    door = DoorStand({"web": {"write_keys": ["good"], "origins": ["https://sender.example.com:8443"]}})
    asked = {"webhook-request-origin": "sender.example.com", "webhook-request-rate": "120"}
    granted = door.ask("OPTIONS", "/events", headers=asked)
    assert granted.status == 200
    assert header(granted, "webhook-allowed-origin") == "sender.example.com"
    assert header(granted, "webhook-allowed-rate") == "120"
    refused = door.ask("OPTIONS", "/events", headers={"webhook-request-origin": "evil.example.com"})
    assert header(refused, "webhook-allowed-origin") is None
    elsewhere = door.ask("OPTIONS", "/v1/batch", headers=asked)
    assert header(elsewhere, "webhook-allowed-origin") is None


# Beacon page

EVENT = '{"id":"b-1","type":"page","event":"Café & more + 100%","uid":"u"}'
MULTIPART = (
    '--XyZ\r\nContent-Disposition: form-data; name="other"\r\n\r\n1\r\n'
    '--XyZ\r\ncontent-disposition: form-data; name="data"\r\nContent-Type: text/plain\r\n\r\n'
    f"{EVENT}\r\n--XyZ--\r\n"
)


@pytest.mark.parametrize(
    "body",
    [
        EVENT,
        f"\n {EVENT}",
        f"[{EVENT}]",
        f"data={quote(EVENT)}",
        f"other=1&data={quote_plus(EVENT)}",
        f"data={quote_plus(EVENT)}&other=1",
        MULTIPART,
    ],
)
@pytest.mark.parametrize("path", ["/beacon", "/collect"])
def test_a_page_sends_json_in_any_wrapping(path: str, body: str) -> None:
    door = DoorStand()
    assert door.post(f"{path}?key=good", body.encode(), key=None).status == 204
    row = one_row(door)
    assert row["payload"] == EVENT
    assert (row["event_id"], row["user_id"], row["dialect"]) == ("b-1", "u", "beacon")
    assert not row["flags"] & Flags.CONVERTED


def test_several_fields_of_data_are_several_events() -> None:
    door = DoorStand()
    assert door.post("/beacon", f"data={quote(EVENT)}&data=%7B%22id%22%3A%222%22%7D".encode()).status == 204
    assert [row["event_id"] for row in door.rows()] == ["b-1", "2"]


def test_fields_without_data_become_one_object_and_say_so() -> None:
    door = DoorStand()
    query = "/pixel.gif?key=good&id=p-1&t=view&e=Caf%C3%A9+%26&aid=a&uid=&ts=1795402140000&x=%FF&x=2"
    answer = door.ask("GET", query)
    assert (answer.status, answer.body, header(answer, "headrace-ack")) == (200, PIXEL, "kafka")
    row = one_row(door)
    assert json.loads(row["payload"]) == {
        "id": "p-1",
        "t": "view",
        "e": "Café &",
        "aid": "a",
        "uid": "",
        "ts": "1795402140000",
        "x": "2",
    }
    assert (row["event_type"], row["event_name"], row["anonymous_id"]) == ("view", "Café &", "a")
    assert (row["user_id"], row["event_time"]) == (None, datetime(2026, 11, 23, 2, 49, tzinfo=UTC))
    assert row["flags"] & Flags.CONVERTED
    assert row["flags"] & Flags.REPAIRED


def test_a_pixel_may_carry_the_json_itself() -> None:
    door = DoorStand()
    assert door.ask("GET", f"/pixel.gif?key=good&data={quote(EVENT)}").status == 200
    assert one_row(door)["payload"] == EVENT
    refused = door.ask("GET", "/pixel.gif?key=bad&data={}")
    assert (refused.status, refused.body, header(refused, "cache-control")) == (401, PIXEL, "no-store")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"nothing",
        b"data=",
        b"data=nope",
        MULTIPART.encode()[:-6],
        b"--\r\n",
        b"--XyZ\r\nno headers--XyZ--",
        b"--" + b"x" * 71 + b"\r\n\r\n",
    ],
)
def test_what_holds_no_event_is_refused(body: bytes) -> None:
    door = DoorStand()
    assert door.post("/beacon", body).status == 400
    assert not door.rows()


def test_the_fields_of_a_form_are_bounded() -> None:
    door = DoorStand()

    def form(fields: int) -> bytes:
        return b"&".join(b"f%d=1" % number for number in range(fields))

    def multipart(fields: int) -> bytes:
        part = b'--b\r\nContent-Disposition: form-data; name="f%d"\r\n\r\n1\r\n'
        return b"".join(part % number for number in range(fields)) + b"--b--\r\n"

    for made in (form, multipart):
        assert door.post("/beacon", made(FIELDS_MAX)).status == 204
        assert door.post("/beacon", made(FIELDS_MAX + 1)).status == 400
    assert [len(json.loads(row["payload"])) for row in door.rows()] == [FIELDS_MAX] * 2
