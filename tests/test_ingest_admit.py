"""Admit: who a request is from, how much it may bring, which pages may post, and whose address is kept."""

from __future__ import annotations

from typing import Any

import pytest
from door_stand import DoorStand, basic, header, json_of
from pydantic import ValidationError

from ingest import admit
from ingest.address import HOPS_MAX, Proxies, shown
from ingest.admit import KEY_BYTES_MAX, KNOWN_BYTES_MAX
from ingest.settings import CollectorSettings

EVENT = b'{"messageId":"m","type":"track"}'
KEYED = {"web": {"write_keys": ["good"]}, "app": {"write_keys": ["app-1", "app-2", "id:secret"]}}
BESIDE = {**KEYED, "open": {}}


def source_of(door: DoorStand, target: str, headers: dict[str, str], body: bytes = EVENT) -> Any:
    """The source that a request landed in, or the status that refused it."""
    answer = door.ask("POST", target, body, headers)
    rows = door.rows()
    return rows[-1]["source"] if answer.status == 200 else answer.status


@pytest.mark.parametrize(
    ("target", "headers", "body"),
    [
        ("/v1/track", {"authorization": basic("app-1")}, EVENT),
        ("/v1/track", {"authorization": basic("app-1", colon="")}, EVENT),
        ("/v1/track", {"authorization": basic("app-1", colon="").rstrip("=")}, EVENT),
        ("/v1/track", {"authorization": basic("app-1").replace("Basic", "basic")}, EVENT),
        ("/v1/track", {"authorization": "Bearer app-2"}, EVENT),
        ("/v1/track", {"authorization": "app-2"}, EVENT),
        ("/v1/track", {"x-write-key": "app-2"}, EVENT),
        ("/v1/track", {"x-write-key": "id:secret"}, EVENT),
        ("/v1/track", {"authorization": basic("id:secret")}, EVENT),
        ("/v1/track?a=1&writeKey=app-1", {}, EVENT),
        ("/v1/track?writeKey=app%2D1", {}, EVENT),
        ("/beacon/v1/batch?writeKey=app-1", {}, b'{"batch":[' + EVENT + b"]}"),
        ("/v1/track", {}, b'{"messageId":"m","writeKey":"app-1"}'),
        ("/v1/batch", {}, b'{"batch":[' + EVENT + b'],"writeKey":"app-\\u0031"}'),
        ("/v1/track", {"authorization": basic("")}, b'{"messageId":"m","writeKey":"app-1"}'),
    ],
)
def test_a_key_is_found_wherever_the_sdks_put_it(target: str, headers: dict[str, str], body: bytes) -> None:
    assert source_of(DoorStand(BESIDE), target, headers, body) == "app"


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": basic("bad")},
        {"authorization": basic("good ")},
        {"authorization": basic("Good")},
        {"authorization": "Basic \x80!"},
        {"authorization": "Basic good"},
        {"authorization": "Bearer bad"},
        {"authorization": "Digest good"},
        {"x-write-key": "bad"},
        {"x-write-key": "good:"},
        {"x-write-key": "g" * (KEY_BYTES_MAX + 1)},
    ],
)
def test_g10_a_key_that_no_source_has_is_refused_even_beside_a_source_without_keys(
    headers: dict[str, str],
) -> None:
    door = DoorStand(BESIDE)
    assert source_of(door, "/v1/track", headers) == 401
    assert not door.rows()


def test_g10_a_wrong_key_in_the_query_or_the_body_is_refused_too() -> None:
    door = DoorStand(BESIDE)
    assert source_of(door, "/v1/track?writeKey=bad", {}) == 401
    assert source_of(door, "/v1/track", {}, b'{"writeKey":"bad"}') == 401
    assert not door.rows()


def test_a_right_key_is_right_again_and_a_wrong_one_after_it_is_wrong() -> None:
    door = DoorStand(KEYED)
    for _ in range(2):
        assert source_of(door, "/v1/track", {"authorization": basic("app-1")}) == "app"
        assert source_of(door, "/v1/track", {"authorization": basic("good")}) == "web"
        assert source_of(door, "/v1/track", {"authorization": basic("app-3")}) == 401
        assert door.post("/events", b"{}", key="app-1").status == 204
        assert door.rows()[-1]["dialect"] == "native"


def test_spellings_of_right_keys_are_remembered_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admit, "KNOWN_MAX", 2)
    door = DoorStand(KEYED)
    for pad in range(1, 6):
        spelling = {"authorization": basic("app-1").replace(" ", " " * pad)}
        assert source_of(door, "/v1/track", spelling) == "app"
    assert len(door.door._admission._known) == 2
    long = {"authorization": basic("app-2").replace(" ", " " * KNOWN_BYTES_MAX)}
    assert source_of(door, "/v1/track", long) == "app"


