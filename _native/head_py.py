"""The request head, the Python twin and specification: see `_native.head`."""

from __future__ import annotations

import re
from typing import Final

from _native.head_names import LENGTH_DIGITS_MAX, NAME_BYTES_MAX

Head = tuple[bytes, bytes, list[tuple[bytes, bytes]], dict[bytes, bytes], int, int]

LINE: Final = re.compile(rb"POST ((/[!\"$&->@-~]*)(?:\?([!\"$-~]*))?) HTTP/1\.1\r\n")
HEADER: Final = re.compile(
    rb"([!#$%%&'*+\-.^_`|~0-9A-Za-z]{1,%d}):[\t ]*([!-~\x80-\xff][\t -~\x80-\xff]*)\r\n" % NAME_BYTES_MAX
)
LENGTH: Final = re.compile(rb"[0-9]{1,%d}" % LENGTH_DIGITS_MAX)
REFUSED: Final = frozenset((b"transfer-encoding", b"expect", b"upgrade", b"proxy-connection"))


def read_head(
    data: bytes, target_bytes_max: int, header_count_max: int, header_bytes_max: int
) -> Head | None:
    """See `_native.head`."""
    line = LINE.match(data)
    if line is None or len(line[1]) > target_bytes_max:
        return None
    headers: list[tuple[bytes, bytes]] = []
    lengths: list[bytes] = []
    at, size = line.end(), 0
    while (header := HEADER.match(data, at)) is not None:
        name, value = header[1].lower(), header[2]
        at, size = header.end(), size + len(name) + len(value) + 4
        if name == b"content-length":
            lengths.append(value)
        elif name in REFUSED or (name == b"connection" and value.lower() != b"keep-alive"):
            return None
        headers.append((name, value))
    if data[at : at + 2] != b"\r\n" or len(headers) > header_count_max or size > header_bytes_max:
        return None
    if len(lengths) != 1 or not LENGTH.fullmatch(lengths[0]):
        return None
    return line[2], line[3] or b"", headers, dict(headers), at + 2, int(lengths[0])
