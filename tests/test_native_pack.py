"""Pack: every header, flag, key and reason of the records that it makes, and how the sink reads them."""

from __future__ import annotations

import json
import struct
from datetime import UTC, datetime
from typing import Any

import pytest
from pack_stand import (
    BOOT,
    CE_SPEC,
    CYTHON,
    NOW_US,
    PYTHON,
    SPEC,
    TIMES,
    OpenBatches,
    Told,
    Twins,
    appended,
    landed,
    packed,
    stamp,
    told,
)

import _native.pack
from _native import batch_py, wants_extensions
from _native.cells import ANON, ID, TIME, TYPE, USER, VALUE, Scan, ScanSpec
from _native.hash import partition_of
from _native.pack_record_py import EARLY_US_MAX, LATE_US_MAX
from _native.pack_stamp import NUMBER_MAX, POSITION_MAX, RECEIVED_US_MAX, One, bytes_expected
from _native.record import FIELD_BYTES_MAX, HEADERS, QUARANTINE_REASONS, Flags
from _native.scan import scan
from _native.timestamp import MAX_US, MIN_US, parse_us, rfc3339

EVENT = {
    "messageId": "m-1",
    "type": "track",
    "event": "Order Done",
    "userId": "u-1",
    "anonymousId": "a-1",
    "timestamp": "2025-11-24T07:39:00Z",
}


@pytest.fixture(params=[PYTHON, CYTHON], ids=["python", "cython"])
def twins(request: pytest.FixtureRequest) -> Twins:
    found: Twins = request.param
    return found


def test_the_cython_twin_serves_where_it_is_built() -> None:
    served = CYTHON if wants_extensions() else PYTHON
    assert _native.pack.pack is served.pack.pack
    assert (served is CYTHON) == (_native.pack.TWIN == "cython")


def one_of(twins: Twins, event: Any, **more: Any) -> Told:
    """The record of a body that is one event."""
    body = event if isinstance(event, bytes) else json.dumps(event).encode()
    found, (record,) = packed(twins, body, **more)
    assert (found.accepted, found.number, found.left_out) == (1, 8, [])
    assert record.value == body
    return record


def flags_of(record: Told) -> Flags:
    return Flags(struct.unpack(">I", record.headers["hr_flags"])[0])


def test_a_record_has_all_headers_in_order(twins: Twins) -> None:
    more = {"ip": b"192.0.2.1", "agent": b"UA/1", "sent_us": NOW_US, "context": b'{"a":1}'}
    record = one_of(twins, EVENT, flags=Flags.RETRY, **more)
    flags = Flags.KEY_IS_USER | Flags.TIME_CORRECTED | Flags.RETRY
    assert record.headers == {
        "hr_seq": BOOT + bytes(7) + b"\x07",
        "hr_time": struct.pack(">q", NOW_US),
        "hr_source": b"web",
        "hr_dialect": b"segment",
        "hr_ack": b"kafka",
        "hr_flags": struct.pack(">I", flags),
        "ce_specversion": b"1.0",
        "ce_id": b"m-1",
        "ce_source": b"web",
        "ce_type": b"track",
        "ce_time": b"2025-11-24T07:39:00.000000Z",
        "content-type": b"application/json",
        "hr_name": b"Order Done",
        "hr_anon": b"a-1",
        "hr_ip": b"192.0.2.1",
        "hr_ua": b"UA/1",
        "hr_sent": struct.pack(">q", NOW_US),
        "hr_ctx": b'{"a":1}',
    }
    assert record.names == [name for name in HEADERS if name in record.headers]
    assert record.key == b"u-1"


