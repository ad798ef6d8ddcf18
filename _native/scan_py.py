"""The scan, Python twin and specification: takes the bytes of a body, gives the rows of its events."""

from __future__ import annotations

from array import array

from _native.cells import (
    ABSENT,
    ARRAY,
    BODY_BYTES_MAX,
    DEPTH_MAX,
    EVENTS_MAX,
    OBJECT,
    ROLES,
    STRING,
    STRING_ESCAPED,
    Cell,
    Scan,
    ScanError,
    ScanSpec,
)
from _native.scan_plan import plan
from _native.scan_walk_py import (
    CLOSE_OBJECT,
    COMMA,
    MEMBER,
    NOTHING,
    OPEN_ARRAY,
    OPEN_OBJECT,
    SCALARS,
    Walk,
    unescaped,
)

Body = bytes | bytearray | memoryview


def scan(body: Body, spec: ScanSpec, *, depth_max: int = DEPTH_MAX, events_max: int = EVENTS_MAX) -> Scan:
    """See `_native.scan.scan`."""
    view = memoryview(body)
    if view.nbytes > BODY_BYTES_MAX:
        raise ValueError(f"expected at most {BODY_BYTES_MAX} bytes, got {view.nbytes}")
    data = bytes(view)
    if data.startswith(b"\xef\xbb\xbf"):
        raise ScanError("byte_order_mark", 0)
    _prove_utf8(data, 0)
    walk = Walk(data, plan(tuple(spec.roles.items()), spec.batch_keys, spec.envelope), depth_max, events_max)
    start = walk.skip(0)
    if start == len(data):
        raise ScanError("empty_body", start)
    if spec.array and data[start] == OPEN_ARRAY:
        walk.cells = []
        if depth_max < 1:
            raise ScanError("too_deep", start)
        rows, end = walk.events(walk.skip(start + 1), 1)
        cell, position = (start, end, ARRAY), walk.skip(end)
        found = Scan(0, rows, {}, True)
    else:
        cell, position = walk.value(start, walk.plan.top)
        found = None
    if position < len(data):
        return _lines(walk, spec, cell, position)
    found = found or _chosen(walk, spec, cell)
    found.count = len(found.rows) // (3 * ROLES)
    return found


def _prove_utf8(data: bytes, first: int) -> None:
    try:
        data.decode()
    except UnicodeDecodeError as error:
        raise ScanError("invalid_utf8", first + error.start) from None


def _prove_bounds(body: Body, start: int, end: int) -> None:
    if not 0 <= start <= end <= len(body):
        raise ValueError(f"expected a cell of these {len(body)} bytes, got [{start}, {end})")


def _chosen(walk: Walk, spec: ScanSpec, cell: Cell) -> Scan:
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


def _lines(walk: Walk, spec: ScanSpec, first: Cell, position: int) -> Scan:
    """The events of a body that goes on after its first value: NDJSON, if spec and white space say so."""
    data, rows = walk.data, array("i")
    size = len(data) - 1
    apart = position > first[1] + (first[2] in (STRING, STRING_ESCAPED))
    if not (spec.ndjson and apart):
        raise ScanError("trailing_bytes", position)
    position = first[0] - (first[2] in (STRING, STRING_ESCAPED))
    while position < size:
        walk.cells = [NOTHING] * walk.plan.slots
        cell, following = walk.value(position, walk.plan.event)
        walk.add(rows, cell)
        end = cell[1] + (cell[2] in (STRING, STRING_ESCAPED))
        if following == end and following < size:
            raise ScanError("trailing_bytes", following)
        position = following
    return Scan(len(rows) // (3 * ROLES), rows, {}, True)


def text(body: Body, cell: Cell) -> bytes | None:
    """See `_native.scan.text`."""
    start, end, kind = cell
    if kind not in SCALARS:
        return None
    _prove_bounds(body, start, end)
    raw = bytes(body[start:end])
    if kind != STRING_ESCAPED:
        return raw
    try:
        return unescaped(raw)
    except ValueError:
        raise ValueError(f"expected the inside of a JSON string at [{start}, {end})") from None


def members(body: Body, start: int, end: int) -> list[tuple[bytes, Cell]]:
    """See `_native.scan.members`."""
    _prove_bounds(body, start, end)
    data = bytes(body[start:end])
    _prove_utf8(data, start)
    walk = Walk(data, plan((), (), ()), len(data), 0)
    try:
        return [(key, (start + a, start + b, kind)) for key, (a, b, kind) in _members(walk).items()]
    except ScanError as error:
        raise ScanError(error.reason, start + error.position) from None


def _members(walk: Walk) -> dict[bytes, Cell]:
    """The members of the object that all of the bytes are."""
    data, found = walk.data, dict[bytes, Cell]()
    position = walk.skip(0)
    if data[position] != OPEN_OBJECT:
        raise ScanError("invalid_json", position)
    position = walk.skip(position + 1)
    while data[position] != CLOSE_OBJECT:
        if found:
            if data[position] != COMMA:
                raise ScanError("invalid_json", position)
            position += 1
        match = MEMBER.match(data, position)
        if match is None:
            raise ScanError("invalid_json", walk.blamed(position))
        key = unescaped(match[1])
        cell, position = walk.taken(match, None, 1)
        found.pop(key, None)
        found[key] = cell
    position = walk.skip(position + 1)
    if position < len(data) - 1:
        raise ScanError("trailing_bytes", position)
    return found
