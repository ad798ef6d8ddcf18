"""The scan, Python twin and specification: takes the bytes of a body, gives the rows of its events.

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
    DEPTH_MAX,
    EVENTS_MAX,
    FALSE,
    NUMBER,
    OBJECT,
    ROLES,
    STRING,
    STRING_ESCAPED,
    TRUE,
    VALUE,
    Cell,
    Scan,
    ScanError,
    ScanSpec,
)
from _native.scan_plan import Node, Plan, plan

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

COMMA, CLOSE_ARRAY, CLOSE_OBJECT, COLON = b",]}:"
_NOTHING: Final[Cell] = (0, 0, ABSENT)
_SCALARS: Final = frozenset((STRING, STRING_ESCAPED, NUMBER, TRUE, FALSE))


class _Walk:
    """One pass over one body. `data` has a NUL behind it, which no token takes, in place of length checks."""

    def __init__(self, data: bytes, plan: Plan, depth_max: int, events_max: int) -> None:
        self.data = data + b"\0"
        self.plan = plan
        self.depth_max = depth_max
        self.events_max = events_max
        self.cells = [_NOTHING] * plan.slots
        self.batches: dict[int, tuple[int, array[int] | None]] = {}

    def value(self, position: int, node: Node | None) -> tuple[Cell, int]:
        """The value at position and where what follows it starts."""
        match = ELEMENT.match(self.data, position)
        if match is None:
            raise ScanError("invalid_json", self._skip(position))
        return self._taken(match, node, 1)

    def _taken(self, match: re.Match[bytes], node: Node | None, depth: int) -> tuple[Cell, int]:
        kind = match.lastindex or 0
        start, end = match.span(kind)
        if kind == STRING_ESCAPED:
            return (start, end, kind if self.data.find(b"\\", start, end) >= 0 else STRING), match.end()
        if kind < OBJECT:
            return (start, end, kind), match.end()
        if depth > self.depth_max:
            raise ScanError("too_deep", start)
        walk = self._object if kind == OBJECT else self._array
        end = walk(match.end(), node, depth)
        return (start, end, kind), self._skip(end)

    def _passed(self, match: re.Match[bytes], depth: int) -> int:
        """Walks over a value that no path goes through."""
        return (
            match.end() if match.lastindex not in (OBJECT, ARRAY) else self._taken(match, None, depth + 1)[1]
        )

    def _skip(self, position: int) -> int:
        match = SPACE.match(self.data, position)
        assert match is not None
        return match.end()

    def _object(self, position: int, node: Node | None, depth: int) -> int:
        """Walks the members of the object whose bracket was just taken; gives the byte after it."""
        data = self.data
        if data[position] == CLOSE_OBJECT:
            return position + 1
        children = None if node is None else node.children
        while True:
            match = MEMBER.match(data, position)
            if match is None:
                raise ScanError("invalid_json", self._blamed(position))
            child = None
            if children:
                key = match[1]
                child = children.get(unescaped(key) if b"\\" in key else key)
            position = self._lift(match, child, depth) if child else self._passed(match, depth)
            if data[position] != COMMA:
                break
            position += 1
        if data[position] != CLOSE_OBJECT:
            raise ScanError("invalid_json", position)
        return position + 1

    def _array(self, position: int, _node: Node | None, depth: int) -> int:
        """Walks the elements of the array whose bracket was just taken; gives the byte after it."""
        data = self.data
        if data[position] == CLOSE_ARRAY:
            return position + 1
        while True:
            match = ELEMENT.match(data, position)
            if match is None:
                raise ScanError("invalid_json", self._skip(position))
            position = self._passed(match, depth)
            if data[position] != COMMA:
                break
            position += 1
        if data[position] != CLOSE_ARRAY:
            raise ScanError("invalid_json", position)
        return position + 1

    def _lift(self, match: re.Match[bytes], child: Node, depth: int) -> int:
        """Fills the slots of one member: whatever an earlier member of the same key had set is forgotten."""
        for slot in child.below:
            self.cells[slot] = _NOTHING
        kind = match.lastindex or 0
        start = match.start(kind)
        if child.batch >= 0 and kind == ARRAY:
            if depth + 1 > self.depth_max:
                raise ScanError("too_deep", start)
            rows, end = self.events(match.end(), depth + 1)
            self.batches[child.batch] = (start, rows)
            cell, position = (start, end, kind), self._skip(end)
        else:
            if child.batch >= 0:
                self.batches[child.batch] = (start, None)
            cell, position = self._taken(match, child, depth + 1)
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
                raise ScanError("invalid_json", self._skip(position))
            self.cells = [_NOTHING] * self.plan.slots
            cell, position = self._taken(match, self.plan.event, depth + 1)
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
        row = [_NOTHING] * ROLES
        row[0] = event
        for role, slots in self.plan.choices:
            for slot in slots:
                cell = self.cells[slot]
                if cell[2] in _SCALARS and (cell[2] != STRING or cell[0] != cell[1]):
                    row[role] = cell
                    break
                if role == VALUE and cell[2] != ABSENT:
                    row[role] = cell
                    break
        for cell in row:
            rows.extend(cell)

    def _blamed(self, position: int) -> int:
        """The first byte of the token because of which no member stands at position."""
        key = KEY.match(self.data, position)
        if key is None:
            return self._skip(position)
        if self.data[key.end()] != COLON:
            return key.end()
        return self._skip(key.end() + 1)


def scan(body: Body, spec: ScanSpec, *, depth_max: int = DEPTH_MAX, events_max: int = EVENTS_MAX) -> Scan:
    """See `_native.scan.scan`."""
    data = bytes(body)
    _prove_utf8(data)
    walk = _Walk(data, plan(tuple(spec.roles.items()), spec.batch_keys, spec.envelope), depth_max, events_max)
    start = walk._skip(0)
    if start == len(data):
        raise ScanError("empty_body", start)
    if spec.array and data[start] == 0x5B:
        walk.cells = []
        if depth_max < 1:
            raise ScanError("too_deep", start)
        rows, end = walk.events(walk._skip(start + 1), 1)
        cell, position = (start, end, ARRAY), walk._skip(end)
        found = Scan(0, rows, {}, True)
    else:
        cell, position = walk.value(start, walk.plan.top)
        found = None
    if position < len(data):
        return _lines(walk, spec, cell, position)
    found = found or _chosen(walk, spec, cell)
    found.count = len(found.rows) // (3 * ROLES)
    return found


def _prove_utf8(data: bytes) -> None:
    if data.startswith(b"\xef\xbb\xbf"):
        raise ScanError("byte_order_mark", 0)
    try:
        data.decode()
    except UnicodeDecodeError as error:
        raise ScanError("invalid_utf8", error.start) from None


def _chosen(walk: _Walk, spec: ScanSpec, cell: Cell) -> Scan:
    """The events of a body that is one value and no array of events."""
    if cell[2] != OBJECT:
        raise ScanError("no_events", cell[0])
    envelope = {name: walk.cells[slot] for name, slot in walk.plan.names if walk.cells[slot][2] != ABSENT}
    for index in sorted(walk.batches):
        rows = walk.batches[index][1]
        if rows is not None:
            return Scan(0, rows, envelope, True)
    if not spec.single:
        if walk.batches:
            raise ScanError("batch_not_array", walk.batches[min(walk.batches)][0])
        raise ScanError("no_events", cell[0])
    rows = array("i")
    walk.add(rows, cell)
    return Scan(0, rows, envelope, False)


def _lines(walk: _Walk, spec: ScanSpec, first: Cell, position: int) -> Scan:
    """The events of a body that goes on after its first value: NDJSON, if spec and white space say so."""
    data, rows = walk.data, array("i")
    size = len(data) - 1
    apart = position > first[1] + (first[2] in (STRING, STRING_ESCAPED))
    if not (spec.ndjson and apart):
        raise ScanError("trailing_bytes", position)
    position = first[0] - (first[2] in (STRING, STRING_ESCAPED))
    while position < size:
        walk.cells = [_NOTHING] * walk.plan.slots
        cell, following = walk.value(position, walk.plan.event)
        walk.add(rows, cell)
        end = cell[1] + (cell[2] in (STRING, STRING_ESCAPED))
        if following == end and following < size:
            raise ScanError("trailing_bytes", following)
        position = following
    return Scan(len(rows) // (3 * ROLES), rows, {}, True)


def unescaped(raw: bytes) -> bytes:
    """UTF-8 of what stands between the quotes of a valid JSON string; a lone surrogate becomes U+FFFD."""
    value: str = json.loads(b'"' + raw + b'"')
    return LONE_SURROGATE.sub("\ufffd", value).encode()


def text(body: Body, cell: Cell) -> bytes | None:
    """See `_native.scan.text`."""
    start, end, kind = cell
    if kind == STRING_ESCAPED:
        return unescaped(bytes(body[start:end]))
    return bytes(body[start:end]) if kind in _SCALARS else None


def members(body: Body, start: int, end: int) -> list[tuple[bytes, Cell]]:
    """See `_native.scan.members`."""
    data = bytes(body[start:end])
    walk = _Walk(data, plan((), (), ()), end - start, 0)
    found: dict[bytes, Cell] = {}
    position = walk._skip(1)
    while data[position] != CLOSE_OBJECT:
        match = MEMBER.match(data, position + (data[position] == COMMA))
        assert match is not None, "members() takes an object that scan() has proved"
        key = unescaped(match[1])
        (first, last, kind), position = walk._taken(match, None, 1)
        found.pop(key, None)
        found[key] = (start + first, start + last, kind)
    return list(found.items())
