"""Record batch: what aiokafka and our decoder read of it, its bounds, what it is asked for on the way."""

from __future__ import annotations

import asyncio
import itertools
import struct
import tracemalloc
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from aiokafka.producer.message_accumulator import BatchBuilder, MessageAccumulator
from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import TopicPartition
from hypothesis import given
from hypothesis import strategies as st

import _native.batch
from _native import batch_c, batch_py, wants_extensions
from _native.batch_py import BYTES_MAX, HEAD_BYTES, RECORD_OVERHEAD_BYTES, TIMESTAMP_MS_MAX
from _native.hash import crc32c

NOW_MS = 1_763_970_000_123
Record = tuple[bytes | None, bytes | None, list[tuple[bytes, bytes]], int]
RECORDS: list[Record] = [
    (b"key", b'{"n":%d}' % n, [(b"hr_seq", bytes(16)), (b"ce_id", b"id-%d" % n)], NOW_MS + n)
    for n in range(100)
]


@pytest.fixture(params=[batch_py, batch_c], ids=["python", "cython"])
def twin(request: pytest.FixtureRequest) -> ModuleType:
    module: ModuleType = request.param
    return module


def filled(
    twin: ModuleType, records: list[Record], compression: str = "none", bytes_max: int = 1 << 20
) -> Any:
    batch = twin.RecordBatch(compression, bytes_max)
    for record in records:
        assert batch.append(*record)
    return batch


def read(data: bytes) -> list[Record]:
    """The records as aiokafka reads them, after it has checked the crc."""
    memory = MemoryRecords(data)
    assert memory.has_next()
    batch = memory.next_batch()
    assert isinstance(batch, DefaultRecordBatch)
    assert batch.validate_crc()
    assert not memory.has_next()
    found = list(batch)
    assert [record.offset for record in found] == list(range(len(found)))
    return [
        (one.key, one.value, [(name.encode(), text or b"") for name, text in one.headers], one.timestamp)
        for one in found
    ]


@pytest.mark.parametrize("compression", ["none", "lz4", "zstd"])
def test_what_was_appended_is_what_is_read(twin: ModuleType, compression: str) -> None:
    batch = filled(twin, RECORDS, compression)
    plain = batch.size()
    batch.seal()
    data = batch._build()
    assert isinstance(data, bytes)
    assert read(data) == RECORDS
    assert (batch.size(), batch.record_count()) == (len(data), len(RECORDS))
    assert (len(data) < plain / 2) == (compression != "none")
    assert data[22] & 7 == {"none": 0, "lz4": 3, "zstd": 4}[compression]


def test_every_field_of_the_header_stands_where_kip_98_has_it(twin: ModuleType) -> None:
    batch = filled(twin, RECORDS[:3])
    batch._set_producer_state(producer_id=77, producer_epoch=5, base_sequence=900)
    data = batch._build()
    assert struct.unpack_from(">qiibIhiqqqhii", data) == (
        *(0, len(data) - 12, -1, 2, crc32c(data[21:])),
        *(0, 2, NOW_MS, NOW_MS + 2, 77, 5, 900, 3),
    )


def test_plain_batches_are_byte_for_byte_those_of_aiokafka(twin: ModuleType) -> None:
    records = [*RECORDS, (None, None, [], NOW_MS), (b"", b"x" * 5000, [(b"n", b"")], NOW_MS - 40_000)]
    theirs = DefaultRecordBatchBuilder(2, 0, False, -1, -1, -1, 1 << 20)
    for offset, (key, value, headers, timestamp_ms) in enumerate(records):
        theirs.append(offset, timestamp_ms, key, value, [(name.decode(), text) for name, text in headers])
    ours = filled(twin, records)
    assert ours.size() == theirs.size()
    assert ours._build() == bytes(theirs.build())


def test_lz4_has_independent_blocks_as_kafka_requires(twin: ModuleType) -> None:
    data = filled(twin, RECORDS * 20, "lz4")._build()
    assert data[HEAD_BYTES : HEAD_BYTES + 4] == b"\x04\x22\x4d\x18"
    assert data[HEAD_BYTES + 4] & 0x20
    assert read(data) == [(*record[:3], record[3]) for record in RECORDS * 20]


def test_what_compression_does_not_shrink_is_sent_plain(twin: ModuleType) -> None:
    for compression in ("lz4", "zstd"):
        batch = filled(twin, [(None, b"x", [], 0)], compression)
        plain = batch.size()
        data = batch._build()
        assert (len(data), data[22] & 7) == (plain, 0)
        assert read(data) == [(None, b"x", [], 0)]


