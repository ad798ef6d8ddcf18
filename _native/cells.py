"""The vocabulary of the scan: what it is told about a dialect and how it says where the events stand.

A *cell* is three int32: where a value starts in the body, where it ends, and its kind. A *row* is one
event: ROLES cells in the order of the role constants, ROW numbers in all. Nothing is copied out of the
body.

    cell    start   first byte of the value (of a string: the first byte after its opening quote)
            end     the byte after the last (of a string: its closing quote); an absent value has 0, 0
            kind    ABSENT … ARRAY
    row     EVENT ID TYPE NAME USER ANON TIME SENT VALUE, one cell each
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

EVENT: Final = 0
ID: Final = 1
TYPE: Final = 2
NAME: Final = 3
USER: Final = 4
ANON: Final = 5
TIME: Final = 6
SENT: Final = 7
VALUE: Final = 8
ROLES: Final = 9
ROW: Final = 3 * ROLES

ABSENT: Final = 0
STRING: Final = 1
STRING_ESCAPED: Final = 2
NUMBER: Final = 3
TRUE: Final = 4
FALSE: Final = 5
NULL: Final = 6
OBJECT: Final = 7
ARRAY: Final = 8

Cell = tuple[int, int, int]
Path = tuple[str, ...]

BODY_BYTES_MAX: Final = 2**31 - 1  # a cell is int32
DEPTH_MAX: Final = 64
EVENTS_MAX: Final = 100_000

REASONS: Final[dict[str, str]] = {
    "empty_body": "nothing but white space",
    "byte_order_mark": "the body starts with EF BB BF, which RFC 8259 section 8.1 forbids",
    "invalid_utf8": "position is the first byte that is not UTF-8",
    "invalid_json": "position is the first byte of the token that cannot stand there",
    "too_deep": "position is the bracket that opens level depth_max + 1",
    "trailing_bytes": "position is the first byte after the value that is not white space",
    "too_many_events": "position is event events_max + 1",
    "no_events": "valid JSON, but neither an object nor an array of this dialect",
    "batch_not_array": "valid JSON, but the batch key holds no array; position is its value",
}


@dataclass(frozen=True)
class ScanSpec:
    """Where a dialect keeps its events and which values of an event fill which role.

    roles: per role (ID … VALUE) the candidates in order of preference, each a path of keys within the event.
    batch_keys: keys of the top-level object whose array holds the events, the preferred one first.
    array: a top-level array is a list of events. ndjson: several top-level values with white space
    between them are a list of events. single: the top-level object itself may be the event.
    envelope: (name, path) of values that are lifted from the top-level object.
    """

    roles: Mapping[int, tuple[Path, ...]]
    batch_keys: tuple[str, ...] = ()
    array: bool = False
    ndjson: bool = False
    single: bool = True
    envelope: tuple[tuple[str, Path], ...] = ()


@dataclass(slots=True)
class Scan:
    """What the scan found: `rows` holds count * ROW int32, `envelope` only names that are present."""

    count: int = 0
    rows: array[int] = field(default_factory=lambda: array("i"))
    envelope: dict[str, Cell] = field(default_factory=dict)
    batched: bool = False  # the events came from a batch key, an array or NDJSON


class ScanError(ValueError):
    """The body is not what the spec expects: `reason` is a key of REASONS, `position` a byte offset."""

    def __init__(self, reason: str, position: int) -> None:
        super().__init__(f"{reason} at byte {position}: {REASONS[reason]}")
        self.reason = reason
        self.position = position