def test_without_a_key_the_source_without_keys_has_it_or_nobody() -> None:
    assert source_of(DoorStand(BESIDE), "/v1/track", {}) == "open"
    assert source_of(DoorStand(BESIDE), "/v1/track", {"authorization": basic("")}) == "open"
    assert source_of(DoorStand(KEYED), "/v1/track", {}) == 401
    assert source_of(DoorStand({}), "/v1/track", {}) == 401
    both = {"demo": {"write_keys": ["demo"], "keyless": True}}
    assert source_of(DoorStand(both), "/v1/track", {}) == "demo"
    assert source_of(DoorStand(both), "/v1/track", {"x-write-key": "bad"}) == 401


def test_the_refusal_names_host_and_path_and_never_the_key() -> None:
    answer = DoorStand().post("/v1/track", EVENT, key="s3cr3t-key", host="collect.example.com")
    said = json_of(answer)
    assert said["code"] == "unknown_key"
    assert "POST collect.example.com/v1/track" in said["message"]
    assert b"s3cr3t" not in answer.body
    assert header(answer, "www-authenticate") is not None


@pytest.mark.parametrize(
    "sources",
    [
        {"a": {"write_keys": ["k"]}, "b": {"write_keys": ["k"]}},
        {"a": {}, "b": {}},
        {"a": {"keyless": True, "write_keys": ["k"]}, "b": {}},
        {"a": {"paths": {"/x": "/v1/batch"}}, "b": {"paths": {"/x": "/v1/batch"}}},
        {"a": {"paths": {"/x": "/nowhere"}}},
        {"a": {"paths": {"/events": "/v1/batch"}}},
        {"a": {"paths": {"x": "/v1/batch"}}},
        {"a": {"write_keys": [""]}},
        {"a": {"write_keys": ["k" * (KEY_BYTES_MAX + 1)]}},
    ],
)
def test_sources_that_could_not_be_told_apart_stop_the_start(sources: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        DoorStand(sources)


def test_a_path_of_its_own_names_a_source_in_every_method() -> None:
    sources = {
        **BESIDE,
        "shop": {"write_keys": ["shop"], "paths": {"/x7/q": "/v1/batch", "/p": "/pixel.gif"}},
    }
    door = DoorStand(sources)
    assert source_of(door, "/x7/q", {}) == "shop"
    assert source_of(door, "/x7/q/", {}) == "shop"
    assert source_of(door, "/x7/q", {"x-write-key": "app-1"}) == "app"
    assert source_of(door, "/x7/q", {"x-write-key": "bad"}) == 401
    assert door.ask("GET", "/p?e=seen").status == 200
    assert door.rows()[-1]["source"] == "shop"
    assert door.ask("OPTIONS", "/x7/q", headers={"origin": "https://a.b"}).status == 204
    assert door.ask("GET", "/x7/q").status == 405


def bounds(**limits: int) -> dict[str, Any]:
    return {"write_keys": ["good"], "limits": limits}


@pytest.mark.parametrize("key_in_body", [False, True])
@pytest.mark.parametrize(
    ("everywhere", "own", "allowed"),
    [
        ({}, {}, 2500),
        ({"batch_events_max": 3000}, {}, 3000),
        ({"batch_events_max": 3000}, {"batch_events_max": 7}, 7),
    ],
)
def test_the_sources_limits_go_before_the_general_ones_before_the_dialects(
    everywhere: dict[str, int], own: dict[str, int], allowed: int, key_in_body: bool
) -> None:
    door = DoorStand({"web": bounds(**own), "other": {"write_keys": ["other"]}}, limits=everywhere)

    def status(events: int) -> int:
        body = b'{"batch":[' + b",".join([b"{}"] * events) + b'],"writeKey":"good"}'
        return door.post("/v1/batch", body, key=None if key_in_body else "good").status

    assert (status(allowed), status(allowed + 1)) == (200, 413)
    assert len(door.rows()) == allowed


@pytest.mark.parametrize("key_in_body", [False, True])
def test_body_event_and_depth_are_bounded_on_both_sides(key_in_body: bool) -> None:
    own = bounds(body_bytes_max=2048, event_bytes_max=1024)
    door = DoorStand({"web": own, "other": {"write_keys": ["other"]}}, limits={"depth_max": 8})

    def status(body: bytes) -> int:
        assert b"GOOD" in body
        return door.post(
            "/v1/batch", body.replace(b"GOOD", b"good"), key=None if key_in_body else "good"
        ).status

    def sized(size: int, start: bytes, end: bytes) -> bytes:
        return start + b"x" * (size - len(start) - len(end)) + end

    assert status(sized(1024, b'{"writeKey":"GOOD","x":"', b'"}')) == 200
    assert status(sized(1025, b'{"writeKey":"GOOD","x":"', b'"}')) == 413
    assert status(sized(2048, b'{"writeKey":"GOOD","batch":[{}],"x":"', b'"}')) == 200
    assert status(sized(2049, b'{"writeKey":"GOOD","batch":[{}],"x":"', b'"}')) == 413
    assert status(b'{"writeKey":"GOOD","x":' + b"[" * 7 + b"]" * 7 + b"}") == 200
    assert status(b'{"writeKey":"GOOD","x":' + b"[" * 8 + b"]" * 8 + b"}") == 400
    assert len(door.rows()) == 3


def test_an_event_of_a_batch_that_is_too_large_is_kept_apart_and_the_others_go_through() -> None:
    door = DoorStand({"web": bounds(event_bytes_max=1024)})
    fits, large = (
        b'{"messageId":"%s","x":"%s"}' % (name, b"x" * size) for name, size in ((b"a", 900), (b"b", 1100))
    )
    assert door.post("/v1/batch", b'{"batch":[' + fits + b"," + large + b"]}").status == 200
    assert [row["event_id"] for row in door.rows()] == ["a"]
    (row,) = door.quarantined()
    assert (row["event_id"], row["reason"], row["position"]) == ("b", "event_too_large", 1)
    assert row["payload"].encode() == large


PAGES = {"web": {"write_keys": ["good"], "origins": ["https://shop.example.com", "HTTPS://Www.Example.com/"]}}


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("https://shop.example.com", True),
        ("https://www.example.com", True),
        ("https://SHOP.example.com", True),
        ("http://shop.example.com", False),
        ("https://shop.example.com:8443", False),
        ("https://evil.example.com", False),
        ("https://shop.example.com.evil.org", False),
    ],
)
def test_only_pages_on_the_list_may_post_and_see_answers(origin: str, allowed: bool) -> None:
    door = DoorStand(PAGES)
    answer = door.post("/v1/track", EVENT, origin=origin)
    assert answer.status == (200 if allowed else 403)
    assert header(answer, "access-control-allow-origin") == (origin if allowed else None)
    assert len(door.rows()) == allowed
    asked = {"origin": origin, "access-control-request-method": "POST"}
    preflight = door.ask("OPTIONS", "/v1/track", headers=asked)
    assert header(preflight, "access-control-allow-origin") == (origin if allowed else None)


