"""A client's time, the chooser: `parse_us(text) -> int | None` as `_native.timestamp` specifies it.

For what stands once in a request; the times of events are read inside pack, by the same C.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from _native import missing, wants_extensions

__all__ = ["TWIN", "parse_us"]

TWIN = "python"
if TYPE_CHECKING or not wants_extensions():
    from _native.timestamp import parse_us
else:
    try:
        from _native.client_time_c import parse_us

        TWIN = "cython"
    except ImportError:
        missing("_native.client_time_c")
        from _native.timestamp import parse_us
