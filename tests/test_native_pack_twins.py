"""Pack: the twins against each other on anything, and what the Cython twin allocates: nothing per event."""

from __future__ import annotations

import json
import sys
from array import array
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pack_stand import (
    BOOT,
    CE_SPEC,
    CYTHON,
    NOW_US,
    PYTHON,
    SPEC,
    TIMES,
    OpenBatches,
    Twins,
    outcome,
    packed,
    stamp,
)

from _native.cells import ANON, ID, NAME, ROW, SENT, TIME, TYPE, USER, VALUE, Scan, ScanError, ScanSpec
from _native.pack_stamp import NUMBER_MAX, POSITION_MAX, One
from _native.record import FIELD_BYTES_MAX, HEADERS
from _native.scan import scan
from _native.timestamp import MAX_US, MIN_US, parse_us, rfc3339

EXAMPLES: Final = 40  # of each; tests/fuzz/fuzz_pack.py goes on from here
text = st.text(max_size=20) | st.text('é😀\x00"\\/x', max_size=3000)
times = st.sampled_from([str(time) for time in TIMES]) | st.integers(
    MIN_US - (1 << 40), MAX_US + (1 << 40)
).map(lambda at_us: rfc3339(at_us).decode())
scalars = st.none() | st.booleans() | st.integers() | text
EVENT = st.fixed_dictionaries(
    {},
    optional={
        "messageId": scalars,
        "type": scalars,
        "event": scalars,
        "userId": scalars,
        "anonymousId": scalars,
        "timestamp": times | scalars,
        "sentAt": times | scalars,
        "context": st.dictionaries(text, scalars, max_size=3),
    },
)
BODIES = st.builds(
    lambda events, escaped: json.dumps(events, ensure_ascii=escaped).encode(),
    st.lists(EVENT | scalars, max_size=6),
    st.booleans(),
)
CLOUD_EVENT = st.fixed_dictionaries(
    {},
    optional={
        "id": scalars,
        "type": scalars,
        "source": scalars,
        "specversion": scalars,
        "time": times | scalars,
        "datacontenttype": st.sampled_from(["application/json", "text/plain", "x/y+json", "", "a;b"])
        | scalars,
        "data": scalars | st.lists(scalars, max_size=2),
        "data_base64": st.sampled_from(["AP8=", "", "A", "_-==", "aGk="]) | scalars,
        "subject": scalars | st.lists(scalars, max_size=1),
        "ext": text,
        "userid": scalars,
    },
)
CLOUD_BODIES = st.lists(CLOUD_EVENT | scalars, max_size=4).map(lambda events: json.dumps(events).encode())
STAMPS = st.fixed_dictionaries(
    {
        "number": st.integers(0, NUMBER_MAX - 100),
        "received_us": st.integers(0, MAX_US),
        "event_bytes_max": st.sampled_from([10, 100, 100_000]),
        "flags": st.integers(0, 0xFFFF),
        "key_by_anonymous": st.booleans(),
    },
    optional={
        "source": st.binary(max_size=100),
        "dialect": st.binary(max_size=3),
        "ack": st.binary(max_size=3),
        "ip": st.binary(max_size=10),
        "agent": st.binary(max_size=5000),
        "sent_us": st.integers(MIN_US, MAX_US - 1),
        "context": st.binary(max_size=500),
        "content_type": st.binary(max_size=80),
        "type_default": st.binary(max_size=20),
        "user_default": st.binary(max_size=20),
        "anon_default": st.binary(max_size=5000),
        "required": st.lists(st.integers(0, 8), max_size=2).map(tuple),
    },
)
EDITS = st.lists(
    st.tuples(st.integers(0, 1 << 16), st.sampled_from(b'{}[]",:\\u0\x00\xff 9Zea-')), max_size=4
)


def agree(body: bytes, found: Scan, more: dict[str, Any], **batches: Any) -> None:
    seen = [
        outcome(twins, lambda open_, t=twins: t.pack.pack(body, found, stamp(**more), open_), **batches)
        for twins in (PYTHON, CYTHON)
    ]
    assert seen[0] == seen[1]