def test_the_sink_reads_back_what_the_client_said(twins: Twins) -> None:
    batches = OpenBatches(twins, partitions=5, compression="zstd")
    events = [{**EVENT, "messageId": f"m{n}", "userId": f"u{n}", "n": n} for n in range(40)]
    body = json.dumps({"batch": events}).encode()
    found, _ = packed(twins, body, batches=batches, ip=b"::1", agent=b"UA", flags=Flags.RETRY)
    rows = sorted(landed(batches), key=lambda row: row["sequence"])
    assert [row["sequence"] for row in rows] == list(range(7, 47))
    assert found.number == 47
    for event, row in zip(events, rows, strict=True):
        assert json.loads(row["payload"]) == event
        assert row["payload"].encode() in body
        assert {name: row[name] for name in ("event_id", "user_id", "event_type", "event_name")} == {
            "event_id": event["messageId"],
            "user_id": event["userId"],
            "event_type": "track",
            "event_name": "Order Done",
        }
        assert row["anonymous_id"] == "a-1"
        assert (row["source"], row["dialect"], row["ack"]) == ("web", "segment", "kafka")
        assert (row["client_ip"], row["user_agent"], row["collector"]) == ("::1", "UA", BOOT.hex())
        assert row["received_at"] == datetime(2025, 11, 24, 7, 40, 0, 123456, UTC)
        assert row["event_time"] == datetime(2025, 11, 24, 7, 39, tzinfo=UTC)
        assert row["appended_at"] == datetime(2025, 11, 24, 7, 40, 0, 123000, UTC)
        assert row["flags"] == Flags.KEY_IS_USER | Flags.RETRY
        assert row["kafka_partition"] == partition_of(event["userId"].encode(), 5)
        assert row["attributes"] == []


@pytest.mark.parametrize(
    ("user", "anon", "by_anonymous", "key", "flag"),
    [
        ("u", "a", False, b"u", Flags.KEY_IS_USER),
        ("u", "a", True, b"a", Flags.KEY_IS_ANON),
        ("u", None, True, b"u", Flags.KEY_IS_USER),
        (None, "a", False, b"a", Flags.KEY_IS_ANON),
        (None, None, False, b"m", Flags(0)),
        ("", "", True, b"m", Flags(0)),
    ],
)
def test_the_key_is_the_user_the_anonymous_id_or_the_event(
    twins: Twins, user: str | None, anon: str | None, by_anonymous: bool, key: bytes, flag: Flags
) -> None:
    event = {"messageId": "m", "type": "t", "userId": user, "anonymousId": anon}
    batches = OpenBatches(twins)
    record = one_of(twins, event, batches=batches, key_by_anonymous=by_anonymous)
    assert (record.key, flags_of(record)) == (key, flag)
    assert ("hr_user" in record.headers) == bool(user and flag != Flags.KEY_IS_USER)
    assert ("hr_anon" in record.headers) == bool(anon and flag != Flags.KEY_IS_ANON)
    (row,) = landed(batches)
    assert (row["user_id"], row["anonymous_id"]) == (user or None, anon or None)


def test_what_an_event_lacks_is_made_or_taken_from_the_request(twins: Twins) -> None:
    _, (record,) = packed(twins, b"{}", number=250)
    assert record.headers["ce_id"] == b"0001fe626f6f7479-250" == record.key
    assert record.headers["ce_type"] == b"event"
    assert flags_of(record) == Flags.ID_MADE | Flags.TYPE_MISSING
    assert "ce_time" not in record.headers
    defaults = {"type_default": b"page", "user_default": b"u", "anon_default": "ä".encode()}
    record = one_of(twins, b'{"messageId":"m"}', **defaults)
    assert flags_of(record) == Flags.KEY_IS_USER
    assert [record.headers[name] for name in ("ce_type", "hr_anon")] == [b"page", "ä".encode()]
    assert record.key == b"u"
    record = one_of(twins, EVENT, **defaults)
    assert [record.headers[name] for name in ("ce_type", "hr_anon")] == [b"track", b"a-1"]


def test_scalars_are_lifted_as_their_text(twins: Twins) -> None:
    event = rb'{"messageId":-1.5e3,"type":true,"event":"a\"\u00e9\ud83d\ude00\ud800","userId":false}'
    record = one_of(twins, event)
    assert record.headers["ce_id"] == b"-1.5e3"
    assert record.headers["ce_type"] == b"true"
    assert record.headers["hr_name"] == 'a"é😀\ufffd'.encode()
    assert record.key == b"false"


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("x" * FIELD_BYTES_MAX, FIELD_BYTES_MAX),
        ("x" * (FIELD_BYTES_MAX + 1), FIELD_BYTES_MAX),
        ("x" + "é" * 3000, FIELD_BYTES_MAX - 1),
        ("xy" + "é" * 3000, FIELD_BYTES_MAX),
        ("xy" + "😀" * 2000, FIELD_BYTES_MAX - 2),
        ("xyz" + "😀" * 2000, FIELD_BYTES_MAX - 1),
    ],
)
@pytest.mark.parametrize("escaped", [False, True])
@pytest.mark.parametrize("role", ["messageId", "type", "event", "userId", "anonymousId"])
def test_a_long_value_is_cut_between_characters_and_flagged(
    twins: Twins, role: str, text: str, kept: int, escaped: bool
) -> None:
    event = json.dumps({**EVENT, "userId": None, role: text}, ensure_ascii=escaped).encode()
    record = one_of(twins, event)
    expected = text.encode()[:kept]
    header = {"messageId": "ce_id", "type": "ce_type", "event": "hr_name"}.get(role)
    assert (record.headers[header] if header else record.key) == expected
    assert bool(flags_of(record) & Flags.FIELD_CUT) == (len(text.encode()) > FIELD_BYTES_MAX)


