"""Inside decode, the Python twin: takes the payload of a row, gives the values of its promoted columns.

    type       what the payload may have there      column
    string     string                               text, its escapes resolved
    bool       true, false                          bool
    int64      number without fraction or exponent  int64
    double     number that is finite as a double    double, the nearest
    decimal    number, or one in a string           decimal: exact with 9 digits of fraction, 38 in all
    timestamp  what `_native.timestamp` reads       time: a string, or a number told apart by its size
    date       string yyyy-mm-dd                    date
    json       anything but null                    text, the JSON as it stands

Where the payload has nothing, or null, the column is null. Where it has something else it is null, too, and
the row is flagged COLUMN_NULLED; so is every column of a payload that is not a JSON object.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from datetime import date
from typing import Any, Final

from _native.cells import (
    BODY_BYTES_MAX,
    FALSE,
    NULL,
    NUMBER,
    STRING,
    STRING_ESCAPED,
    TRUE,
    Cell,
    ScanError,
    ScanSpec,
)
from _native.columns_layout import DECIMAL_DIGITS, DECIMAL_SCALE, LANDED, Promoted, PromotedType
from _native.columns_rows_py import FLAGS, PAYLOAD, Row
from _native.record import Flags
from _native.scan_py import scan, text
from _native.timestamp import parse_us

WHOLE: Final = re.compile(rb"-?\d+")
DECIMAL: Final = re.compile(rb"(-?)(0|[1-9]\d*)(?:\.(\d+))?(?:[eE]([+-]?)(\d+))?")
EXPONENT_DIGITS_MAX: Final = 6
DATE: Final = re.compile(rb"(\d{4})-(\d\d)-(\d\d)")
INT64_END: Final = 1 << 63
EPOCH_DAY: Final = date(1970, 1, 1).toordinal()
COLUMN_NULLED: Final = int(Flags.COLUMN_NULLED)
STRINGS: Final = (STRING, STRING_ESCAPED)


class Promotion:
    """The promoted columns of a table, for one payload after the other."""

    def __init__(self, columns: Sequence[Promoted]) -> None:
        self.columns = columns
        self.spec = ScanSpec({}, envelope=tuple((column.name, column.path) for column in columns))

    def promote(self, row: Row, nulled: dict[str, int]) -> Row:
        """The landed row with its promoted values behind; counts in `nulled`, by name, what is flagged."""
        payload = row[PAYLOAD]
        landed = row[: len(LANDED)]
        if payload is None:
            return landed + [None] * len(self.columns)
        assert isinstance(payload, bytes)
        values, wrong = self._values(payload)
        for name in wrong:
            nulled[name] = nulled.get(name, 0) + 1
        if wrong:
            flags = landed[FLAGS]
            assert isinstance(flags, int)
            landed[FLAGS] = flags | COLUMN_NULLED
        return landed + values

    def _values(self, payload: bytes) -> tuple[list[Any], list[str]]:
        """Each column's value, and the names of those that are null because there is something else."""
        names = [column.name for column in self.columns]
        if len(payload) > BODY_BYTES_MAX:
            return [None] * len(names), names
        try:
            found = scan(payload, self.spec).envelope
        except ScanError:
            return [None] * len(names), names
        values: list[Any] = []
        wrong = []
        for column in self.columns:
            cell = found.get(column.name)
            value = None
            if cell is not None and cell[2] != NULL:
                value = READERS[column.type](payload, cell)
                if value is None:
                    wrong.append(column.name)
            values.append(value)
        return values, wrong


def _string(payload: bytes, cell: Cell) -> bytes | None:
    return text(payload, cell) if cell[2] in STRINGS else None


def _bool(_payload: bytes, cell: Cell) -> bool | None:
    return cell[2] == TRUE if cell[2] in (TRUE, FALSE) else None


def _int64(payload: bytes, cell: Cell) -> int | None:
    written = payload[cell[0] : cell[1]]
    if cell[2] != NUMBER or len(written) > 20 or not WHOLE.fullmatch(written):
        return None
    value = int(written)
    return value if -INT64_END <= value < INT64_END else None


def _double(payload: bytes, cell: Cell) -> float | None:
    if cell[2] != NUMBER:
        return None
    value = float(payload[cell[0] : cell[1]])
    return value if math.isfinite(value) else None


def _decimal(payload: bytes, cell: Cell) -> int | None:
    """The value times 10 to the DECIMAL_SCALE."""
    written = payload[cell[0] : cell[1]]
    match = DECIMAL.fullmatch(written) if cell[2] in (NUMBER, STRING) else None
    if match is None:
        return None
    sign, whole, fraction, exponent_sign, exponent = match.groups(b"")
    digits = (whole + fraction).lstrip(b"0")
    kept = digits.rstrip(b"0")
    exponent = exponent.lstrip(b"0")
    if not kept:
        return 0
    if len(exponent) > EXPONENT_DIGITS_MAX:
        return None
    power = int(exponent_sign + (exponent or b"0"))
    zeros = power - len(fraction) + len(digits) - len(kept) + DECIMAL_SCALE
    if zeros < 0 or len(kept) + zeros > DECIMAL_DIGITS:
        return None
    value: int = int(kept) * 10**zeros
    return -value if sign else value


def _timestamp(payload: bytes, cell: Cell) -> int | None:
    written = text(payload, cell) if cell[2] in (*STRINGS, NUMBER) else None
    return None if written is None else parse_us(written)


def _date(payload: bytes, cell: Cell) -> int | None:
    match = DATE.fullmatch(payload[cell[0] : cell[1]]) if cell[2] == STRING else None
    if match is None:
        return None
    try:
        return date(*map(int, match.groups())).toordinal() - EPOCH_DAY
    except ValueError:
        return None


def _json(payload: bytes, cell: Cell) -> bytes:
    quote = cell[2] in STRINGS
    return payload[cell[0] - quote : cell[1] + quote]


READERS: Final[dict[PromotedType, Callable[[bytes, Cell], Any]]] = {
    "string": _string,
    "bool": _bool,
    "int64": _int64,
    "double": _double,
    "decimal": _decimal,
    "timestamp": _timestamp,
    "date": _date,
    "json": _json,
}
