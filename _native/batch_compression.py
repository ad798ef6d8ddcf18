"""Inside seal: takes the records of one batch, gives them compressed, once per batch.

zstd is RFC 8878. lz4 is the LZ4 frame with independent blocks: Kafka refuses linked ones (KIP-57), which are
cramjam's default. `_native.inflate` is the way back.
"""

from __future__ import annotations

from typing import Final

import cramjam

CODECS: Final[dict[str, int]] = {"none": 0, "lz4": 3, "zstd": 4}  # RecordBatch attributes bits 0-2 (KIP-98)


def compressed(compression: str, level: int, records: bytes | bytearray | memoryview) -> bytes:
    """`records` in the codec's framing; may be longer than they are. Does not suspend."""
    if compression == "zstd":
        return bytes(cramjam.zstd.compress(records, level=level))
    if compression == "lz4":
        compressor = cramjam.lz4.Compressor(level=level, content_checksum=False, block_linked=False)
        compressor.compress(bytes(records))  # it takes nothing else
        return bytes(compressor.finish())
    return bytes(records)