def test_what_the_request_says_is_cut_and_made_readable_too(twins: Twins) -> None:
    record = one_of(twins, EVENT, agent=b"a" * 5000)
    assert record.headers["hr_ua"] == b"a" * FIELD_BYTES_MAX
    assert flags_of(record) & Flags.FIELD_CUT
    record = one_of(twins, EVENT, agent=b"caf\xe9", content_type=b"text/\xe9", user_default=b"\xff")
    assert (record.headers["hr_ua"], record.headers["content-type"]) == ("café".encode(), "text/é".encode())
    record = one_of(twins, b"{}", user_default=b"\xff", context=b"x" * 9000)
    assert record.key == "ÿ".encode()
    assert record.headers["hr_ctx"] == b"x" * 9000
    assert not flags_of(record) & Flags.FIELD_CUT
    record = one_of(twins, EVENT, agent=b"", ip=b"", context=b"", type_default=b"")
    assert not {"hr_ua", "hr_ip", "hr_ctx"} & set(record.names)


def timed(twins: Twins, event: dict[str, Any], **more: Any) -> tuple[bytes | None, Flags, bytes | None]:
    record = one_of(twins, {"messageId": "m", "type": "t", **event}, **more)
    return record.headers.get("ce_time"), flags_of(record), record.headers.get("hr_sent")


def test_a_time_is_corrected_by_when_it_was_sent(twins: Twins) -> None:
    clock_us = NOW_US + 5_000_000_000  # the client's clock is that much ahead
    event = {"timestamp": rfc3339(clock_us - 60_000_000).decode()}
    sent = struct.pack(">q", clock_us)
    expected = (rfc3339(NOW_US - 60_000_000), Flags.TIME_CORRECTED, sent)
    assert timed(twins, event, sent_us=clock_us) == expected
    own = {**event, "sentAt": rfc3339(clock_us).decode()}
    assert timed(twins, own) == expected
    assert timed(twins, own, sent_us=NOW_US) == expected
    assert timed(twins, {**event, "sentAt": "soon"}, sent_us=clock_us) == expected
    assert timed(twins, {"sentAt": clock_us}) == (None, Flags(0), sent)
    assert timed(twins, {"timestamp": "soon", "sentAt": clock_us}) == (None, Flags.TIME_UNREADABLE, sent)


@pytest.mark.parametrize(
    ("offset_us", "suspect"),
    [(-EARLY_US_MAX, False), (-EARLY_US_MAX - 1, True), (LATE_US_MAX, False), (LATE_US_MAX + 1, True)],
)
def test_a_time_without_correction_is_suspect_far_from_the_receive_time(
    twins: Twins, offset_us: int, suspect: bool
) -> None:
    time = rfc3339(NOW_US + offset_us)
    flag = Flags.TIME_SUSPECT if suspect else Flags(0)
    assert timed(twins, {"timestamp": time.decode()}) == (time, flag, None)


def test_a_correction_out_of_all_time_is_left_out(twins: Twins) -> None:
    event = {"timestamp": "1900-01-01"}
    expected = (b"1900-01-01T00:00:00.000000Z", Flags.TIME_SUSPECT)
    assert timed(twins, event, sent_us=NOW_US + 1)[:2] == expected
    assert timed(twins, event, sent_us=NOW_US)[:2] == (expected[0], Flags.TIME_CORRECTED)
    late = {"timestamp": rfc3339(MAX_US - 1).decode()}
    assert timed(twins, late, sent_us=NOW_US - 1)[:2] == (rfc3339(MAX_US - 1), Flags.TIME_SUSPECT)
    assert timed(twins, late, sent_us=NOW_US)[:2] == (rfc3339(MAX_US - 1), Flags.TIME_CORRECTED)


