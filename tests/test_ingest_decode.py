"""Decode: what the bytes are, whatever the header says, and the bound while inflating."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib
from collections.abc import Callable

import brotli
import pytest
import zstandard
from door_stand import DoorStand

from ingest.decode import LAYERS_MAX, MEMBERS_MAX, decode
from ingest.errors import Refusal, Situation

TEXT = b'{"batch":[{"type":"track","event":"\xc3\xa9"}]}' * 40
BOUND = 1 << 20


def raw_deflate(data: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-15)
    return stream.compress(data) + stream.flush()


def zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor(write_checksum=True).compress(data)


def br(data: bytes) -> bytes:
    return bytes(brotli.compress(data, quality=5))


CODINGS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "raw deflate": raw_deflate,
    "zstd": zstd,
    "br": br,
}
NAMED = ("gzip", "deflate", "zstd")  # those that a magic number gives away


def encoding(name: str) -> bytes:
    return name.removeprefix("raw ").encode()


@pytest.mark.parametrize("name", CODINGS)
def test_each_coding_is_undone_when_the_header_names_it(name: str) -> None:
    assert decode(CODINGS[name](TEXT), encoding(name), BOUND) == TEXT
    assert decode(CODINGS[name](TEXT), encoding(name).upper(), BOUND) == TEXT


@pytest.mark.parametrize("name", NAMED)
@pytest.mark.parametrize("header", [b"", b"identity", b"br", b"gzip", b"deflate", b"compress"])
def test_the_bytes_say_what_they_are_whatever_the_header_says(name: str, header: bytes) -> None:
    assert decode(CODINGS[name](TEXT), header, BOUND) == TEXT


@pytest.mark.parametrize("header", [b"gzip", b"deflate", b"br", b"zstd", b"compress", b"identity"])
def test_plain_json_under_a_header_that_lies_is_plain_json(header: bytes) -> None:
    assert decode(b"  " + TEXT, header, BOUND) == b"  " + TEXT


@pytest.mark.parametrize("name", CODINGS)
def test_the_bound_is_on_the_inflated_bytes(name: str) -> None:
    data = CODINGS[name](b" " * 5000)
    assert len(decode(data, encoding(name), 5000)) == 5000
    with pytest.raises(Refusal) as caught:
        decode(data, encoding(name), 4999)
    assert (caught.value.situation, caught.value.code) == (Situation.TOO_LARGE, "body_too_large")


def test_the_bound_holds_for_plain_bytes_too() -> None:
    assert decode(b"x" * 10, b"", 10) == b"x" * 10
    with pytest.raises(Refusal):
        decode(b"x" * 11, b"", 10)


@pytest.mark.parametrize("name", CODINGS)
def test_a_bomb_costs_no_more_memory_than_the_bound(name: str) -> None:
    bomb = CODINGS[name](bytes(32 << 20))
    tracemalloc.start()
    try:
        with pytest.raises(Refusal):
            decode(bomb, encoding(name), BOUND)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 16 << 20


@pytest.mark.parametrize("name", CODINGS)
def test_cut_and_damaged_bytes_are_unreadable(name: str) -> None:
    data = CODINGS[name](bytes(range(256)) * 20)
    for broken in (data[:-1], data[: len(data) // 2], data[:12] + b"\xff\x00\xff" + data[15:]):
        with pytest.raises(Refusal) as caught:
            decode(broken, encoding(name), BOUND)
        assert caught.value.situation is Situation.UNREADABLE


def test_members_one_after_the_other_are_one_body_up_to_a_bound() -> None:
    for pack in (gzip.compress, zstd):
        assert decode(pack(b"[1") + pack(b",2]"), b"gzip", BOUND) == b"[1,2]"
        assert len(decode(pack(b"x") * MEMBERS_MAX, b"", BOUND)) == MEMBERS_MAX
        with pytest.raises(Refusal) as caught:
            decode(pack(b"x") * (MEMBERS_MAX + 1), b"", BOUND)
        assert caught.value.situation is Situation.UNREADABLE


def test_what_was_compressed_twice_is_undone_twice_and_no_further() -> None:
    assert decode(gzip.compress(zstd(TEXT)), b"zstd, gzip", BOUND) == TEXT
    assert decode(gzip.compress(gzip.compress(TEXT)), b"", BOUND) == TEXT
    deep = TEXT
    for _ in range(LAYERS_MAX + 1):
        deep = gzip.compress(deep)
    assert decode(deep, b"", BOUND) == gzip.compress(TEXT)


def test_a_byte_order_mark_is_taken_off() -> None:
    assert decode(b"\xef\xbb\xbf{}", b"", BOUND) == b"{}"


def test_where_any_bytes_may_come_the_header_alone_decides() -> None:
    zipped = gzip.compress(TEXT)
    assert decode(zipped, b"", BOUND, by_bytes=False) == zipped
    assert decode(zipped, b"gzip", BOUND, by_bytes=False) == TEXT
    assert decode(b"\xef\xbb\xbfx", b"", BOUND, by_bytes=False) == b"\xef\xbb\xbfx"


@pytest.mark.parametrize("name", [*NAMED])
def test_a_compressed_batch_lands_as_its_events(name: str) -> None:
    door = DoorStand()
    body = CODINGS[name](b'{"batch":[{"messageId":"a"},{"messageId":"b"}]}')
    assert door.post("/v1/batch", body).status == 200
    assert [row["event_id"] for row in door.rows()] == ["a", "b"]