@settings(max_examples=EXAMPLES)
@given(
    BODIES,
    STAMPS,
    st.integers(0, 5),
    st.sampled_from([100, 1000, 100_000]),
    st.sampled_from(["none", "zstd"]),
)
def test_the_twins_agree_on_any_events(
    body: bytes, more: dict[str, Any], partitions: int, bytes_max: int, compression: str
) -> None:
    batches = {"partitions": partitions, "bytes_max": bytes_max, "compression": compression}
    agree(body, scan(body, SPEC), more, **batches)


@settings(max_examples=EXAMPLES)
@given(BODIES | CLOUD_BODIES, EDITS, STAMPS, st.booleans())
def test_the_twins_agree_on_mutated_events(
    body: bytes, edits: list[tuple[int, int]], more: dict[str, Any], attributes: bool
) -> None:
    changed = bytearray(body)
    for at, byte in edits:
        changed[at % len(changed)] = byte
    try:
        found = scan(bytes(changed), SPEC)
    except ScanError:
        return
    agree(bytes(changed), found, {**more, "attributes": attributes})


@settings(max_examples=EXAMPLES)
@given(CLOUD_BODIES, STAMPS)
def test_the_twins_agree_on_cloud_events(body: bytes, more: dict[str, Any]) -> None:
    agree(body, scan(body, CE_SPEC), {**more, "attributes": True})


@settings(max_examples=EXAMPLES)
@given(st.data(), STAMPS)
def test_the_twins_agree_on_any_rows(data: st.DataObject, more: dict[str, Any]) -> None:
    body = data.draw(BODIES | st.binary(max_size=40))
    position = st.integers(-1, len(body) + 1)
    place = st.tuples(position, position).map(sorted) | st.tuples(position, position)
    cells = st.builds(lambda place, kind: (*place, kind), place, st.integers(0, 8) | st.integers(-1, 9))
    empty = st.just((0, 0, 0))
    whole = st.just((0, len(body), 7))
    row = st.tuples(whole | cells, *[empty | cells] * 8).map(
        lambda row: [number for cell in row for number in cell]
    )
    rows = data.draw(st.lists(row, max_size=2))
    count = data.draw(st.just(len(rows)) | st.integers(0, 2))
    agree(body, Scan(count, array("i", [number for row in rows for number in row])), more)


@st.composite
def wild_times(draw: st.DrawFn) -> str:
    """A time and what is nearly one."""
    digits = st.text("0123456789", max_size=3)
    pieces = ["2025", "-", "11", "-", "24", draw(st.sampled_from("Tt _")), "23", ":", "59"]
    pieces += [draw(st.sampled_from([":", "", "-"])), draw(st.sampled_from(["59", "60", "61", "0", ""]))]
    pieces += [draw(st.sampled_from([".", ",", ""])), draw(st.text("0123456789", max_size=8))]
    pieces += [
        draw(st.sampled_from(["Z", "z", "+", "-", " Z", " ", ""])),
        draw(st.sampled_from(["", "05", "24", "5"])),
    ]
    pieces += [draw(st.sampled_from(["", ":", "::"])), draw(st.sampled_from(["", "30", "60", "3"]))]
    for _ in range(draw(st.integers(0, 2))):
        pieces[draw(st.integers(0, len(pieces) - 1))] = draw(
            digits | st.sampled_from([" ", "-", ":", "é", ""])
        )
    return (
        draw(st.sampled_from(["", " ", "\t\n\x0b"]))
        + "".join(pieces)
        + draw(st.sampled_from(["", " ", "\r"]))
    )


wild_numbers = st.from_regex(r"\A-?[0-9]{0,20}(\.[0-9]{0,8})?([eE][+-]?[0-9]{0,4})?\Z")


@settings(max_examples=200)
@given(wild_times() | wild_numbers | st.text("0123456789-:TZ.+ e", max_size=30) | times)
def test_times_are_read_as_parse_us_reads_them(time: str) -> None:
    expected = parse_us(time.encode())
    body = json.dumps({"timestamp": time}).encode()
    _, (record,) = packed(CYTHON, body)
    assert record.headers.get("ce_time") == (None if expected is None else rfc3339(expected))
    agree(body, scan(body, SPEC), {"sent_us": NOW_US + 1})


