"""Part of decode: fields of a query string, a form or a multipart body, and the JSON object they make.

Sources: WHATWG URL, application/x-www-form-urlencoded; RFC 7578 and RFC 2046 section 5.1 for multipart.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import unquote_to_bytes

import orjson

from ingest.errors import Refusal, Situation

FIELDS_MAX: Final = 1000
PART_HEADER_BYTES_MAX: Final = 8 * 1024
BOUNDARY_BYTES_MAX: Final = 70 + 2  # RFC 2046, with the two dashes before it

Fields = list[tuple[bytes, bytes]]


def of_query(text: bytes) -> Fields:
    """Fields of `a=1&b=2`, percent-decoded, + is a space. Raises Refusal where there are too many."""
    if text.count(b"&") >= FIELDS_MAX:
        raise _unreadable("form_too_long", f"more than {FIELDS_MAX} fields")
    fields = []
    for part in text.split(b"&"):
        name, _, value = part.partition(b"=")
        if name:
            fields.append((_decoded(name), _decoded(value)))
    return fields


def _decoded(text: bytes) -> bytes:
    return unquote_to_bytes(text.replace(b"+", b" "))


def of_multipart(body: bytes) -> Fields:
    """Fields of a multipart/form-data body; the delimiter is its first line. Raises Refusal."""
    delimiter = body[: BOUNDARY_BYTES_MAX + 2].split(b"\r\n", 1)[0].rstrip(b" \t")
    if not 2 < len(delimiter) <= BOUNDARY_BYTES_MAX or not delimiter.startswith(b"--"):
        raise _unreadable("invalid_multipart", "a multipart body begins with -- and its boundary, in a line")
    # Every part but the first follows a line break that belongs to the delimiter.
    parts = (b"\r\n" + body).split(b"\r\n" + delimiter, FIELDS_MAX + 2)
    if len(parts) > FIELDS_MAX + 2:
        raise _unreadable("form_too_long", f"more than {FIELDS_MAX} fields")
    if len(parts) < 3 or not parts[-1].startswith(b"--"):
        raise _unreadable("invalid_multipart", "the multipart body is cut: its last boundary is missing")
    fields = []
    for part in parts[1:-1]:
        head, found, value = part.partition(b"\r\n\r\n")
        if not found or len(head) > PART_HEADER_BYTES_MAX:
            raise _unreadable("invalid_multipart", "a part of the multipart body has no end of its headers")
        name = _field_name(head)
        if name:
            fields.append((name, value))
    return fields


def _field_name(head: bytes) -> bytes:
    for line in head.split(b"\r\n"):
        header, _, value = line.partition(b":")
        if header.strip().lower() == b"content-disposition":
            for parameter in value.split(b";")[1:]:
                key, _, text = parameter.strip().partition(b"=")
                if key.lower() == b"name":
                    return text.strip(b'"')
    return b""


def values_of(fields: Fields, name: bytes) -> list[bytes]:
    """All values of a field."""
    return [value for key, value in fields if key == name]


def as_object(fields: Fields, left_out: frozenset[bytes]) -> tuple[bytes, bool]:
    """The fields as one JSON object of texts, in their order (of a repeated field the last value).

    The second is true where bytes that are not UTF-8 had to be replaced by U+FFFD.
    """
    repaired = False
    texts: dict[str, str] = {}
    for name, value in fields:
        if name in left_out:
            continue
        key, text = name.decode(errors="replace"), value.decode(errors="replace")
        repaired = repaired or key.encode() != name or text.encode() != value
        texts[key] = text
    return orjson.dumps(texts), repaired


def _unreadable(code: str, message: str) -> Refusal:
    return Refusal(Situation.UNREADABLE, code, message)