@pytest.mark.parametrize("time", TIMES)
def test_times_are_read_as_timestamp_does(twins: Twins, time: Any) -> None:
    text = time if isinstance(time, str) else json.dumps(time)
    expected = parse_us(text.encode())
    found = timed(twins, {"timestamp": time})
    assert found[0] == (None if expected is None else rfc3339(expected))
    assert bool(found[1] & Flags.TIME_UNREADABLE) == (expected is None)
    escaped = json.dumps(text).replace("0", "\\u0030")
    record = one_of(twins, b'{"timestamp":%s}' % escaped.encode())
    assert record.headers.get("ce_time") == found[0]


def test_times_of_many_days_in_one_request_are_each_their_own(twins: Twins) -> None:
    days = [f"2025-{month:02}-{day:02}" for month in (11, 12) for day in (8, 9, 10, 11, 19, 8, 8)]
    times = [f"{day}T{hour:02}:30:00{zone}" for day in days for hour in (0, 23) for zone in ("Z", "+09:00")]
    times += ["2025-11-31T00:00:00Z", "2025-11-30T00:00:00Z", "1969-12-31T23:00:00Z", "1970-01-01T00:00:00Z"]
    events = [{"messageId": str(n), "timestamp": time} for n, time in enumerate(times)]
    _, records = packed(twins, json.dumps(events).encode())
    expected = [parse_us(time.encode()) for time in times]
    assert [record.headers.get("ce_time") for record in records] == [
        None if at_us is None else rfc3339(at_us) for at_us in expected
    ]


def test_g7_each_event_is_taken_or_left_out_and_only_what_is_taken_uses_a_number(twins: Twins) -> None:
    events = ['{"a":1}', "5", '"text"', "[{}]", "null", '{"type":"x"}', '{"b":"%s"}' % ("x" * 100), "{}"]
    body = b"[" + ",".join(events).encode() + b"]"
    found, records = packed(twins, body, event_bytes_max=100)
    left = [(1, "not_an_object"), (2, "not_an_object"), (3, "not_an_object"), (4, "not_an_object")]
    assert found.left_out == [*left, (6, "event_too_large")]
    assert (found.accepted, found.number) == (3, 10)
    assert [record.value.decode() for record in records] == [events[0], events[5], events[7]]
    assert [record.headers["hr_seq"][-1] for record in records] == [7, 8, 9]
    assert {reason for _, reason in found.left_out} <= set(QUARANTINE_REASONS)


def test_an_event_may_be_as_large_as_its_bound_and_not_larger(twins: Twins) -> None:
    body = b'{"b":"%s"}' % (b"x" * 200)
    assert packed(twins, body, event_bytes_max=len(body))[0].accepted == 1
    assert packed(twins, body, event_bytes_max=len(body) - 1)[0].left_out == [(0, "event_too_large")]


@pytest.mark.parametrize("role", [TYPE, USER, ANON, ID, TIME])
def test_what_must_be_there_may_come_from_the_request(twins: Twins, role: int) -> None:
    member = {TYPE: "type", USER: "userId", ANON: "anonymousId", ID: "messageId", TIME: "timestamp"}[role]
    whole, bare = json.dumps({member: "x"}).encode(), json.dumps({member: ""}).encode()
    assert packed(twins, whole, required=(role,))[0].accepted == 1
    assert packed(twins, bare, required=(role,))[0].left_out == [(0, "invalid_event")]
    defaults = {"type_default": b"t", "user_default": b"u", "anon_default": b"a"}
    accepted = packed(twins, bare, required=(role,), **defaults)[0].accepted
    assert accepted == (role in (TYPE, USER, ANON))


@pytest.mark.parametrize("value", ['{"x":[1]}', '"te\\"xt"', '"plain"', "12.50", "null", "[ ]", "false"])
def test_the_value_is_the_slice_that_its_role_names(twins: Twins, value: str) -> None:
    spec = ScanSpec({VALUE: (("data",),)})
    _, (record,) = packed(twins, b'{"data":%s}' % value.encode(), spec)
    assert record.value == value.encode()
    _, (record,) = packed(twins, b' {"date":%s} ' % value.encode(), spec)
    assert record.value == b'{"date":%s}' % value.encode()


