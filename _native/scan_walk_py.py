"""The walk of the scan, Python twin: takes bytes and a plan, gives the cells of the values that matter.

The grammar is RFC 8259, all of it and nothing more. One match of MEMBER takes a whole `"key": scalar` with
the white space around it, so that the loop turns once per member and not once per token.
"""

from __future__ import annotations

import json
import re
from array import array
from typing import Final

from _native.cells import (
    ABSENT,
    ARRAY,
    FALSE,
    NUMBER,
    OBJECT,
    ROLES,
    STRING,
    STRING_ESCAPED,
    TRUE,
    VALUE,
    Cell,
    ScanError,
)
from _native.scan_plan import Node, Plan

Body = bytes | bytearray | memoryview

_WS = rb"[ \t\n\r]*+"
_CHARS = rb'[^"\\\x00-\x1f]*+(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x1f]*+)*'
_NUMBER = rb"-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?"
# Group n of a value is kind n; 2 stands for both kinds of string. Group 1 is the key (an element has none).
_SCALAR = rb'(?:"(' + _CHARS + rb')"|(' + _NUMBER + rb")|(true)|(false)|(null)|(\{)|(\[))" + _WS
_KEY = _WS + rb'"(' + _CHARS + rb')"' + _WS
MEMBER: Final = re.compile(_KEY + rb":" + _WS + _SCALAR)
ELEMENT: Final = re.compile(_WS + rb"()" + _SCALAR)
KEY: Final = re.compile(_KEY)
SPACE: Final = re.compile(_WS)
LONE_SURROGATE: Final = re.compile("[\ud800-\udfff]")

COMMA, OPEN_ARRAY, CLOSE_ARRAY, OPEN_OBJECT, CLOSE_OBJECT, COLON = b",[]{}:"
NOTHING: Final[Cell] = (0, 0, ABSENT)
SCALARS: Final = frozenset((STRING, STRING_ESCAPED, NUMBER, TRUE, FALSE))


def unescaped(raw: bytes) -> bytes:
    """UTF-8 of what stands between the quotes of a valid JSON string; a lone surrogate becomes U+FFFD."""
    value: str = json.loads(f'"{raw.decode()}"')
    return LONE_SURROGATE.sub("\ufffd", value).encode()


