"""The Cython decoder against its specification: the same of any batches, whole, mutated or arbitrary."""

from __future__ import annotations

import struct
import threading
from typing import Any

import pytest
from columns_stand import (
    GRACE_US,
    HOUR,
    NOW_US,
    TWINS,
    Headers,
    Landing,
    batch_of,
    compare,
    events,
    headers_of,
    marker,
    sign,
    table_seen,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from test_native_columns_edges import TIMES, TYPES

from _native.columns import LANDED, QUARANTINE
from _native.record import HEADERS, Flags

KEYS = st.one_of(
    st.none(), st.binary(max_size=6), st.sampled_from([b"user", "zoë".encode(), b"\xed\xa0\x80"])
)
VALUES = st.one_of(
    st.none(),
    st.sampled_from([b"{}", b"", b'{"a":"\xc3\xa9"}', b'{"a":"\xff"}', b"x" * 70]),
    st.binary(max_size=40),
    st.text(max_size=40).map(str.encode),
)


def numbers(form: str, *special: int) -> st.SearchStrategy[bytes]:
    low, high = (0, (1 << 32) - 1) if form == ">I" else (-(1 << 63), (1 << 63) - 1)
    return st.one_of(st.sampled_from(special), st.integers(low, high)).map(lambda one: struct.pack(form, one))


TOLD: dict[str, st.SearchStrategy[bytes]] = {
    "hr_seq": st.one_of(st.binary(min_size=16, max_size=16), st.just(b"bootid08" + bytes(8))),
    "hr_time": numbers(
        ">q",
        NOW_US,
        NOW_US + 1000,
        NOW_US - GRACE_US,
        NOW_US - GRACE_US - 1000,
        0,
        253_402_300_799_999_999,
        253_402_300_800_000_000,
    ),
    "hr_flags": numbers(">I", 0, *(int(one) for one in Flags)),
    "hr_sent": numbers(">q", NOW_US, -1, 0, 253_402_300_799_999_999, 253_402_300_800_000_000),
    "hr_position": st.integers(-(1 << 31), (1 << 31) - 1).map(lambda one: struct.pack(">i", one)),
    "content-type": st.sampled_from(TYPES),
    "ce_time": st.sampled_from(TIMES),
    "ce_specversion": st.sampled_from([b"1.0", b"1.1"]),
    "ce_source": st.sampled_from([b"web", b"/shop"]),
}
TEXT = st.one_of(st.none(), st.text(max_size=5).map(str.encode), st.binary(max_size=20))
OTHERS = st.sampled_from(["ce_tenant", "x", "", "é", "hr_seqs", "ce_idx", "trace"])


def header(name: str) -> st.SearchStrategy[tuple[str, bytes | None]]:
    value = st.one_of(TOLD[name], TEXT) if name in TOLD else TEXT
    return value.map(lambda found: (name, found))


HEADER = st.one_of(st.sampled_from(HEADERS), OTHERS).flatmap(header)


@st.composite
def header_lists(draw: st.DrawFn) -> Headers:
    """A collector's headers, changed here and there, or any."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.lists(HEADER, max_size=12))
    found = headers_of(draw(st.integers(0, 1 << 40)), NOW_US - draw(st.integers(0, GRACE_US + 9)))
    for name, value in draw(st.lists(HEADER, max_size=4)):
        at = [number for number, one in enumerate(found) if one[0] == name]
        if at and draw(st.integers(0, 4)):
            found[at[0]] = (name, value)
        else:
            found.insert(draw(st.integers(0, len(found))), (name, value))
    for _ in range(draw(st.integers(0, 2))):
        found.pop(draw(st.integers(0, len(found) - 1)))
    return found


RECORDS = st.lists(st.tuples(KEYS, VALUES, header_lists()), min_size=1, max_size=6)
TIMES_US = st.one_of(st.just(NOW_US), st.integers(NOW_US - 3_600_000_000, NOW_US + 3_600_000_000))


@st.composite
def fetches(draw: st.DrawFn) -> bytes:
    """Several batches, at times with a hole or a transaction's marker between, at times cut off."""
    data, base = b"", draw(st.integers(0, 3))
    for _ in range(draw(st.integers(1, 3))):
        if draw(st.integers(0, 5)) == 0:
            data += marker(base, draw(st.integers(7, 8)), draw(st.booleans()))
            base += 1
        records = draw(RECORDS)
        fields = {"attributes": draw(st.sampled_from([0, 0, 0, 8, 5]))}
        if draw(st.integers(0, 5)) == 0:
            fields["last_delta"] = draw(st.integers(0, 12))
        transaction = draw(st.sampled_from([None, None, 7, 8]))
        data += batch_of(records, base, draw(st.integers(0, 4)), draw(TIMES_US), transaction, **fields)
        base += len(records) + draw(st.sampled_from([0, 0, 0, 2]))
    return data[: len(data) - draw(st.sampled_from([0, 0, 0, 1, 30]))]


@settings(max_examples=80, deadline=None)
@given(
    fetches(),
    st.integers(0, 8),
    st.lists(st.tuples(st.integers(7, 8), st.integers(0, 12)), max_size=3),
    st.sampled_from([65_536, 400, 100]),
    st.booleans(),
)
def test_the_twins_make_the_same_of_any_records(
    data: bytes, next_offset: int, aborted: list[tuple[int, int]], record_bytes_max: int, quarantine: bool
) -> None:
    compare(data, next_offset, aborted, record_bytes_max, quarantine)


@settings(max_examples=80, deadline=None)
@given(
    RECORDS,
    st.integers(0, 4),
    st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 255)), min_size=1, max_size=6),
    st.booleans(),
)
def test_the_twins_make_the_same_of_mutated_batches(
    records: Any, codec: int, edits: list[tuple[int, int]], signed: bool
) -> None:
    data = bytearray(batch_of(records, codec=codec))
    first = len(data)
    data += batch_of(events(2), base=len(records))
    for at, byte in edits:
        data[at % len(data)] = byte
    if signed:
        data[:first] = sign(data[:first])
    compare(bytes(data))


