"""Beside pack: what can't be taken but is answered with success, as records of headrace.quarantine.

Takes the body, its scan and the rows left out; gives one `One` each, with bytes, reason and position.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from _native.pack import One
from _native.record import CONTENT_BYTES, CONTENT_JSON
from _native.scan import (
    ANON,
    EVENT,
    ID,
    NAME,
    ROW,
    STRING,
    STRING_ESCAPED,
    TIME,
    TYPE,
    USER,
    Cell,
    Scan,
    text,
)

# The largest value that a topic of ours passes (`ingest.topics.EVENT_BYTES_MAX`).
QUARANTINED_BYTES_MAX: Final = 4 * 1024 * 1024
WHOLE_BODY: Final = -1  # as position
UNREADABLE: Final = b"unreadable_body"


def left_out_records(body: bytes, found: Scan, left_out: Iterable[tuple[int, str]]) -> Iterator[One]:
    """One record per event that was left out, with what could be lifted of it."""
    for index, reason in left_out:
        yield One(
            value=event_bytes(body, cell_of(found, index, EVENT)),
            content_type=CONTENT_JSON,
            id=text(body, cell_of(found, index, ID)),
            type=text(body, cell_of(found, index, TYPE)),
            name=text(body, cell_of(found, index, NAME)),
            user=text(body, cell_of(found, index, USER)),
            anon=text(body, cell_of(found, index, ANON)),
            time=text(body, cell_of(found, index, TIME)),
            reason=reason.encode(),
            position=index,
        )


def whole_record(body: bytes, reason: bytes = UNREADABLE) -> One:
    """A record of a body that could not be taken apart."""
    return One(value=body, content_type=CONTENT_BYTES, reason=reason, position=WHOLE_BODY)


def cell_of(found: Scan, index: int, role: int) -> Cell:
    """The cell of a role of the event `index`."""
    at = index * ROW + 3 * role
    start, end, kind = found.rows[at : at + 3]
    return start, end, kind


def event_bytes(body: bytes, cell: Cell) -> bytes:
    """An element of a batch as it stands in the body, the quotes of a string included."""
    start, end, kind = cell
    quotes = kind in (STRING, STRING_ESCAPED)
    return body[start - quotes : end + quotes]


def largest_event(found: Scan) -> int:
    """Bytes of the largest event of a scan."""
    starts, ends = found.rows[0::ROW], found.rows[1::ROW]
    return max((end - start for start, end in zip(starts, ends, strict=True)), default=0)
