"""Inside pack: takes a structured CloudEvent as the scan found it, gives it as a record in binary mode.

    member                          becomes
    id, type, time                  what the scan's roles say
    datacontenttype                 content-type
    data                            value: its JSON text; where the content type is not JSON, a string's text
    data_base64                     value: decoded
    any other                       ce_<name>: a string's text, else its JSON text

null and "" count as absent, but for data. Without data the value is empty. Source: CloudEvents 1.0.2, JSON
event format sections 2.4 and 3.1, Kafka protocol binding section 3.2.
"""

from __future__ import annotations

import base64
import json
import re
from binascii import Error as Base64Error
from typing import Final

from _native.cells import ABSENT, NULL, STRING, STRING_ESCAPED, Cell
from _native.pack_stamp import One
from _native.record import CONTENT_BYTES, CONTENT_JSON, Flags
from _native.scan import members, text

Body = bytes | bytearray | memoryview

IN_ROLES: Final = frozenset((b"id", b"type", b"time"))
JSON_TYPE: Final = re.compile(
    rb"\s*(application/json|text/json|[^;\s]+\+json)\s*(;.*)?", re.IGNORECASE | re.DOTALL
)
LONE_SURROGATE: Final = re.compile("[\ud800-\udfff]")
REPAIRED: Final = int(Flags.REPAIRED)
NOTHING: Final[Cell] = (0, 0, ABSENT)
STRINGS: Final = (STRING, STRING_ESCAPED)


def taken_apart(body: Body, start: int, end: int, event: One) -> tuple[One, int] | None:
    """`event` (its roles filled) with value, content type and attributes, and flags; None: it is invalid."""
    data = encoded = NOTHING
    content_type: bytes | None = None
    extra: list[tuple[bytes, bytes]] = []
    for name, cell in members(body, start, end):
        if name == b"data":
            data = cell
        elif name == b"data_base64":
            encoded = cell
        elif name == b"datacontenttype":
            content_type = text(body, cell)
        elif name not in IN_ROLES and (value := attribute(body, cell)):
            extra.append((b"ce_" + name, value))
    if encoded[2] in (ABSENT, NULL):
        value, content_type, flags = value_of(body, data, content_type)
    elif data[2] in (ABSENT, NULL):
        decoded, flags = decoded_of(body, encoded), 0
        if decoded is None:
            return None
        value, content_type = decoded, content_type or CONTENT_BYTES
    else:
        return None
    return event._replace(value=value, content_type=content_type, extra=tuple(extra)), flags


def attribute(body: Body, cell: Cell) -> bytes | None:
    """A member as the value of a header; None for null."""
    if cell[2] == NULL:
        return None
    found = text(body, cell)
    return json_text(body, cell) if found is None else found


def value_of(body: Body, cell: Cell, content_type: bytes | None) -> tuple[bytes, bytes | None, int]:
    """Value, content type and flags of an event whose data is the member `data`, or nothing."""
    if cell[2] == ABSENT:
        return b"", content_type, 0
    if cell[2] not in STRINGS or not content_type or JSON_TYPE.fullmatch(content_type):
        return json_text(body, cell), content_type or CONTENT_JSON, 0
    string: str = json.loads(json_text(body, cell))
    repaired = LONE_SURROGATE.sub("\ufffd", string)
    return repaired.encode(), content_type, 0 if repaired == string else REPAIRED


def decoded_of(body: Body, cell: Cell) -> bytes | None:
    """The bytes of a data_base64; None if it is no base64 of RFC 4648 section 4."""
    if cell[2] not in STRINGS:
        return None
    try:
        return base64.b64decode(text(body, cell) or b"", validate=True)
    except Base64Error:
        return None


def json_text(body: Body, cell: Cell) -> bytes:
    """The JSON text of a value, the quotes of a string included."""
    quotes = cell[2] in STRINGS
    return bytes(body[cell[0] - quotes : cell[1] + quotes])
