"""Record batch, the chooser: takes records, gives the bytes that Kafka stores and that aiokafka sends.

`RecordBatch(compression, bytes_max, level=1)` is one batch of one Kafka partition, "zstd", "lz4" or "none".
Life: `append` … `seal` (or `close` first: nothing more goes in) … `_set_producer_state`, `_build`. The last
two and `record_count`, `size`, `closed`, `close` are what aiokafka 0.14.0 asks of the builder that its
`send_batch` is given; `append` is ours. Nothing here waits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from _native import missing, wants_extensions

__all__ = ["RECORD_OVERHEAD_BYTES", "TWIN", "RecordBatch", "record_bytes"]

TWIN = "python"
if TYPE_CHECKING or not wants_extensions():
    from _native.batch_py import RECORD_OVERHEAD_BYTES, RecordBatch, record_bytes
else:
    try:
        from _native.batch_c import RECORD_OVERHEAD_BYTES, RecordBatch, record_bytes

        TWIN = "cython"
    except ImportError:
        missing("_native.batch_c")
        from _native.batch_py import RECORD_OVERHEAD_BYTES, RecordBatch, record_bytes
