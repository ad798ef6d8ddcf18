"""Decode, the chooser: `Decoder` takes undecoded record batches, `ColumnBuffers` their rows.

Both come from the same twin: the Cython decoder writes into its own buffers only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from _native import missing, wants_extensions
from _native.columns_layout import (
    BUFFER_BYTES_MAX,
    DECIMAL_DIGITS,
    DECIMAL_SCALE,
    LANDED,
    PROMOTED_MAX,
    QUARANTINE,
    Column,
    ColumnView,
    Fed,
    Kind,
    Promoted,
    PromotedType,
)

__all__ = [
    "BUFFER_BYTES_MAX",
    "DECIMAL_DIGITS",
    "DECIMAL_SCALE",
    "LANDED",
    "PROMOTED_MAX",
    "QUARANTINE",
    "TWIN",
    "Column",
    "ColumnBuffers",
    "ColumnView",
    "Decoder",
    "Fed",
    "Kind",
    "Promoted",
    "PromotedType",
]

TWIN = "python"
if TYPE_CHECKING or not wants_extensions():
    from _native.columns_buffers_py import ColumnBuffers
    from _native.columns_py import Decoder
else:
    try:
        from _native.columns_buffers_c import ColumnBuffers
        from _native.columns_c import Decoder

        TWIN = "cython"
    except ImportError:
        missing("_native.columns_c")
        from _native.columns_buffers_py import ColumnBuffers
        from _native.columns_py import Decoder