def test_batches_are_opened_once_per_kafka_partition_and_again_when_full(twins: Twins) -> None:
    batches = OpenBatches(twins, partitions=3, bytes_max=2000)
    events = [{"userId": f"u{n}", "messageId": str(n), "pad": "x" * (n * 7 % 90)} for n in range(120)]
    found, records = packed(twins, json.dumps(events).encode(), batches=batches)
    opened = [batch for _, _, batch in batches.opened]
    assert len(opened) == len(set(opened)) > 6
    assert found.touched == opened
    assert sum(batch.record_count() for batch in opened) == 120
    assert all(batch.size() <= 2000 for batch in opened)
    assert all(record.partition == partition_of(record.key or b"", 3) for record in records)
    for partition in range(3):
        numbers = [int(record.headers["ce_id"]) for record in records if record.partition == partition]
        assert numbers == sorted(numbers)


def test_a_batch_that_has_room_is_gone_on_with(twins: Twins) -> None:
    batches = OpenBatches(twins)
    first, _ = packed(twins, b'{"a":1}', batches=batches)
    batches = OpenBatches(twins)
    body = b'[{"a":1},{"a":2}]'
    one = twins.pack.pack(body, scan(body, SPEC), stamp(), batches)
    two = twins.pack.pack(body, scan(body, SPEC), stamp(number=one.number), batches)
    assert (one.touched, two.number) == (two.touched, 11)
    assert [record.headers["hr_seq"][-1] for record in told(batches)] == [7, 8, 9, 10]
    assert first.accepted == 1


def test_the_size_that_is_asked_for_is_enough_and_not_much_more(twins: Twins) -> None:
    for pad in (0, 1, 60, 63, 64, 8000, 9000):
        batches = OpenBatches(twins)
        packed(twins, json.dumps({**EVENT, "pad": "x" * pad}).encode(), batches=batches)
        ((_, size, batch),) = batches.opened
        plain = batch.size() - batch_py.HEAD_BYTES
        assert plain <= size <= plain + batch_py.RECORD_OVERHEAD_BYTES


def test_a_batch_is_gone_on_with_while_the_next_record_surely_fits(twins: Twins) -> None:
    body = b"[{},{}]"
    batches = OpenBatches(twins)
    packed(twins, b"{}", batches=batches)
    ((_, size, batch),) = batches.opened
    for bytes_max, opened in ((batch.size() + size, 1), (batch.size() + size - 1, 2)):
        batches = OpenBatches(twins, bytes_max=bytes_max)
        assert packed(twins, body, batches=batches)[0].accepted == 2
        assert len(batches.opened) == opened


def test_one_large_record_gets_a_batch_of_its_own(twins: Twins) -> None:
    batches = OpenBatches(twins, bytes_max=1000)
    events = [{"a": 1}, {"b": "x" * 5000}, {"a": 2}]
    found, records = packed(twins, json.dumps(events).encode(), batches=batches)
    assert [batch.record_count() for batch in found.touched] == [1, 1, 1]
    assert [json.loads(record.value) for record in records] == events


def test_the_body_may_be_any_buffer(twins: Twins) -> None:
    body = json.dumps([EVENT, {}]).encode()
    built = []
    for kind in (bytes, bytearray, memoryview):
        batches = OpenBatches(twins)
        twins.pack.pack(kind(body), scan(body, SPEC), stamp(), batches)
        built.append(batches.built())
    assert built[0] == built[1] == built[2]


def test_no_events_are_no_records(twins: Twins) -> None:
    found, records = packed(twins, b'{"batch":[]}')
    assert (found.accepted, found.number, found.touched, found.left_out, records) == (0, 7, [], [], [])