class Walk:
    """One pass over one body. `data` has a NUL behind it, which no token takes, in place of length checks."""

    def __init__(self, data: bytes, plan: Plan, depth_max: int, events_max: int) -> None:
        self.data = data + b"\0"
        self.plan = plan
        self.depth_max = depth_max
        self.events_max = events_max
        self.cells = [NOTHING] * plan.slots
        self.batches: dict[int, tuple[int, array[int] | None]] = {}

    def value(self, position: int, node: Node | None) -> tuple[Cell, int]:
        """The value at position and where what follows it starts."""
        match = ELEMENT.match(self.data, position)
        if match is None:
            raise ScanError("invalid_json", self.skip(position))
        return self.taken(match, node, 1)

    def taken(self, match: re.Match[bytes], node: Node | None, depth: int) -> tuple[Cell, int]:
        kind = match.lastindex or 0
        start, end = match.span(kind)
        if kind == STRING_ESCAPED:
            return (start, end, kind if self.data.find(b"\\", start, end) >= 0 else STRING), match.end()
        if kind < OBJECT:
            return (start, end, kind), match.end()
        if depth > self.depth_max:
            raise ScanError("too_deep", start)
        if kind == OBJECT and node is not None and node.children:
            end = self._object(match.end(), node.children, depth)
        else:
            end = self._nested(match.end(), kind, depth)
        return (start, end, kind), self.skip(end)

    def _passed(self, match: re.Match[bytes], depth: int) -> int:
        """Walks over a value that no path goes through."""
        return match.end() if (match.lastindex or 0) < OBJECT else self.taken(match, None, depth + 1)[1]

    def _nested(self, position: int, kind: int, depth: int) -> int:
        """Walks over a container that no path goes through, whose bracket was just taken; gives the byte
        after it. The containers that are open are a list, not calls, for depth_max may be any number."""
        data, opened, empty = self.data, [kind], True
        while True:
            if data[position] == (CLOSE_OBJECT if kind == OBJECT else CLOSE_ARRAY):
                opened.pop()
                if not opened:
                    return position + 1
                kind, empty, position = opened[-1], False, self.skip(position + 1)
                continue
            if not empty:
                if data[position] != COMMA:
                    raise ScanError("invalid_json", position)
                position += 1
            match = (MEMBER if kind == OBJECT else ELEMENT).match(data, position)
            if match is None:
                raise ScanError(
                    "invalid_json", self.blamed(position) if kind == OBJECT else self.skip(position)
                )
            inner, position, empty = match.lastindex or 0, match.end(), False
            if inner >= OBJECT:
                if depth + len(opened) > self.depth_max:
                    raise ScanError("too_deep", match.start(inner))
                opened.append(inner)
                kind, empty = inner, True

    def skip(self, position: int) -> int:
        match = SPACE.match(self.data, position)
        assert match is not None
        return match.end()

    def _object(self, position: int, children: dict[bytes, Node], depth: int) -> int:
        """Walks the members of the object whose bracket was just taken; gives the byte after it."""
        data = self.data
        if data[position] == CLOSE_OBJECT:
            return position + 1
        while True:
            match = MEMBER.match(data, position)
            if match is None:
                raise ScanError("invalid_json", self.blamed(position))
            key = match[1]
            child = children.get(unescaped(key) if b"\\" in key else key)
            position = self._lift(match, child, depth) if child else self._passed(match, depth)
            if data[position] != COMMA:
                break
            position += 1
        if data[position] != CLOSE_OBJECT:
            raise ScanError("invalid_json", position)
        return position + 1

    def _lift(self, match: re.Match[bytes], child: Node, depth: int) -> int:
        """Fills the slots of one member: whatever an earlier member of the same key had set is forgotten."""
        for slot in child.below:
            self.cells[slot] = NOTHING
        kind = match.lastindex or 0
        start = match.start(kind)
        if child.batch >= 0 and kind == ARRAY:
            if depth + 1 > self.depth_max:
                raise ScanError("too_deep", start)
            rows, end = self.events(match.end(), depth + 1)
            self.batches[child.batch] = (start, rows)
            cell, position = (start, end, kind), self.skip(end)
        else:
            if child.batch >= 0:
                self.batches[child.batch] = (start, None)
            cell, position = self.taken(match, child, depth + 1)
        for slot in child.slots:
            self.cells[slot] = cell
        return position

    def events(self, position: int, depth: int) -> tuple[array[int], int]:
        """Walks an array whose elements are the events; gives their rows and the byte after it."""
        data, rows, outer = self.data, array("i"), self.cells
        if data[position] == CLOSE_ARRAY:
            return rows, position + 1
        while True:
            match = ELEMENT.match(data, position)
            if match is None:
                raise ScanError("invalid_json", self.skip(position))
            self.cells = [NOTHING] * self.plan.slots
            cell, position = self.taken(match, self.plan.event, depth + 1)
            self.add(rows, cell)
            if data[position] != COMMA:
                break
            position += 1
        if data[position] != CLOSE_ARRAY:
            raise ScanError("invalid_json", position)
        self.cells = outer
        return rows, position + 1

    def add(self, rows: array[int], event: Cell) -> None:
        """Adds the row of an event whose values stand in the slots."""
        if len(rows) >= self.events_max * 3 * ROLES:
            raise ScanError("too_many_events", event[0])
        row = [NOTHING] * ROLES
        row[0] = event
        for role, slots in self.plan.choices:
            for slot in slots:
                cell = self.cells[slot]
                if cell[2] in SCALARS and (cell[2] != STRING or cell[0] != cell[1]):
                    row[role] = cell
                    break
                if role == VALUE and cell[2] != ABSENT:
                    row[role] = cell
                    break
        for cell in row:
            rows.extend(cell)

    def blamed(self, position: int) -> int:
        """The first byte of the token because of which no member stands at position."""
        key = KEY.match(self.data, position)
        if key is None:
            return self.skip(position)
        if self.data[key.end()] != COLON:
            return key.end()
        return self.skip(key.end() + 1)
