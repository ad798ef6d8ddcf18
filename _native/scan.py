"""The scan, the chooser: takes a body, proves that it is JSON and says where its events stand.

`scan(body, spec, *, depth_max, events_max) -> Scan` reads the whole body by RFC 8259 (duplicate keys: the
last one wins; a lone surrogate escape is legal) and lifts what `ScanSpec` names; no object per event. A
candidate of a role that is null, "" or a container is passed over, but for VALUE, where anything counts. An
element that is not an object still has its row. Brackets count as levels from 1; more than depth_max are
refused. Raises ScanError. Does not wait.

`text(body, cell) -> bytes | None`: a lifted scalar as UTF-8, a string without its escapes (a lone
surrogate: U+FFFD), numbers, true and false as they are written; None for what is absent, null or a
container.

`members(body, start, end) -> list[(key, cell)]`: the members of an object that a scan has proved, keys as
UTF-8, in the order of their last appearance.
"""

from __future__ import annotations

from _native.cells import (
    ABSENT,
    ANON,
    ARRAY,
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
from _native.scan_py import members, scan, text

__all__ = [
    "ABSENT",
    "ANON",
    "ARRAY",
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
