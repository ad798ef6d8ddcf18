"""Between columns and parquet: takes the column buffers of a landed table, gives the Arrow table around them.

Which columns there are, and in which order, is said once in `_native.columns_layout`; here is what each
kind is in Arrow, and so what readers of the lake see. docs/TABLE.md tells the meaning.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import pyarrow as pa

from _native.columns import (
    DECIMAL_DIGITS,
    DECIMAL_SCALE,
    LANDED,
    QUARANTINE,
    Column,
    ColumnBuffers,
    ColumnView,
    Kind,
)

ARROW_TYPES: Final[dict[Kind, pa.DataType]] = {
    "text": pa.utf8(),
    "bytes": pa.binary(),
    "int32": pa.int32(),
    "int64": pa.int64(),
    "time": pa.timestamp("us", tz="UTC"),
    "map": pa.map_(pa.utf8(), pa.utf8()),
    "date": pa.date32(),
    "bool": pa.bool_(),
    "double": pa.float64(),
    "decimal": pa.decimal128(DECIMAL_DIGITS, DECIMAL_SCALE),
}


def schema_of(columns: Iterable[Column]) -> pa.Schema:
    """The Arrow schema of a table with these columns; all are nullable."""
    return pa.schema([pa.field(column.name, ARROW_TYPES[column.kind]) for column in columns])


LANDED_SCHEMA: Final = schema_of(LANDED)
QUARANTINE_SCHEMA: Final = schema_of(QUARANTINE)


def wrap(buffers: ColumnBuffers) -> pa.Table:
    """The rows as an Arrow table over the same memory; `buffers` can't grow while the table lives."""
    schema = schema_of(buffers.layout)
    return pa.Table.from_arrays([_array(view, buffers.rows) for view in buffers.buffers()], schema=schema)


def _array(view: ColumnView, rows: int) -> pa.Array:
    pieces = [view.validity, view.offsets, view.data]
    held = [None if piece is None else pa.py_buffer(piece) for piece in pieces]
    if view.kind == "map":
        keys, values = view.children
        entries = _entries(keys, values)
        return pa.Array.from_buffers(ARROW_TYPES["map"], rows, held[:2], view.nulls, children=[entries])
    used = held if view.offsets is not None else [held[0], held[2]]
    return pa.Array.from_buffers(ARROW_TYPES[view.kind], rows, used, view.nulls)


def _entries(keys: ColumnView, values: ColumnView) -> pa.Array:
    assert keys.offsets is not None
    count = len(keys.offsets) // 4 - 1
    kind = pa.struct([pa.field("key", pa.utf8(), nullable=False), pa.field("value", pa.utf8())])
    return pa.Array.from_buffers(
        kind, count, [None], 0, children=[_array(keys, count), _array(values, count)]
    )
