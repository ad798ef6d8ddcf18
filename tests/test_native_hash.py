"""Hashes: Kafka's own vectors, and the twins against each other on any bytes."""

from __future__ import annotations

from types import ModuleType

import pytest
from aiokafka.partitioner import murmur2 as murmur2_of_aiokafka
from aiokafka.record.util import calc_crc32c
from hypothesis import given
from hypothesis import strategies as st

import _native.hash
from _native import hash_c, hash_py

KAFKA_VECTORS = {  # of Kafka's UtilsTest.testMurmur2
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
}


@pytest.fixture(params=[hash_py, hash_c], ids=["python", "cython"])
def twin(request: pytest.FixtureRequest) -> ModuleType:
    module: ModuleType = request.param
    return module


def test_the_cython_twin_serves_where_it_is_built() -> None:
    assert _native.hash.TWIN == "cython"


@pytest.mark.parametrize(("key", "signed"), KAFKA_VECTORS.items())
def test_murmur2_is_that_of_kafka(twin: ModuleType, key: bytes, signed: int) -> None:
    assert twin.murmur2(key) == signed & 0xFFFFFFFF


def test_crc32c_of_the_check_string(twin: ModuleType) -> None:
    assert twin.crc32c(b"123456789") == 0xE3069283
    assert twin.crc32c(b"") == 0


@given(st.binary(max_size=300))
def test_the_twins_agree_with_each_other_and_with_aiokafka(data: bytes) -> None:
    assert hash_c.murmur2(data) == hash_py.murmur2(data) == murmur2_of_aiokafka(data) & 0xFFFFFFFF
    assert hash_c.crc32c(data) == hash_py.crc32c(data) == calc_crc32c(data)
    assert hash_c.crc32c(memoryview(data)[1:]) == hash_py.crc32c(bytearray(data[1:]))


@given(st.binary(max_size=64), st.integers(1, 10_000))
def test_a_key_has_one_kafka_partition(key: bytes, count: int) -> None:
    chosen = hash_py.partition_of(key, count)
    assert 0 <= chosen < count
    assert hash_c.partition_of(key, count) == chosen


def test_no_kafka_partition_is_an_error(twin: ModuleType) -> None:
    assert twin.partition_of(b"x", 1) == 0
    with pytest.raises(ValueError, match="at least 1"):
        twin.partition_of(b"x", 0)


@pytest.mark.parametrize("wrong", [None, "text", 7])
def test_what_is_not_bytes_is_a_type_error(twin: ModuleType, wrong: object) -> None:
    with pytest.raises(TypeError):
        twin.murmur2(wrong)
    with pytest.raises(TypeError):
        twin.crc32c(wrong)
