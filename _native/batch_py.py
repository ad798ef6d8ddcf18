"""Record batch, the Python twin and specification: takes records, gives one Kafka record batch, format v2.

    at   bytes  field
     0     8    base offset         0, the broker's to set
     8     4    length              of all that follows it
    12     4    leader epoch        -1
    16     1    magic               2
    17     4    crc32c              of all that follows it
    21     2    attributes          bits 0-2 codec: 0 none, 3 lz4, 4 zstd; the others 0
    23     4    last offset delta   record count - 1
    27     8    first timestamp     milliseconds since 1970 UTC
    35     8    max timestamp
    43     8    producer id         } -1, -1, -1 until aiokafka says what they are,
    51     2    producer epoch      } which is after sealing: the crc is made last
    53     4    base sequence       }
    57     4    record count
    61     -    records, compressed as one

    record   length varint · attributes 1 (0) · timestamp delta varint · offset delta varint ·
             key length varint · key · value length varint · value · header count varint · headers
    header   name length varint · name · value length varint · value

Integers are big-endian, varints zigzag (of int64); length -1 is null. Source: KIP-98.
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct
from typing import Final

from _native.batch_compression import CODECS, compressed
from _native.hash import crc32c

Bytes = bytes | bytearray | memoryview
Headers = Sequence[tuple[bytes, bytes]]

HEAD: Final = Struct(">qiibIhiqqqhii")
HEAD_BYTES: Final = HEAD.size
LENGTH_FROM: Final = 12
CRC_AT: Final = 17
CRC_FROM: Final = 21
MAGIC: Final = 2
NO_EPOCH: Final = -1
NO_PRODUCER: Final = (-1, -1, -1)
BYTES_MAX: Final = (1 << 31) - 1  # lengths are int32
TIMESTAMP_MS_MAX: Final = (1 << 62) - 1  # so that a delta is an int64
RECORD_OVERHEAD_BYTES: Final = 21  # at most: length 5, attributes 1, timestamp delta 10, offset delta 5


def varint(value: int) -> bytes:
    """Zigzag varint of an int64: 1 to 10 bytes."""
    rest = (value << 1) ^ (value >> 63)
    if rest < 0x80:
        return bytes((rest,))
    out = bytearray()
    while rest >= 0x80:
        out.append(rest & 0x7F | 0x80)
        rest >>= 7
    out.append(rest)
    return bytes(out)


def sized(data: Bytes | None) -> bytes:
    """Bytes behind their length; None is null."""
    return b"\x01" if data is None else varint(len(data)) + data


def tail(key: Bytes | None, value: Bytes | None, headers: Headers) -> bytes:
    """A record from its key on: what does not depend on the batch that it stands in."""
    parts = [sized(key), sized(value), varint(len(headers))]
    for name, text in headers:
        parts += (sized(name), sized(text))
    return b"".join(parts)


def record_bytes(key: Bytes | None, value: Bytes | None, headers: Headers) -> int:
    """Bytes that a record takes at most, wherever it stands in whatever batch."""
    return RECORD_OVERHEAD_BYTES + len(tail(key, value, headers))


class RecordBatch:
    """One batch of one Kafka partition, at most `bytes_max` bytes before compression, its header included."""

    def __init__(self, compression: str, bytes_max: int, level: int = 1) -> None:
        """`compression`: zstd, lz4 or none. ValueError where an argument is out of its bounds."""
        if compression not in CODECS:
            raise ValueError(f"expected compression zstd, lz4 or none, got {compression!r}")
        if not HEAD_BYTES < bytes_max <= BYTES_MAX:
            raise ValueError(f"expected bytes_max from {HEAD_BYTES + 1} to {BYTES_MAX}, got {bytes_max}")
        self.bytes_max = bytes_max
        self._compression = compression
        self._level = level
        self._codec = 0
        self._records: bytearray | bytes = bytearray()
        self._count = 0
        self._first_ms = self._max_ms = 0
        self._closed = self._sealed = False
        self._producer = NO_PRODUCER
        self._built: bytes | None = None

    def append(self, key: Bytes | None, value: Bytes | None, headers: Headers, timestamp_ms: int) -> bool:
        """Add one record (None: null); False if there is no room for it or the batch is closed.

        An empty batch takes any one record that its bytes_max holds.
        """
        if not 0 <= timestamp_ms <= TIMESTAMP_MS_MAX:
            raise ValueError(f"expected timestamp_ms from 0 to {TIMESTAMP_MS_MAX}, got {timestamp_ms}")
        if self._closed:
            return False
        first_ms = self._first_ms if self._count else timestamp_ms
        body = b"\0" + varint(timestamp_ms - first_ms) + varint(self._count) + tail(key, value, headers)
        record = varint(len(body)) + body
        if self.size() + len(record) > self.bytes_max:
            return False
        self._records += record
        self._first_ms = first_ms
        self._max_ms = max(self._max_ms, timestamp_ms)
        self._count += 1
        return True

    def record_count(self) -> int:
        """How many records it has."""
        return self._count

    def size(self) -> int:
        """Bytes: before sealing those of the plain batch, afterwards those that are sent."""
        return HEAD_BYTES + len(self._records)

    def closed(self) -> bool:
        """Whether it takes no more records."""
        return self._closed

    def close(self) -> None:
        """Take no more records."""
        self._closed = True

    def seal(self) -> None:
        """Close and compress; a second call does nothing. Where compression saves nothing, it stays plain.

        ValueError if it is empty: Kafka has no batch without records for a producer.
        """
        if not self._count:
            raise ValueError("expected at least 1 record in a batch to seal, got 0")
        self._closed = True
        if self._sealed:
            return
        self._sealed = True
        if self._compression != "none":
            records = compressed(self._compression, self._level, self._records)
            if len(records) < len(self._records):
                self._records = records
                self._codec = CODECS[self._compression]

    def _set_producer_state(self, producer_id: int, producer_epoch: int, base_sequence: int) -> None:
        """What makes it idempotent; another producer may set it anew."""
        self._producer = (producer_id, producer_epoch, base_sequence)
        self._built = None

    def _build(self) -> bytes:
        """The batch as it is sent; seals it if need be. The same object until the producer changes."""
        self.seal()
        if self._built is None:
            out = bytearray(
                HEAD.pack(
                    0,
                    self.size() - LENGTH_FROM,
                    NO_EPOCH,
                    MAGIC,
                    0,
                    self._codec,
                    self._count - 1,
                    self._first_ms,
                    self._max_ms,
                    *self._producer,
                    self._count,
                )
            )
            out += self._records
            out[CRC_AT:CRC_FROM] = crc32c(memoryview(out)[CRC_FROM:]).to_bytes(4, "big")
            self._built = bytes(out)
        return self._built