ONES = st.builds(
    One,
    st.binary(max_size=100),
    st.none() | st.binary(max_size=20),
    *[st.none() | st.binary(max_size=20) | st.binary(min_size=4090, max_size=5000)] * 5,
    st.none() | times.map(str.encode) | st.binary(max_size=20),
    st.lists(
        st.tuples(
            st.sampled_from([*(name.encode() for name in HEADERS), b"ce_x", b"\xff"]), st.binary(max_size=100)
        ),
        max_size=4,
    ).map(tuple),
    st.none() | st.just(b"invalid_event"),
    st.none() | st.integers(-2, POSITION_MAX + 1),
)


@settings(max_examples=EXAMPLES)
@given(ONES, STAMPS)
def test_the_twins_agree_on_one_record(one: One, more: dict[str, Any]) -> None:
    seen = [
        outcome(twins, lambda open_, t=twins: t.pack.append_one(one, stamp(**more), open_))
        for twins in (PYTHON, CYTHON)
    ]
    assert seen[0] == seen[1]


@pytest.mark.parametrize("twins", [PYTHON, CYTHON], ids=["python", "cython"])
@settings(max_examples=EXAMPLES)
@given(BODIES, STAMPS, st.integers(1, 4))
def test_g6_any_event_is_read_back_with_its_bytes_and_a_gapless_number(
    twins: Twins, body: bytes, more: dict[str, Any], partitions: int
) -> None:
    more = {
        key: value for key, value in more.items() if key not in ("source", "dialect", "ack", "content_type")
    }
    batches = OpenBatches(twins, partitions=partitions, bytes_max=1000)
    found, records = packed(twins, body, batches=batches, **more)
    events = scan(body, SPEC)
    assert found.accepted + len(found.left_out) == events.count
    numbers = sorted(int.from_bytes(record.headers["hr_seq"][8:], "big") for record in records)
    assert numbers == list(range(more["number"], found.number))
    left = {index for index, _ in found.left_out}
    slices = [
        body[events.rows[ROW * index] : events.rows[ROW * index + 1]]
        for index in range(events.count)
        if index not in left
    ]
    assert [record.value for record in sorted(records, key=lambda record: record.headers["hr_seq"])] == slices
    for record in records:
        assert record.names == [name for name in HEADERS if name in record.headers]
        assert all(record.headers.values())
        assert 0 < len(record.key or b"") <= FIELD_BYTES_MAX


def test_no_python_object_is_left_per_event() -> None:
    """Blocks of the interpreter's allocator, from the rows of a scan to sealed batches: none per event."""

    def blocks(count: int) -> tuple[int, int]:
        events = [
            {
                "messageId": f"m{n}",
                "userId": "\u00e9" * 9,
                "timestamp": "2025-11-24T07:39:00Z",
                "x": "y" * 300,
            }
            for n in range(count)
        ]
        body = json.dumps({"batch": events}).encode()
        found, told = scan(body, SPEC), stamp(sent_us=NOW_US)
        batches = OpenBatches(CYTHON, partitions=4, bytes_max=1 << 27, compression="zstd")
        first = sys.getallocatedblocks()
        made = CYTHON.pack.pack(body, found, told, batches)
        midst = sys.getallocatedblocks() - first
        for batch in made.touched:
            batch.seal()
        assert made.accepted == count
        return midst, sys.getallocatedblocks() - first

    blocks(10)
    small, large = blocks(100), blocks(20_000)
    assert abs(large[0] - small[0]) < 20
    assert abs(large[1] - small[1]) < 20


def test_the_roles_that_are_used_here_are_all_there_are() -> None:
    assert sorted((ID, TYPE, NAME, USER, ANON, TIME, SENT, VALUE)) == list(range(1, 9))
    spec = ScanSpec({VALUE: (("data",),), ID: (("id",),)}, array=True)
    body = json.dumps([{"id": 1, "data": value} for value in ("a\n", "b", 1, None, [1], {"c": ""})]).encode()
    agree(body, scan(body, spec), {"boot": BOOT})