@pytest.mark.parametrize(("saved", "codec"), [(0, 0), (1, 4), (-1, 0)])
def test_compression_is_taken_from_one_byte_saved_on(
    twin: ModuleType, monkeypatch: pytest.MonkeyPatch, saved: int, codec: int
) -> None:
    monkeypatch.setattr(twin, "compressed", lambda _codec, _level, records: bytes(len(records) - saved))
    batch = filled(twin, RECORDS, "zstd")
    plain = batch.size()
    data = batch._build()
    assert data[22] & 7 == codec
    assert len(data) == (plain - saved if codec else plain)


def test_a_batch_is_full_at_its_bound_and_not_a_byte_before(twin: ModuleType) -> None:
    one = filled(twin, RECORDS[:1]).size()
    two = filled(twin, RECORDS[:2]).size()
    for bytes_max, fits in ((two, True), (two - 1, False)):
        batch = filled(twin, RECORDS[:1], bytes_max=bytes_max)
        assert batch.append(*RECORDS[1]) is fits
        assert (batch.size(), batch.record_count()) == ((two, 2) if fits else (one, 1))
        assert read(batch._build()) == RECORDS[: 1 + fits]
    assert twin.RecordBatch("none", one).append(*RECORDS[0])
    assert not twin.RecordBatch("none", one - 1).append(*RECORDS[0])


def test_a_record_that_found_no_room_leaves_no_trace_in_the_header(twin: ModuleType) -> None:
    batch = twin.RecordBatch("none", 100)
    assert not batch.append(None, b"x" * 100, [], NOW_MS)
    assert batch.append(None, b"x", [], 5)
    assert not batch.append(None, b"x" * 100, [], NOW_MS)
    assert batch.append(None, b"y", [], 7)
    assert struct.unpack_from(">qqqhii", batch._build(), 27) == (5, 7, -1, -1, -1, 2)


def test_a_closed_or_sealed_batch_takes_no_more(twin: ModuleType) -> None:
    batch = filled(twin, RECORDS[:1])
    assert not batch.closed()
    batch.close()
    batch.close()
    assert batch.closed()
    assert not batch.append(*RECORDS[1])
    sealed = filled(twin, RECORDS[:2], "zstd")
    sealed.seal()
    data = sealed._build()
    sealed.seal()
    assert sealed.closed()
    assert not sealed.append(*RECORDS[2])
    assert (sealed._build(), sealed.record_count()) == (data, 2)


def test_building_again_gives_the_same_until_another_producer_takes_over(twin: ModuleType) -> None:
    batch = filled(twin, RECORDS, "zstd")
    batch._set_producer_state(1, 0, 0)
    first = batch._build()
    assert batch._build() is first
    batch._set_producer_state(2, 1, 30)
    second = batch._build()
    assert first[:17] + first[21:43] + first[57:] == second[:17] + second[21:43] + second[57:]
    assert struct.unpack_from(">qhi", second, 43) == (2, 1, 30)
    assert read(second) == RECORDS


def test_an_empty_batch_cannot_be_sealed(twin: ModuleType) -> None:
    with pytest.raises(ValueError, match="at least 1 record"):
        twin.RecordBatch("none", 100).seal()
    with pytest.raises(ValueError, match="at least 1 record"):
        twin.RecordBatch("zstd", 100)._build()


def test_arguments_out_of_bounds_are_named(twin: ModuleType) -> None:
    with pytest.raises(ValueError, match="zstd, lz4 or none, got 'gzip'"):
        twin.RecordBatch("gzip", 100)
    for bytes_max in (HEAD_BYTES, BYTES_MAX + 1):
        with pytest.raises(ValueError, match="expected bytes_max from 62 to 2147483647"):
            twin.RecordBatch("none", bytes_max)
    batch = twin.RecordBatch("none", HEAD_BYTES + 1)
    assert batch.bytes_max == HEAD_BYTES + 1
    assert twin.RecordBatch("none", BYTES_MAX).size() == HEAD_BYTES
    batch = twin.RecordBatch("none", 1000)
    for timestamp_ms in (-1, TIMESTAMP_MS_MAX + 1):
        with pytest.raises(ValueError, match="expected timestamp_ms from 0"):
            batch.append(None, b"", [], timestamp_ms)
    assert batch.append(None, b"", [], 0)
    assert batch.append(None, b"", [], TIMESTAMP_MS_MAX)
    assert [record[3] for record in read(batch._build())] == [0, TIMESTAMP_MS_MAX]


