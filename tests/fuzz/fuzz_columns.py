"""The columns decoder under a fuzzer: both twins make the same of any fetch, and none reads beyond it.

    python tests/fuzz/fuzz_columns.py --seconds 60
    python tests/fuzz/sanitized.py fuzz_columns.py --seconds 60            (address and undefined behaviour)
    python tests/fuzz/sanitized.py fuzz_columns.py --atheris CORPUS …      (guided by coverage; needs clang)

The first byte of an input chooses what the rest is: a fetch as it came, a fetch whose batches are signed
anew, the records of one batch, the headers of a record, or a payload; and what the decoder is told. Built
with sanitizers: columns_c, columns_buffers_c, columns_lift_c, scan_c, hash_c.
"""

from __future__ import annotations

import os
import struct
import sys
from pathlib import Path
from typing import Any, get_args

sys.path[:0] = [str(Path(__file__).parents[level]) for level in (0, 1)]
sys.path.append(str(Path(__file__).parents[2]))  # behind PYTHONPATH, where sanitized twins stand

from columns_stand import NOW_US, Landing, batch_of, events, headers_of, marker, seen, sign  # noqa: E402
from mutation import at_end, main  # noqa: E402

from _native import columns_c  # noqa: E402
from _native.columns import Promoted, PromotedType  # noqa: E402
from _native.record import HEADERS  # noqa: E402

# Under sanitized.py it must be the sanitized twin that is tested.
assert columns_c.__file__.startswith(os.environ.get("HEADRACE_SANITIZED", ""))

TYPES: tuple[PromotedType, ...] = get_args(PromotedType)
COLUMNS = [
    Promoted(f"{where}_{kind}", path, kind)
    for kind in TYPES
    for where, path in (("as", ("v",)), ("deep", ("a", "v")))
]
HEAD_BYTES = 61
RECORD_BYTES_MAX = 1 << 16
PAYLOADS = (
    b'{"v":1.5e3,"a":{"v":"2025-11-24T07:40:00.5+01:00"}}',
    b'{"v":"19.99","a":{"v":-9223372036854775808}}',
    b'{"a":{"v":"\\u00e9\\ud83d\\ude00"},"v":true}',
    b'{"v":[{}],"a":{"v":"2024-02-29"}}',
)
FULL = headers_of(
    9, hr_user=b"u", hr_anon=b"a", hr_ip=b"::1", hr_sent=struct.pack(">q", NOW_US), hr_ctx=b"{}"
)
FETCHES = (
    batch_of(events(3), codec=0),
    batch_of([(b"k", PAYLOADS[0], FULL), (None, None, [])], codec=4) + marker(2, 7, False),
    batch_of(events(2), transaction=7) + batch_of(events(2), base=4, codec=1, last_delta=5),
    batch_of([(b"k", b"x", headers_of(content_type=b"text/plain", hr_reason=b"r", hr_position=bytes(4)))]),
)
TOKENS = [
    *(bytes((number,)) for number in (0, 1, 2, 0x7F, 0x80, 0xFF)),
    *(struct.pack(">i", number) for number in (-1, 0, 1, 61, 1 << 30)),
    *(struct.pack(">q", number) for number in (-1, 0, NOW_US, NOW_US // 1000)),
    *(bytes((len(name) * 2,)) + name.encode() for name in HEADERS),
    *(b"application/json", b"a+json;x", b"2025-11-24T07:40:00.123456Z", b"1.0", b"web", b"\x20bootid08"),
    *(b'{"v":', b'"a":', b"}", b"1e-7", b"-0.0", b"0000000001", b"9223372036854775808", b"null", b"\xc3\xa9"),
]


def seeds() -> list[bytes]:
    found = [bytes((kind,)) + data for data in FETCHES for kind in (0, 1, 1 | 8, 1 | 16)]
    found += [bytes((2 | 32,)) + data[HEAD_BYTES:] for data in (FETCHES[0], FETCHES[3])]
    found += [bytes((3,)) + written(FULL)]
    return found + [bytes((4 | flags,)) + payload for payload in PAYLOADS for flags in (0, 32)]


def varint(number: int) -> bytes:
    value, out = number << 1 ^ number >> 63, b""
    while value > 0x7F:
        out, value = out + bytes((value & 0x7F | 0x80,)), value >> 7
    return out + bytes((value,))


def written(headers: list[tuple[str, bytes | None]]) -> bytes:
    out = varint(len(headers))
    for name, value in headers:
        out += varint(len(name)) + name.encode() + varint(len(value or b"")) + (value or b"")
    return out


def batch_with(records: bytes, count: int) -> bytes:
    millis = NOW_US // 1000
    fields = (0, 49 + len(records), 7, 2, 0, 0, 9, millis, millis, -1, -1, -1, count)
    head = struct.pack(">qiibIhiqqqhii", *fields)
    return sign(bytearray(head + records))


def signed(data: bytes) -> bytes:
    """Each batch that is there as a whole with the checksum that it should have."""
    out, at = bytearray(data), 0
    while at + HEAD_BYTES <= len(out):
        (length,) = struct.unpack_from(">i", out, at + 8)
        end = at + 12 + length
        if length < 49 or end > len(out):
            break
        out[at:end] = sign(out[at:end])
        at = end
    return bytes(out)


def fetch_of(kind: int, data: bytes) -> bytes:
    if kind == 0:
        return data
    if kind == 1:
        return signed(data)
    if kind == 2:
        return batch_with(data, 1 + len(data) // 200)
    if kind == 3:
        rest = bytes(3) + varint(1) + b"k" + varint(2) + b"{}" + data
        return batch_with(varint(len(rest)) + rest, 1)
    return batch_of([(b"k", data, headers_of())])


def made(twin: str, fetch: Any, chosen: int) -> Any:
    # Each type alone, or all: where one column of a row is left to the specification, its others are as well.
    kind = len(fetch) % (len(TYPES) + 1) * 2
    columns = (COLUMNS[kind : kind + 2] or COLUMNS) if chosen & 32 else ()
    landing = Landing(400 if chosen & 8 else RECORD_BYTES_MAX, bool(chosen & 16), twin, columns)
    aborted = [(7, 0), (8, 3)] if chosen & 64 else []
    fed = landing.decoder.feed(3, 2, chosen >> 7, fetch, aborted)
    return fed, landing.asked, seen(landing)


def one_input(data: bytes) -> None:
    chosen, rest = (data[0], data[1:]) if data else (0, b"")
    fetch = fetch_of(min(chosen & 7, 4), rest)
    # In memory of just its size, so that a sanitizer sees any read beyond it.
    exact = at_end(fetch)
    assert made("cython", exact, chosen) == made("python", fetch, chosen)


if __name__ == "__main__":
    main(one_input, seeds(), TOKENS)
