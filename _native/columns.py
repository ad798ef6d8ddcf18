"""Decode, the chooser: `Decoder` takes undecoded record batches, `ColumnBuffers` their rows."""

from __future__ import annotations

from _native.columns_buffers_py import ColumnBuffers
from _native.columns_layout import BUFFER_BYTES_MAX, LANDED, QUARANTINE, Column, ColumnView, Fed, Kind
from _native.columns_py import Decoder

__all__ = [
    "BUFFER_BYTES_MAX",
    "LANDED",
    "QUARANTINE",
    "Column",
    "ColumnBuffers",
    "ColumnView",
    "Decoder",
    "Fed",
    "Kind",
]