def test_levels_reach_the_codec(twin: ModuleType) -> None:
    sizes = {}
    for compression, level in (("zstd", -5), ("zstd", 1), ("zstd", 19), ("lz4", 1), ("lz4", 9)):
        batch = twin.RecordBatch(compression, 1 << 20, level)
        for record in RECORDS:
            assert batch.append(*record)
        batch.seal()
        sizes[compression, level] = batch.size()
    assert sizes["zstd", -5] > sizes["zstd", 1] > sizes["zstd", 19]
    assert sizes["lz4", 1] > sizes["lz4", 9]


def test_it_has_all_that_aiokafka_asks_of_a_builder(twin: ModuleType) -> None:
    asked = ("record_count", "size", "closed", "close", "_build", "_set_producer_state")
    assert all(callable(getattr(BatchBuilder, name)) for name in asked)
    assert all(callable(getattr(twin.RecordBatch, name)) for name in asked)


async def drained(twin: ModuleType) -> None:
    accumulator = MessageAccumulator(_Cluster(), 1 << 20, None, 30, txn_manager=_Transactions())
    batch = filled(twin, RECORDS, "zstd")
    batch.seal()
    where = TopicPartition("t", 0)
    future = await accumulator.add_batch(batch, where, 1)
    nodes, *_ = accumulator.drain_by_nodes([])
    message_batch = nodes[1][where]
    data = message_batch.get_data_buffer()
    assert struct.unpack_from(">qhi", data, 43) == (9, 3, 40)
    assert (message_batch.record_count, message_batch.is_empty()) == (100, False)
    assert read(data) == RECORDS
    accumulator.reenqueue(message_batch)
    nodes, *_ = accumulator.drain_by_nodes([])
    assert nodes[1][where].get_data_buffer() == data
    message_batch.done(base_offset=12)
    assert (await future).offset == 12


class _Cluster:
    def leader_for_partition(self, _where: TopicPartition) -> int:
        return 1


class _Transactions:
    producer_id, producer_epoch = 9, 3

    def has_pid(self) -> bool:
        return True

    def sequence_number(self, _where: TopicPartition) -> int:
        return 40

    def increment_sequence_number(self, _where: TopicPartition, count: int) -> None:
        assert count == 100

    def maybe_add_partition_to_txn(self, _where: TopicPartition) -> None:
        pass


def test_aiokafka_drains_it_sends_it_and_sends_it_again(twin: ModuleType) -> None:
    asyncio.run(drained(twin))


records = st.lists(
    st.tuples(
        st.none() | st.binary(max_size=200),
        st.none() | st.binary(max_size=200),
        st.lists(st.tuples(st.text(max_size=100).map(str.encode), st.binary(max_size=100)), max_size=70),
        st.integers(0, TIMESTAMP_MS_MAX),
    ),
    max_size=12,
)


@given(
    records,
    st.sampled_from(["none", "lz4", "zstd"]),
    st.integers(HEAD_BYTES + 1, 3000) | st.integers(HEAD_BYTES + 1, 1 << 20),
)
def test_any_records_are_read_as_they_were_appended_and_the_twins_agree(
    appended: list[Record], compression: str, bytes_max: int
) -> None:
    batch, twin = batch_py.RecordBatch(compression, bytes_max), batch_c.RecordBatch(compression, bytes_max)
    kept = []
    for record in appended:
        before = batch.size()
        took = batch.append(*record)
        assert twin.append(*record) is took
        if took:
            kept.append(record)
            assert batch.size() - before <= batch_py.record_bytes(*record[:3])
        else:
            assert batch.size() == before
            assert before + batch_py.record_bytes(*record[:3]) > bytes_max
        assert batch.size() <= bytes_max
        assert (twin.size(), twin.record_count()) == (batch.size(), batch.record_count())
    if kept:
        assert read(batch._build()) == kept
        assert twin._build() == batch._build()
        assert twin.size() == batch.size() == len(batch._build())


def said(call: Callable[[], object]) -> object:
    """What a call gives, or the class of what it raises."""
    try:
        return call()
    except (TypeError, ValueError, AttributeError, OverflowError, struct.error) as error:
        return type(error)


odd = st.sampled_from(
    [None, "text", 5, 1.5, [1], -1, 1 << 70, (b"a",), [(b"a",)], [("a", b"b")], memoryview(b"mv")]
)


