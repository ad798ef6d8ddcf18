"""The scan, the chooser: takes a body, proves that it is JSON and says where its events stand.

`scan(body, spec, *, depth_max, events_max) -> Scan` reads the whole body by RFC 8259 (duplicate keys: the
last one wins; a lone surrogate escape is legal) and lifts what `ScanSpec` names; no object per event. A
candidate of a role that is null, "" or a container is passed over, but for VALUE, where anything counts. An
element that is not an object still has its row. Brackets count as levels from 1; more than depth_max, which
may be any number, are refused. A body is any contiguous buffer of at most BODY_BYTES_MAX bytes (ValueError
beyond). A spec and its `roles` do not change once it has been used. Memory: 108 bytes an event (twice that
during the call), at most events_max of them. Raises ScanError. Does not wait.

`text(body, cell) -> bytes | None`: a lifted scalar as UTF-8, a string without its escapes (a lone
surrogate: U+FFFD), numbers, true and false as they are written; None for what is absent, null or a
container. ValueError for a cell that is not of this body.

`members(body, start, end) -> list[(key, cell)]`: the members of the object that body[start:end] is, keys as
UTF-8, in the order of their last appearance. Raises ScanError where that is no object.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from _native import missing, wants_extensions
from _native.cells import (
    ABSENT,
    ANON,
    ARRAY,
    BODY_BYTES_MAX,
    DEPTH_MAX,
    EVENT,
    EVENTS_MAX,
    FALSE,
    ID,
    NAME,
    NULL,
    NUMBER,
    OBJECT,
    REASONS,
    ROLES,
    ROW,
    SENT,
    STRING,
    STRING_ESCAPED,
    TIME,
    TRUE,
    TYPE,
    USER,
    VALUE,
    Cell,
    Path,
    Scan,
    ScanError,
    ScanSpec,
)

__all__ = [
    "ABSENT",
    "ANON",
    "ARRAY",
    "BODY_BYTES_MAX",
    "DEPTH_MAX",
    "EVENT",
    "EVENTS_MAX",
    "FALSE",
    "ID",
    "NAME",
    "NULL",
    "NUMBER",
    "OBJECT",
    "REASONS",
    "ROLES",
    "ROW",
    "SENT",
    "STRING",
    "STRING_ESCAPED",
    "TIME",
    "TRUE",
    "TWIN",
    "TYPE",
    "USER",
    "VALUE",
    "Cell",
    "Path",
    "Scan",
    "ScanError",
    "ScanSpec",
    "members",
    "scan",
    "text",
]

TWIN = "python"
if TYPE_CHECKING or not wants_extensions():
    from _native.scan_py import members, scan, text
else:
    try:
        from _native.scan_c import members, scan, text

        TWIN = "cython"
    except ImportError:
        missing("_native.scan_c")
        from _native.scan_py import members, scan, text
