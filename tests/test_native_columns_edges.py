"""The Cython decoder against its specification: each edge of each header, sizes, and texts that are none."""

from __future__ import annotations

import struct

import pytest
from columns_stand import GRACE_US, NOW_US, Headers, batch_of, compare, headers_of

from _native.record import HEADERS

TYPES = (
    b"application/json",
    b"",
    b" Text/JSON ; charset=x",
    b"a+json",
    b"+json",
    b"application/json x",
    b"application/vnd.a+JSON\t;",
    b"text/\xff",
    b"text/plain",
    b"x" * 40 + b"+json",
)
TIMES = (
    b"2025-11-24T07:40:00Z",
    b"2025-11-24T07:40:00.Z",
    b"2025-11-24T07:40:00.1Z",
    b"2025-11-24T07:40:00.1234567Z",
    b"2024-02-29T23:59:59.999999Z",
    b"2023-02-29T00:00:00Z",
    b"1900-02-29T00:00:00Z",
    b"0000-01-01T00:00:00Z",
    b"0001-01-01T00:00:00Z",
    b"9999-12-31T23:59:59.999999Z",
    b"2025-11-24T24:00:00Z",
    b"2025-11-24T07:40:60Z",
    b"2025-13-24T07:40:00Z",
    b"2025-11-24t07:40:00Z",
    b"\xff",
)
EDGES: dict[str, tuple[bytes | None, ...]] = {
    "content-type": (*TYPES, b"a/b+JSON ", b"\x0btext/json", b"text/json;", b"text/jsonx", b"a+json b", None),
    "ce_time": TIMES,
    "ce_specversion": (b"1.0", b"1.00", b"", None),
    "ce_source": (b"web", b"we", b"webs", b"", None),
    "hr_source": (b"", b"\xc3\xa9", b"\xff", None),
    "hr_seq": (
        bytes(16),
        bytes(8) + b"\x7f" + b"\xff" * 7,
        bytes(8) + b"\x80" + bytes(7),
        bytes(15),
        b"",
        None,
    ),
    "hr_time": tuple(
        struct.pack(">q", NOW_US + change)
        for change in (-GRACE_US - 1000, -GRACE_US - 457, -GRACE_US, 0, 999_543, 999_544, 999_545, 1_000_001)
    ),
    "hr_flags": (*(struct.pack(">I", 1 << bit) for bit in range(32)), b"", bytes(3), None),
    "hr_sent": (struct.pack(">q", -1), struct.pack(">q", 253_402_300_799_999_999), bytes(7), b"", None),
    "hr_position": (bytes(4), b"\xff" * 4, bytes(3), b"", None),
    "hr_ack": (b"disk", b"disks", b"", None),
}


@pytest.mark.parametrize("name", list(EDGES))
@pytest.mark.parametrize("quarantine", [False, True])
def test_the_twins_agree_on_each_edge_of_a_header(name: str, quarantine: bool) -> None:
    full = dict(headers_of(hr_user=b"u", hr_anon=b"a", hr_reason=b"r", hr_position=bytes(4)))
    for edge in EDGES[name]:
        headers: Headers = [(one, value) for one, value in (full | {name: edge}).items() if value is not None]
        for value in (b"{}", b"", b"\xff"):
            compare(batch_of([(b"k", value, headers), (None, value, headers)]), quarantine_topic=quarantine)


def test_the_twins_agree_on_headers_that_come_twice_and_on_names_alike() -> None:
    for name in (*HEADERS, "x", "", "hr_tims", "hr_seqx", "hr_timehr_time"):
        for place in (0, 6, 12):
            headers = headers_of()
            headers.insert(place, (name, b"1"))
            compare(batch_of([(b"k", b"{}", headers)]))
            compare(batch_of([(b"k", b"{}", [*headers, (name, b"2")])]))


@pytest.mark.parametrize("text", ["a", "é", "€", "😀"])
def test_the_twins_agree_on_text_of_every_size_and_on_each_broken_byte(text: str) -> None:
    for size in range(44):
        whole = ("x" * size + text + "yz").encode()
        for at in {0, size, len(whole) - 3, len(whole) - 1}:
            broken = whole[:at] + b"\xed" + whole[at + 1 :]
            records = [(b"k", value, headers_of(ce_id=value)) for value in (whole, broken, whole[:-3])]
            compare(batch_of(records))