def test_a_stamp_out_of_its_bounds_is_refused_before_anything(twins: Twins) -> None:
    def tried(**more: Any) -> None:
        batches = OpenBatches(twins)
        try:
            twins.pack.pack(b"[{},{}]", scan(b"[{},{}]", SPEC), stamp(**more), batches)
        except ValueError:
            assert not batches.opened
            raise

    for more, message in (
        ({"boot": b"1234567"}, "boot id of 8 bytes, got 7"),
        ({"boot": b"123456789"}, "boot id of 8 bytes, got 9"),
        ({"number": -1}, "expected a number"),
        ({"number": NUMBER_MAX - 1}, "expected a number"),
        ({"received_us": -1}, "expected received_us"),
        ({"received_us": RECEIVED_US_MAX + 1}, "expected received_us"),
        ({"sent_us": MIN_US - 1}, "expected sent_us"),
        ({"sent_us": MAX_US}, "expected sent_us"),
        ({"required": (9,)}, "expected required roles"),
        ({"required": (ID, -1)}, "expected required roles"),
    ):
        with pytest.raises(ValueError, match=message):
            tried(**more)
    tried(number=NUMBER_MAX - 2)
    tried(received_us=0)
    tried(received_us=RECEIVED_US_MAX)
    tried(sent_us=MIN_US)
    tried(sent_us=MAX_US - 1)


@pytest.mark.parametrize(
    "cells", [(0, 12, 7), (-1, 2, 7), (5, 4, 7), (0, 11, 1), (1, 11, 1), (1, 11, 2), (0, 2, 9), (0, 2, -1)]
)
@pytest.mark.parametrize("role", [0, 1, 8])
def test_rows_of_another_body_are_refused_before_anything(
    twins: Twins, cells: tuple[int, int, int], role: int
) -> None:
    batches = OpenBatches(twins)
    found = scan(b"[{},{}]", SPEC)
    twins.pack.pack(b'{"a":"bcd"}', found, stamp(), OpenBatches(twins))
    for at, number in enumerate(cells):
        found.rows[27 + 3 * role + at] = number
    with pytest.raises(ValueError, match=r"expected cells within 11 bytes, got .* in row 1"):
        twins.pack.pack(b'{"a":"bcd"}', found, stamp(), batches)
    assert not batches.opened


@pytest.mark.parametrize(
    "inside", [b"\\x", b"\\u00g0", b"\\", b'a"b', b"\x01", b"\xff", b"\xed\xa0\x80", b"\\u00"]
)
def test_an_escaped_string_that_is_none_is_refused_before_anything(twins: Twins, inside: bytes) -> None:
    body = b'{"id":1,"a":"%s"}' % inside
    found = scan(b'{"id":1}', SPEC)
    for at, number in enumerate((13, 13 + len(inside), 2)):
        found.rows[3 * USER + at] = number
    batches = OpenBatches(twins)
    with pytest.raises(ValueError, match=r"expected the inside of a JSON string, got \(13, .* in row 0"):
        twins.pack.pack(body, found, stamp(), batches)
    assert not batches.opened
    assert body[13 : 13 + len(inside)] == inside


def test_rows_that_do_not_match_their_count_are_refused(twins: Twins) -> None:
    for found in (Scan(1), Scan(0, scan(b"{}", SPEC).rows)):
        with pytest.raises(ValueError, match="numbers in"):
            twins.pack.pack(b"{}", found, stamp(), OpenBatches(twins))


def test_a_batch_without_room_is_the_callers_mistake(twins: Twins) -> None:
    batches = OpenBatches(twins)
    small = twins.batch.RecordBatch("none", 100)
    batches.open = lambda partition, size: small  # type: ignore[method-assign]
    with pytest.raises(RuntimeError, match="no room"):
        twins.pack.pack(b"{}", scan(b"{}", SPEC), stamp(), batches)


ONE = One(
    b"<a/>",
    content_type=b"text/xml",
    id=b"i",
    type=b"com.example",
    name=b"n",
    user=b"u",
    anon=b"a",
    time=b"2025-11-24T07:39:00Z",
    extra=((b"ce_source", b"/shop"), (b"ce_specversion", b"1.1"), (b"ce_subject", b"s"), (b"ce_ext", b"e")),
)


def test_one_record_by_itself_has_all_that_it_is_given(twins: Twins) -> None:
    record = appended(twins, ONE, sent_us=NOW_US, agent=b"UA")
    assert (record.key, record.value) == (b"u", b"<a/>")
    expected = [
        name for name in HEADERS if name not in ("hr_user", "hr_ip", "hr_ctx", "hr_reason", "hr_position")
    ]
    assert record.names == [*expected, "ce_subject", "ce_ext"]
    assert record.headers["ce_source"] == b"/shop"
    assert record.headers["ce_specversion"] == b"1.1"
    assert record.headers["content-type"] == b"text/xml"
    assert record.headers["ce_type"] == b"com.example"
    assert record.headers["hr_seq"] == BOOT + bytes(7) + b"\x07"
    assert flags_of(record) == Flags.KEY_IS_USER | Flags.TIME_CORRECTED


