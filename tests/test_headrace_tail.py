"""`headrace tail`: what it makes of a record, whoever wrote it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from aiokafka import ConsumerRecord
from hypothesis import given
from hypothesis import strategies as st

from _native.record import FIELD_BYTES_MAX, HEADERS, QUARANTINE_REASONS, TOPIC_QUARANTINE, Flags
from headrace.tail import WORDS, Seen, as_json, line, understand

RECEIVED_US = 1_795_400_000_123_456


def record(
    headers: list[tuple[str, bytes]],
    *,
    topic: str = "events",
    key: bytes | None = b"u1",
    value: bytes | None = b"{}",
) -> ConsumerRecord[bytes | None, bytes | None]:
    return ConsumerRecord(topic, 3, 41, 1_795_400_000_999, 1, key, value, None, 2, 2, headers)


def ours(flags: Flags = Flags.KEY_IS_USER, **more: bytes) -> list[tuple[str, bytes]]:
    told = {
        "hr_seq": b"s" * 16,
        "hr_time": RECEIVED_US.to_bytes(8),
        "hr_source": b"web",
        "hr_dialect": b"segment",
        "hr_ack": b"kafka",
        "hr_flags": int(flags).to_bytes(4),
        "ce_id": b"e1",
        "ce_type": b"track",
        "hr_name": b"Order Completed",
        **more,
    }
    return list(told.items())


def test_an_event_is_understood_as_the_table_will_have_it() -> None:
    seen = understand(record(ours(hr_anon=b"a1", ce_time=b"2026-11-23T10:00:00.000000Z"), value=b'{"a":1}'))
    assert (seen.verdict, seen.reason) == ("accepted", None)
    assert (seen.event_id, seen.event_type, seen.event_name) == ("e1", "track", "Order Completed")
    assert (seen.user_id, seen.anonymous_id) == ("u1", "a1")
    assert (seen.source, seen.dialect, seen.ack) == ("web", "segment", "kafka")
    assert (seen.received_us, seen.payload_size) == (RECEIVED_US, 7)
    assert (seen.topic, seen.kafka_partition, seen.kafka_offset) == ("events", 3, 41)
    assert understand(record(ours(Flags.KEY_IS_ANON, hr_user=b"u9"))).anonymous_id == "u1"
    assert understand(record(ours(Flags(0)))).user_id is None


def test_a_line_says_it_in_words() -> None:
    flags = Flags.KEY_IS_USER | Flags.RETRY | Flags.TIME_SUSPECT | Flags.TIME_CORRECTED
    text = line(understand(record(ours(flags)))).plain
    for word in ("✓", "web", "segment", "track Order Completed", "u1", "2 B", "retry", "clock may be wrong"):
        assert word in text
    assert "corrected" not in text  # it is so for most events, and good
    usual = Flags.KEY_IS_USER | Flags.KEY_IS_ANON | Flags.TIME_CORRECTED | Flags.LATE
    told_by_the_sink = Flags.PLACED_BY_APPEND | Flags.COLUMN_NULLED
    assert set(Flags) == set(WORDS) | set(usual) | set(told_by_the_sink)


def test_an_event_without_type_is_shown_by_what_there_is() -> None:
    headers = ours(Flags.TYPE_MISSING | Flags.ID_MADE, ce_type=b"event")
    seen = understand(record(headers))
    assert (seen.event_type, seen.event_name) == (None, "Order Completed")
    assert "no id, no type" in line(seen).plain


@pytest.mark.parametrize("reason", sorted(QUARANTINE_REASONS))
def test_a_quarantined_event_says_why(reason: str) -> None:
    seen = understand(record(ours(hr_reason=reason.encode()), topic=TOPIC_QUARANTINE))
    assert (seen.verdict, seen.reason) == ("quarantined", reason)
    text = line(seen).plain
    assert text.startswith("✗ ")
    assert text.endswith(reason.replace("_", " "))
    assert len(text) <= 100


def test_a_record_of_somebody_else_is_shown_as_such() -> None:
    seen = understand(record([("trace", b"\xff\x00")], key=None, value=None))
    assert seen.verdict == "foreign"
    assert seen.received_us == 1_795_400_000_999_000
    assert "events 3/41" in line(seen).plain


def test_what_would_move_the_cursor_is_not_printed() -> None:
    text = line(understand(record(ours(hr_name=b"\x1b[2Jbad\nname\ttab")))).plain
    assert text.isprintable()


def test_json_has_names_of_the_table_and_the_payload_only_when_asked() -> None:
    seen = understand(record(ours()))
    told = json.loads(as_json(seen, None))
    assert told["received_at"] == "2026-11-23T02:13:20.123456+00:00"
    assert "payload" not in told
    assert json.loads(as_json(seen, b'{"x":"\xc3\xa9\xff"}'))["payload"] == '{"x":"é\ufffd"}'


HEADER: Any = st.tuples(
    st.sampled_from(HEADERS) | st.text(max_size=8),
    st.none() | st.binary(max_size=20) | st.just(b"\xff" * 5000),
)


@given(st.lists(HEADER, max_size=30), st.none() | st.binary(max_size=50), st.none() | st.binary(max_size=50))
def test_no_record_is_too_strange(
    headers: list[tuple[str, bytes]], key: bytes | None, value: bytes | None
) -> None:
    for topic in ("events", TOPIC_QUARANTINE):
        seen = understand(record(headers, key=key, value=value, topic=topic))
        assert isinstance(seen, Seen)
        assert "\n" not in line(seen).plain
        assert json.loads(as_json(seen, value))["topic"] == topic


def test_a_long_name_does_not_make_a_long_line() -> None:
    text = line(understand(record(ours(hr_name=b"n" * FIELD_BYTES_MAX, hr_source=b"s" * 300)))).plain
    assert len(text) <= 100


def test_a_query_string_is_not_called_a_form() -> None:
    seen = understand(record(ours(Flags.KEY_IS_USER | Flags.CONVERTED)))
    assert seen.notes == ("made from query or form",)