@given(st.binary(max_size=300), st.integers(0, 1 << 40))
def test_the_twins_make_the_same_of_arbitrary_bytes(data: bytes, next_offset: int) -> None:
    compare(data, next_offset)
    whole = struct.pack(">qiibIhiqqqhii", next_offset, 49 + len(data), 7, 2, 0, 0, 3, 0, 0, -1, -1, -1, 4)
    compare(sign(bytearray(whole + data)), next_offset)


def test_the_twins_agree_on_every_byte_of_a_record_changed() -> None:
    data = bytearray(batch_of([(b"k", b"{}", headers_of(hr_ctx=b"{}", hr_sent=bytes(8), x=b"y"))]))
    for at in range(61, len(data)):
        for change in (0x01, 0x40, 0x80, 0xFF):
            data[at] ^= change
            compare(sign(data))
            data[at] ^= change


def test_large_batches_go_the_same_way_without_the_lock() -> None:
    records = [
        (b"u%d" % (n % 7), b'{"n":"%s"}' % (b"x" * (n % 300)), headers_of(n, NOW_US - n * 1000))
        for n in range(3000)
    ]
    records[1000] = (b"k", b"foreign", [])
    records[2000] = (b"k", b'"\xff"', headers_of(2000))
    fed = compare(batch_of(records, codec=4), record_bytes_max=1 << 22)
    assert (fed.rows, fed.quarantined) == (2998, 2)


def test_more_hours_than_are_at_hand_keep_their_rows_apart() -> None:
    hours = [HOUR - n % 7 for n in range(60)]
    data = b"".join(
        batch_of([(b"k", b"{}", headers_of(n, hour * 3_600_000_000))], n, append_us=hour * 3_600_000_000)
        for n, hour in enumerate(hours)
    )
    assert compare(data).hours == {HOUR - n: hours.count(HOUR - n) for n in range(7)}


def test_more_extensions_than_the_fast_path_takes_are_all_kept() -> None:
    for count in (63, 64, 65, 200):
        more = [(f"ce_x{n}", b"%d" % n) for n in range(count)]
        compare(batch_of([(b"k", b"{}", [*headers_of(), *more])]))


@pytest.mark.parametrize("twin", list(TWINS))
def test_rows_can_be_appended_one_by_one_and_bad_ones_are_refused(twin: str) -> None:
    row: list[Any] = [None] * len(QUARANTINE)
    for column, value in (
        (7, 5),
        (8, 9),
        (9, 9),
        (12, b"{}"),
        (15, [(b"a", b"b")]),
        (20, 0),
        (21, 1),
        (22, 4),
    ):
        row[column] = value
    table = TWINS[twin].buffers(quarantine=True)
    other = TWINS["python"].buffers(quarantine=True)
    for _ in range(200):
        table.append(row)
        other.append(row)
    assert table_seen(table) == table_seen(other)
    with pytest.raises(ValueError):
        table.append(row[: len(LANDED)])
    landed = TWINS[twin].buffers()
    with pytest.raises(OverflowError):
        landed.append([*row[:20], 1 << 31, 1, 4])


def test_appending_waits_until_the_views_are_given_back() -> None:
    landing = Landing(twin="cython")
    landing.feed(batch_of(events(3)))
    table = landing.tables[HOUR, False]
    views = table.buffers()
    for attempt in (lambda: table.append([None] * 25), lambda: landing.feed(batch_of(events(3)))):
        with pytest.raises(BufferError):
            attempt()
    before = table_seen(table)
    with pytest.raises(BufferError):
        landing.feed(batch_of(events(2, 3), base=3), 3)
    assert table_seen(table) == before
    del views
    landing.feed(batch_of(events(2, 3), base=3), 3)
    assert table.rows == 5


def test_a_view_outlives_its_table() -> None:
    landing = Landing(twin="cython")
    landing.feed(batch_of(events(3)))
    views = landing.tables[HOUR, False].buffers()
    before = [bytes(view.data) for view in views if view.data is not None]
    landing.tables.clear()
    del landing
    assert [bytes(view.data) for view in views if view.data is not None] == before


def test_other_threads_run_while_a_feed_works() -> None:
    data = batch_of([(b"k", b'{"n":"%s"}' % (b"x" * 400), headers_of(n)) for n in range(2000)])
    stop, turns = threading.Event(), 0
    landings = [Landing(1 << 26, twin="cython") for _ in range(2)]

    def feed(landing: Landing) -> None:
        while not stop.is_set():
            landing.feed(data)
            landing.tables.clear()

    threads = [threading.Thread(target=feed, args=(landing,)) for landing in landings]
    for thread in threads:
        thread.start()
    while turns < 20_000:
        turns += sum(table.nbytes > 0 for landing in landings for table in list(landing.tables.values())) or 1
    stop.set()
    for thread in threads:
        thread.join()
    assert all(landing.asked for landing in landings)