@pytest.mark.parametrize(("origin", "told"), [("", None), ("null", "null")])
def test_who_names_no_page_is_taken_and_answered_without_credentials(origin: str, told: str | None) -> None:
    door = DoorStand(PAGES)
    answer = door.post("/v1/track", EVENT, origin=origin)
    preflight = door.ask(
        "OPTIONS", "/v1/track", headers={"origin": origin, "access-control-request-method": "POST"}
    )
    assert (answer.status, preflight.status) == (200, 204)
    for one in (answer, preflight):
        assert header(one, "access-control-allow-origin") == told
        assert header(one, "access-control-allow-credentials") is None


def test_a_preflight_is_answered_so_that_any_browser_goes_on() -> None:
    asked = {
        "origin": "https://shop.example.com",
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,x-retry-count",
    }
    answer = DoorStand(PAGES).ask("OPTIONS", "/v1/batch", headers=asked)
    assert (answer.status, answer.body) == (204, b"")
    assert header(answer, "access-control-allow-origin") == "https://shop.example.com"
    assert header(answer, "access-control-allow-credentials") == "true"
    assert header(answer, "access-control-allow-headers") == "authorization,x-retry-count"
    assert "POST" in (header(answer, "access-control-allow-methods") or "")
    assert int(header(answer, "access-control-max-age") or 0) > 600
    assert "Origin" in (header(answer, "vary") or "")


def test_every_origin_is_named_exactly_where_all_may_post() -> None:
    answer = DoorStand().post("/v1/track", EVENT, origin="https://any.example.org")
    assert header(answer, "access-control-allow-origin") == "https://any.example.org"


