"""Pack, the chooser: takes the events of a scan, gives records in the open batches of their Kafka partitions.

`pack(body, scan, stamp, batches) -> Packed` takes all events of a scan of this very body. What can't be
taken is left out with its reason before anything of it is appended, and uses no number; nothing else fails.
ValueError where the scan is not one of this body or the stamp is out of its bounds: nothing was appended.

`append_one(one, stamp, batches) -> RecordBatch` takes one record; it uses `stamp.number`, the caller's next
is one more.

Neither waits. `batches.open` is asked once for each Kafka partition that gets a record, and again when its
batch is full. `bytes_expected(stamp, body_bytes, count) -> int` says about how much packing will take, for
whoever admits a request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from _native import missing, wants_extensions
from _native.pack_stamp import Batches, One, Packed, Stamp, bytes_expected

__all__ = ["TWIN", "Batches", "One", "Packed", "Stamp", "append_one", "bytes_expected", "pack"]

TWIN = "python"
if TYPE_CHECKING or not wants_extensions():
    from _native.pack_py import append_one, pack
else:
    try:
        from _native.pack_c import append_one, pack

        TWIN = "cython"
    except ImportError:
        missing("_native.pack_c")
        from _native.pack_py import append_one, pack