def test_one_record_without_anything_is_made_whole(twins: Twins) -> None:
    record = appended(twins, One(b"", content_type=None))
    assert record.key == record.headers["ce_id"] == BOOT.hex().encode() + b"-7"
    assert record.names == list(HEADERS[:10])
    assert record.headers["ce_source"] == b"web"
    assert appended(twins, One(b"", id=b"", type=b"", user=b"", time=b"")).names[-1] == "content-type"


def test_extra_headers_do_not_replace_ours_and_are_whole_and_readable(twins: Twins) -> None:
    extra = (
        (b"hr_seq", b"x"),
        (b"ce_id", b"x"),
        (b"ce_source", b""),
        (b"ce_a", b"\xe9" * 5000),
        (b"ce_b", b""),
    )
    record = appended(twins, One(b"{}", extra=extra))
    assert record.headers["hr_seq"] == BOOT + bytes(7) + b"\x07"
    assert record.headers["ce_source"] == b"web"
    assert record.headers["ce_a"] == b"\xc3\xa9" * 5000
    assert "ce_b" not in record.headers
    assert not flags_of(record) & Flags.FIELD_CUT
    assert appended(twins, One(b"{}", id=b"\xe9", user=b"\xff")).key == b"\xc3\xbf"


def test_a_quarantined_record_lands_with_its_reason_and_position(twins: Twins) -> None:
    for position in (None, -1, 0, POSITION_MAX):
        batches = OpenBatches(twins)
        one = One(b"\xff\xfe", reason=b"unreadable_body", position=position)
        twins.pack.append_one(one, stamp(), batches)
        (row,) = landed(batches, quarantine_topic=True)
        assert (row["reason"], row["position"]) == ("unreadable_body", position)
        assert (row["payload_bytes"], row["sequence"]) == (b"\xff\xfe", 7)
    for position in (-2, POSITION_MAX + 1):
        with pytest.raises(ValueError, match="expected a position from -1 to 2147483647"):
            appended(twins, One(b"", position=position))
    with pytest.raises(ValueError, match="boot id"):
        appended(twins, One(b""), boot=b"")


def cloud_event(twins: Twins, members: bytes, **more: Any) -> Told:
    body = b'{"specversion":"1.0","id":"i","source":"/s","type":"t",%s}' % members
    found, (record,) = packed(twins, body, CE_SPEC, attributes=True, **more)
    assert found.accepted == 1
    return record


def test_a_structured_cloud_event_becomes_a_record_in_binary_mode(twins: Twins) -> None:
    members = (
        rb'"subject":"a\u00e9","time":"2025-11-24T07:39:00Z","n":-1.50,"b":true,"no":null,"e":"",'
        rb'"o":{"x": 1},"l":[ ],"dataschema":"\/s","data": {"a" : [1]} ,"userid":"me"'
    )
    record = cloud_event(twins, members)
    assert record.value == b'{"a" : [1]}'
    names = [name for name in HEADERS[:12] if name != "hr_user"]
    extras = ["ce_subject", "ce_n", "ce_b", "ce_o", "ce_l", "ce_dataschema", "ce_userid"]
    assert record.names == [*names, *extras]
    assert [record.headers[name] for name in extras] == [
        "aé".encode(),
        b"-1.50",
        b"true",
        b'{"x": 1}',
        b"[ ]",
        b"/s",
        b"me",
    ]
    assert (record.headers["ce_source"], record.headers["ce_id"], record.key) == (b"/s", b"i", b"me")
    assert record.headers["ce_time"] == b"2025-11-24T07:39:00.000000Z"
    assert record.headers["content-type"] == b"application/json"


