"""Hashes, the chooser: murmur2 places a key on a Kafka partition, crc32c guards a record batch.

`murmur2(data) -> int` is Kafka's Utils.murmur2, unsigned 32 bits; `partition_of(key, count) -> int` is what
Java's default partitioner makes of it; `crc32c(data) -> int` is CRC-32C (RFC 3720 B.4), unsigned 32 bits.
All take any contiguous buffer of bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from _native import missing, wants_extensions

__all__ = ["TWIN", "crc32c", "murmur2", "partition_of"]

TWIN = "python"
if TYPE_CHECKING or not wants_extensions():
    from _native.hash_py import crc32c, murmur2, partition_of
else:
    try:
        from _native.hash_c import crc32c, murmur2, partition_of

        TWIN = "cython"
    except ImportError:
        missing("_native.hash_c")
        from _native.hash_py import crc32c, murmur2, partition_of
