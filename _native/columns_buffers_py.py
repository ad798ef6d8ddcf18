"""Between decode and parquet, the Python twin: takes rows, gives the buffers of their columns."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any

from _native.columns_layout import LANDED, QUARANTINE, Buffer, Column, ColumnView, Promoted
from _native.columns_rows_py import OFFSET, PARTITION, RECEIVED

TYPECODES = {"int32": "i", "int64": "q", "time": "q", "date": "i", "double": "d"}
DECIMAL_BYTES = 16


class _Fixed:
    """A column of numbers of one width."""

    def __init__(self, column: Column) -> None:
        self.column = column
        self.data = array(TYPECODES[column.kind])
        self.nulls = array("i")

    def append(self, value: Any) -> None:
        if value is None:
            self.nulls.append(len(self.data))
            value = 0
        self.data.append(value)

    def nbytes(self) -> int:
        return len(self.data) * self.data.itemsize + _validity_bytes(len(self.data), self.nulls)

    def view(self) -> ColumnView:
        validity = _validity(len(self.data), self.nulls)
        return ColumnView(
            *self.column, len(self.nulls), validity, None, memoryview(self.data).cast("B").toreadonly()
        )


class _Bits:
    """A column of bool; a null is 0."""

    def __init__(self, column: Column) -> None:
        self.column = column
        self.rows = 0
        self.data = bytearray()
        self.nulls = array("i")

    def append(self, value: Any) -> None:
        if value is None:
            self.nulls.append(self.rows)
        if self.rows % 8 == 0:
            self.data.append(0)
        self.data[-1] |= bool(value) << (self.rows % 8)
        self.rows += 1

    def nbytes(self) -> int:
        return len(self.data) + _validity_bytes(self.rows, self.nulls)

    def view(self) -> ColumnView:
        validity = _validity(self.rows, self.nulls)
        data = memoryview(self.data).toreadonly()
        return ColumnView(*self.column, len(self.nulls), validity, None, data)


class _Decimals:
    """A column of decimals; a value is the number times 10 to the DECIMAL_SCALE."""

    def __init__(self, column: Column) -> None:
        self.column = column
        self.data = bytearray()
        self.nulls = array("i")

    def append(self, value: Any) -> None:
        if value is None:
            self.nulls.append(len(self.data) // DECIMAL_BYTES)
            value = 0
        self.data += value.to_bytes(DECIMAL_BYTES, "little", signed=True)

    def nbytes(self) -> int:
        return len(self.data) + _validity_bytes(len(self.data) // DECIMAL_BYTES, self.nulls)

    def view(self) -> ColumnView:
        validity = _validity(len(self.data) // DECIMAL_BYTES, self.nulls)
        data = memoryview(self.data).toreadonly()
        return ColumnView(*self.column, len(self.nulls), validity, None, data)


class _Bytes:
    """A column of text or bytes: what is appended must fit, the caller has checked that text is UTF-8."""

    def __init__(self, column: Column) -> None:
        self.column = column
        self.data = bytearray()
        self.offsets = array("i", (0,))
        self.nulls = array("i")

    def append(self, value: Any) -> None:
        if value is None:
            self.nulls.append(len(self.offsets) - 1)
        else:
            self.data += value
        self.offsets.append(len(self.data))

    def nbytes(self) -> int:
        validity_bytes = _validity_bytes(len(self.offsets) - 1, self.nulls)
        return len(self.data) + len(self.offsets) * 4 + validity_bytes

    def view(self) -> ColumnView:
        validity = _validity(len(self.offsets) - 1, self.nulls)
        offsets = memoryview(self.offsets).cast("B").toreadonly()
        return ColumnView(
            *self.column, len(self.nulls), validity, offsets, memoryview(self.data).toreadonly()
        )


class _Map:
    """A column of text by text; never null, empty where there is nothing."""

    def __init__(self, column: Column) -> None:
        self.column = column
        self.offsets = array("i", (0,))
        self.keys = _Bytes(Column("key", "text"))
        self.values = _Bytes(Column("value", "text"))

    def append(self, pairs: Any) -> None:
        for key, value in pairs:
            self.keys.append(key)
            self.values.append(value)
        self.offsets.append(len(self.keys.offsets) - 1)

    def nbytes(self) -> int:
        return len(self.offsets) * 4 + self.keys.nbytes() + self.values.nbytes()

    def view(self) -> ColumnView:
        offsets = memoryview(self.offsets).cast("B").toreadonly()
        return ColumnView(*self.column, 0, None, offsets, None, (self.keys.view(), self.values.view()))


class ColumnBuffers:
    """Rows of one lane, hour and table in the order of appending; `quarantine`: the table with a reason.

    `columns` are promoted ones, behind those that every table has; the quarantine has none. Land it at
    BUFFER_BYTES_MAX bytes at the latest. Once `buffers()` views are held, appending raises BufferError.
    """

    def __init__(self, *, quarantine: bool = False, columns: Sequence[Promoted] = ()) -> None:
        self.layout = QUARANTINE if quarantine else (*LANDED, *(column.column for column in columns))
        self.quarantine = quarantine
        self.rows = 0
        self.received_us_min: int | None = None
        self.received_us_max: int | None = None
        self.spans: dict[int, tuple[int, int, int]] = {}
        """By Kafka partition: first offset, last offset + 1, rows."""
        self._columns = [_column(column) for column in self.layout]

    @property
    def nbytes(self) -> int:
        """Bytes of the buffers as they would be given now: what the memory budget and rolling count."""
        return sum(column.nbytes() for column in self._columns)

    def append(self, row: Sequence[Any]) -> None:
        """Add one row (its values in the order of the layout; further ones are left out)."""
        if len(row) < len(self._columns):
            raise ValueError(f"expected {len(self._columns)} values, got {len(row)}")
        for column, value in zip(self._columns, row, strict=False):
            column.append(value)
        self.rows += 1
        received_us, partition, offset = row[RECEIVED], row[PARTITION], row[OFFSET]
        if self.received_us_min is None or received_us < self.received_us_min:
            self.received_us_min = received_us
        if self.received_us_max is None or received_us > self.received_us_max:
            self.received_us_max = received_us
        first, _, rows = self.spans.get(partition, (offset, 0, 0))
        self.spans[partition] = (first, offset + 1, rows + 1)

    def buffers(self) -> list[ColumnView]:
        """Every column's buffers, in order, without copying (validity is made here)."""
        return [column.view() for column in self._columns]


def _column(column: Column) -> _Fixed | _Bits | _Decimals | _Bytes | _Map:
    if column.kind in TYPECODES:
        return _Fixed(column)
    if column.kind == "bool":
        return _Bits(column)
    if column.kind == "decimal":
        return _Decimals(column)
    return _Map(column) if column.kind == "map" else _Bytes(column)


def _validity_bytes(rows: int, nulls: array[int]) -> int:
    return (rows + 7) // 8 if nulls else 0


def _validity(rows: int, nulls: array[int]) -> Buffer | None:
    if not nulls:
        return None
    bits = bytearray(b"\xff") * ((rows + 7) // 8)
    for row in nulls:
        bits[row >> 3] &= ~(1 << (row & 7))
    return bits