@pytest.mark.parametrize(
    ("members", "value", "content_type", "flag"),
    [
        (rb'"data":"te\u00e9xt"', rb'"te\u00e9xt"', b"application/json", 0),
        (rb'"data":null', b"null", b"application/json", 0),
        (rb'"data":1.50', b"1.50", b"application/json", 0),
        (rb'"data":[1 ]', b"[1 ]", b"application/json", 0),
        (rb'"data":"t","datacontenttype":"application/json; charset=utf-8"', b'"t"', None, 0),
        (rb'"data":"t","datacontenttype":"application/vnd.x+JSON"', b'"t"', None, 0),
        (rb'"datacontenttype":"text/plain","data":"te\u00e9\n"', "teé\n".encode(), b"text/plain", 0),
        (rb'"data":"<a\/>","datacontenttype":"text\/xml"', b"<a/>", b"text/xml", 0),
        (rb'"data":"\ud800x","datacontenttype":"text/xml"', "\ufffdx".encode(), b"text/xml", Flags.REPAIRED),
        (rb'"data":"","datacontenttype":"text/xml"', b"", b"text/xml", 0),
        (rb'"data":{"a":1},"datacontenttype":"text/xml"', b'{"a":1}', b"text/xml", 0),
        (rb'"data_base64":"AP8="', b"\x00\xff", b"application/octet-stream", 0),
        (rb'"data_base64":"\/\/8=","datacontenttype":"image/png"', b"\xff\xff", b"image/png", 0),
        (rb'"data_base64":""', b"", b"application/octet-stream", 0),
        (rb'"data_base64":"AP8=","data":null', b"\x00\xff", b"application/octet-stream", 0),
        (rb'"data_base64":null,"data":{}', b"{}", b"application/json", 0),
        (rb'"x":1', b"", b"", 0),
        (rb'"datacontenttype":"text/xml"', b"", b"text/xml", 0),
        (rb'"data":1,"data":2', b"2", b"application/json", 0),
    ],
)
def test_the_data_of_a_cloud_event_is_its_value(
    twins: Twins, members: bytes, value: bytes, content_type: bytes | None, flag: int
) -> None:
    record = cloud_event(twins, members)
    assert record.value == value
    if content_type is not None:
        assert record.headers.get("content-type", b"") == content_type
    assert flags_of(record) == flag
    assert not {"ce_data", "ce_data_base64", "ce_datacontenttype"} & set(record.names)


@pytest.mark.parametrize(
    "members",
    [
        b'"data":1,"data_base64":"AP8="',
        b'"data_base64":"AP8"',
        b'"data_base64":"A*=="',
        b'"data_base64":"AP_="',
        b'"data_base64":"AP8=\\n"',
        b'"data_base64":5',
        b'"data_base64":["AP8="]',
    ],
)
def test_a_cloud_event_whose_data_contradict_is_left_out(twins: Twins, members: bytes) -> None:
    body = b'[{"id":"1"},{"id":"2",%s},{"id":"3"}]' % members
    found, records = packed(twins, body, CE_SPEC, attributes=True)
    assert (found.accepted, found.number, found.left_out) == (2, 9, [(1, "invalid_event")])
    assert [record.headers["ce_id"] for record in records] == [b"1", b"3"]
    assert [record.headers["hr_seq"][-1] for record in records] == [7, 8]


def test_a_cloud_event_without_what_it_should_have_gets_what_we_have(twins: Twins) -> None:
    _, (record,) = packed(twins, b'{"source":"","specversion":null}', CE_SPEC, attributes=True)
    assert (record.headers["ce_source"], record.headers["ce_specversion"]) == (b"web", b"1.0")
    assert flags_of(record) == Flags.ID_MADE | Flags.TYPE_MISSING
    found, _ = packed(twins, b"[5]", CE_SPEC, attributes=True)
    assert found.left_out == [(0, "not_an_object")]
    found, _ = packed(twins, b"{}", CE_SPEC, attributes=True, required=(ID,))
    assert found.left_out == [(0, "invalid_event")]


def test_what_is_expected_covers_what_is_packed(twins: Twins) -> None:
    many = json.dumps([EVENT] * 50).encode()
    for body, more in ((many, {"context": b"c" * 5000, "agent": b"a" * 300}), (b"{}", {}), (b"[{},{}]", {})):
        batches = OpenBatches(twins)
        found, _ = packed(twins, body, batches=batches, **more)
        taken = sum(batch.size() - batch_py.HEAD_BYTES for batch in found.touched)
        expected = bytes_expected(stamp(**more), len(body), found.accepted)
        assert taken <= expected <= 3 * taken