@given(odd, odd, odd, odd)
def test_the_twins_refuse_the_same(key: Any, value: Any, headers: Any, number: Any) -> None:
    def tried(twin: ModuleType) -> list[object]:
        batch = filled(twin, RECORDS[:1])
        calls = (
            (key, value, headers, number),
            (key, b"", [], 1),
            (b"", value, [], 1),
            (b"", b"", headers, 1),
        )
        answers = [said(lambda call=call: batch.append(*call)) for call in calls]  # type: ignore[misc]
        for state in ((key, 0, 0), (0, value, 0), (0, 0, number)):
            batch._set_producer_state(*state)
            answers.append(said(batch._build))
        return [*answers, said(lambda: twin.RecordBatch(key, value).size())]

    assert tried(batch_c) == tried(batch_py)


def test_a_batch_holds_no_more_memory_than_its_bound() -> None:
    """An open batch's bytes are its own; growing doubles them and stops at bytes_max."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        batch = batch_c.RecordBatch("none", 100_000)
        while batch.append(None, bytes(500), [], 0):
            assert tracemalloc.get_traced_memory()[0] - before < 101_000
        assert batch.size() > 99_000
        batch.seal()
        assert tracemalloc.get_traced_memory()[0] - before < 101_000
    finally:
        tracemalloc.stop()


def large(twin: ModuleType, compression: str, first: int, bytes_max: int = 400_000) -> Any:
    batch = twin.RecordBatch(compression, bytes_max)
    number = first
    while batch.append(b"%d" % number, b"v%d " % number * 300, [], NOW_MS):
        number += 1
    return batch


@pytest.mark.parametrize("compression", ["none", "lz4", "zstd"])
def test_memory_that_serves_again_brings_nothing_of_the_batch_before(compression: str) -> None:
    for first in range(5):
        batches = [large(batch_c, compression, first * 1000 + number) for number in range(3)]
        small = filled(batch_c, RECORDS, compression)
        for number, batch in enumerate(batches):
            expected = large(batch_py, compression, first * 1000 + number)
            assert batch.size() == expected.size() > 390_000
            assert batch._build() == expected._build()
        assert small._build() == filled(batch_py, RECORDS, compression)._build()


def test_spare_memory_is_kept_up_to_a_bound_and_serves_again() -> None:
    mib = 1 << 20

    def whole() -> Any:
        batch = batch_c.RecordBatch("none", mib)
        while batch.append(None, bytes(20_000), [], NOW_MS):
            pass
        return batch

    tracemalloc.start()
    try:
        first = [whole() for _ in range(80)]
        del first
        kept = tracemalloc.get_traced_memory()[0]
        assert kept <= 33 * mib
        second = [whole() for _ in range(20)]
        assert tracemalloc.get_traced_memory()[0] - kept < mib / 2
        assert len(second) == 20
    finally:
        tracemalloc.stop()


def test_the_cython_twin_serves_where_it_is_built() -> None:
    served = batch_c if wants_extensions() else batch_py
    assert _native.batch.RecordBatch is served.RecordBatch
    assert (served is batch_c) == (_native.batch.TWIN == "cython")


@pytest.mark.parametrize("value", [0, 1, 63, 64, 8191, 8192, (1 << 31) - 1, (1 << 62) - 1])
def test_varints_are_zigzag_and_as_short_as_can_be(value: int) -> None:
    for signed in (value, -value, -value - 1):
        data = batch_py.varint(signed)
        plain = sum((byte & 0x7F) << 7 * at for at, byte in enumerate(data))
        assert (plain >> 1) ^ -(plain & 1) == signed
        assert all(byte & 0x80 for byte in data[:-1])
        assert not data[-1] & 0x80
        assert len(data) == 1 or data[-1]


def test_the_overhead_of_a_record_is_what_is_said(twin: ModuleType) -> None:
    largest = max(map(len, map(batch_py.varint, (TIMESTAMP_MS_MAX, -TIMESTAMP_MS_MAX))))
    assert len(batch_py.varint(BYTES_MAX)) * 2 + 1 + largest <= RECORD_OVERHEAD_BYTES
    for size in itertools.accumulate([1, 62, 1, 63, 8000, 70]):
        batch = filled(twin, [(b"k", b"v" * size, [(b"n", b"t")], NOW_MS)])
        plain = batch.size() - HEAD_BYTES
        assert plain < twin.record_bytes(b"k", b"v" * size, [(b"n", b"t")]) <= plain + RECORD_OVERHEAD_BYTES