def test_pages_see_errors_that_come_before_the_source_is_known() -> None:
    door = DoorStand(PAGES)
    for answer in (
        door.post("/v1/track", EVENT, key="bad", origin="https://shop.example.com"),
        door.post("/nowhere", EVENT, origin="https://shop.example.com"),
        door.ask("GET", "/v1/track", headers={"origin": "https://shop.example.com"}),
    ):
        assert answer.status in (401, 404, 405)
        assert header(answer, "access-control-allow-origin") == "https://shop.example.com"


@pytest.mark.parametrize(
    ("header_lines", "client"),
    [
        ([], "10.0.0.1"),
        ([("x-forwarded-for", "203.0.113.9")], "203.0.113.9"),
        ([("x-forwarded-for", "198.51.100.1, 203.0.113.9")], "203.0.113.9"),
        ([("x-forwarded-for", "203.0.113.9, 10.1.1.1")], "203.0.113.9"),
        ([("x-forwarded-for", "198.51.100.1"), ("x-forwarded-for", "203.0.113.9")], "203.0.113.9"),
        ([("x-forwarded-for", "10.1.1.1, 10.1.1.2")], "10.1.1.1"),
        ([("x-forwarded-for", "203.0.113.9:4711")], "203.0.113.9"),
        ([("x-forwarded-for", "[2001:db8::1]:4711")], "2001:db8::1"),
        ([("x-forwarded-for", "2001:db8::1")], "2001:db8::1"),
        ([("x-forwarded-for", "unknown, 10.1.1.1")], "10.1.1.1"),
        ([("x-forwarded-for", "nonsense")], "10.0.0.1"),
        ([("x-forwarded-for", "2001:db8::1" + " " * 80 + "x")], "10.0.0.1"),
        ([("forwarded", 'for=203.0.113.9;proto=https, for="[2001:db8::9]:80"')], "2001:db8::9"),
        ([("forwarded", "proto=https;For=203.0.113.9")], "203.0.113.9"),
        ([("forwarded", "for=_hidden")], "10.0.0.1"),
    ],
)
def test_the_client_is_the_nearest_address_that_is_no_trusted_proxy(
    header_lines: list[tuple[str, str]], client: str
) -> None:
    headers = [(name.encode(), value.encode()) for name, value in header_lines]
    assert Proxies(["10.0.0.0/8"]).client("10.0.0.1", headers) == client
    assert Proxies([]).client("10.0.0.1", headers) == "10.0.0.1"
    assert Proxies(["192.168.0.0/16"]).client("10.0.0.1", headers) == "10.0.0.1"


def test_only_so_many_hops_are_looked_at() -> None:
    def client(hops: int) -> str:
        line = ", ".join(["203.0.113.9", *["10.1.1.1"] * hops]).encode()
        return Proxies(["10.0.0.0/8"]).client("10.0.0.1", [(b"x-forwarded-for", line)])

    assert client(HOPS_MAX - 1) == "203.0.113.9"
    assert client(HOPS_MAX) == "10.1.1.1"


@pytest.mark.parametrize(
    ("rule", "address", "kept"),
    [
        ("keep", "203.0.113.9", b"203.0.113.9"),
        ("keep", "2001:DB8::0:1", b"2001:db8::1"),
        ("keep", "::ffff:203.0.113.9", b"203.0.113.9"),
        ("truncate", "203.0.113.9", b"203.0.113.0"),
        ("truncate", "2001:db8:1:2:3:4:5:6", b"2001:db8:1::"),
        ("truncate", "::ffff:203.0.113.9", b"203.0.113.0"),
        ("drop", "203.0.113.9", None),
        ("keep", "", None),
        ("keep", "a unix socket", None),
    ],
)
def test_of_an_address_is_stored_what_the_privacy_rule_allows(
    rule: str, address: str, kept: bytes | None
) -> None:
    assert shown(address, rule) == kept
    door = DoorStand({"web": {"write_keys": ["good"], "privacy": {"address": rule}}})
    door.ask("POST", "/v1/track", EVENT, {"x-write-key": "good"}, peer=address)
    (row,) = door.rows()
    assert row["client_ip"] == (kept.decode() if kept else None)


def test_networks_that_are_none_stop_the_start() -> None:
    assert CollectorSettings(trusted_proxies=("10.0.0.0/8", "::1")).trusted_proxies
    with pytest.raises(ValidationError, match="expected networks"):
        CollectorSettings(trusted_proxies=("*",))


def test_an_address_from_a_trusted_proxy_reaches_the_record() -> None:
    door = DoorStand(collector={"trusted_proxies": ["192.0.2.0/24"]})
    door.post("/v1/track", EVENT, x_forwarded_for="203.0.113.9")
    assert door.rows()[0]["client_ip"] == "203.0.113.9"
