"""Inside decode, the Python twin: takes the bytes of one record, gives its parts.

    record   length varint · attributes 1 · timestamp delta varlong · offset delta varint ·
             key length varint · key · value length varint · value · header count varint · headers
    header   name length varint · name · value length varint · value

Varints are zigzag; length -1 is null. Source: KIP-98 and Kafka's DefaultRecord.
"""

from __future__ import annotations

from typing import Final, NamedTuple

VARINT_BYTES_MAX: Final = 10


class MalformedError(ValueError):
    """The bytes are not a Kafka record: a length points beyond its end, or what must be there is not."""


class Record(NamedTuple):
    """One record of a batch; `appended_us` is µs since 1970, a null header value is empty."""

    offset: int
    appended_us: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[bytes, bytes]]


def read_varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    """The zigzag varint at `at` and the position after it; MalformedError if it does not end before `end`."""
    result = shift = 0
    first = at
    for at in range(first, min(end, first + VARINT_BYTES_MAX)):
        byte = data[at]
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            result &= (1 << 64) - 1
            return (result >> 1) ^ -(result & 1), at + 1
        shift += 7
    raise MalformedError(f"varint at {first} does not end before {end}")


def read_slice(data: bytes, at: int, end: int) -> tuple[bytes | None, int]:
    """The length-prefixed bytes at `at` (None for length -1) and the position after them."""
    if at < end and data[at] < 0x80:  # one byte is the rule; the call would cost more than the work
        size = (data[at] >> 1) ^ -(data[at] & 1)
        at += 1
    else:
        size, at = read_varint(data, at, end)
    if size == -1:
        return None, at
    if size < 0 or size > end - at:
        raise MalformedError(f"{size} bytes at {at}, but the record ends at {end}")
    return data[at : at + size], at + size


def read_rest(data: bytes, at: int, end: int, offset: int, appended_us: int) -> Record:
    """Key, value and headers of the record that ends exactly at `end`."""
    key, at = read_slice(data, at, end)
    value, at = read_slice(data, at, end)
    count, at = read_varint(data, at, end)
    if count < 0:
        raise MalformedError(f"{count} headers")
    headers: list[tuple[bytes, bytes]] = []
    # A header takes two bytes at least, so a count that lies ends at the record's end.
    for _ in range(count):
        name, at = read_slice(data, at, end)
        if name is None:
            raise MalformedError("a header without a name")
        text, at = read_slice(data, at, end)
        headers.append((name, text or b""))
    if at != end:
        raise MalformedError(f"{end - at} bytes after the last header")
    return Record(offset, appended_us, key, value, headers)
