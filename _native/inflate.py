"""Between fetch and decode: takes the compressed records of one batch, gives the plain bytes, up to a bound.

    codec  name    framing
    0      none    -
    1      gzip    RFC 1952
    2      snappy  xerial: 16 bytes of header, then (int32 big-endian length, raw block) ...; or one raw block
    3      lz4     LZ4 frame
    4      zstd    RFC 8878

Source: Kafka, RecordBatch attributes bits 0-2; snappy-java SnappyCodec for the xerial header.
"""

from __future__ import annotations

from typing import Any, Final

import cramjam

CODEC_NONE: Final = 0
CODEC_SNAPPY: Final = 2
FRAMED: Final[dict[int, Any]] = {1: cramjam.gzip, 3: cramjam.lz4, 4: cramjam.zstd}
XERIAL_MAGIC: Final = b"\x82SNAPPY\x00"
XERIAL_HEADER_BYTES: Final = 16
GUESS_RATIO: Final = 8  # client JSON in zstd; a wrong guess costs one more attempt
GUESS_BYTES_MIN: Final = 4096


KEPT_BYTES_MAX: Final = 16 << 20  # of memory that is used again: the largest batches get their own


class InflateError(ValueError):
    """The records could not be decompressed: unknown codec, damaged, or larger than the bound."""


class Inflater:
    """`inflate` into the same memory again and again: neither zeroed nor mapped for each batch."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._kept = bytearray()

    def inflate(self, codec: int, data: memoryview) -> memoryview:
        """As `inflate`; what was given before is overwritten, unless its codec is none or snappy."""
        if codec not in FRAMED:
            return inflate(codec, data, self._bytes_max)
        size = min(max(len(data) * GUESS_RATIO, GUESS_BYTES_MIN, len(self._kept)), self._bytes_max)
        while True:
            if size > len(self._kept):
                kept = bytearray(size)
                if size <= KEPT_BYTES_MAX:
                    self._kept = kept
            else:
                kept = self._kept
            try:
                return memoryview(kept)[: FRAMED[codec].decompress_into(data, memoryview(kept)[:size])]
            except cramjam.DecompressionError as error:
                if size >= self._bytes_max:
                    told = f"codec {codec}: {error} (bound {self._bytes_max} bytes)"
                    raise InflateError(told) from error
            size = min(size * 4, self._bytes_max)


def inflate(codec: int, data: memoryview, bytes_max: int) -> memoryview:
    """Decompress `data`; gives at most `bytes_max` bytes, else InflateError. Does not suspend."""
    if codec == CODEC_NONE:
        return data
    if codec == CODEC_SNAPPY:
        return _inflate_snappy(data, bytes_max)
    if codec not in FRAMED:
        raise InflateError(f"codec {codec}, expected 0 to 4")
    size = min(max(len(data) * GUESS_RATIO, GUESS_BYTES_MIN), bytes_max)
    while True:
        # A fixed buffer is the bound: the library writes into it and fails where it ends, whatever the
        # frame says.
        out = bytearray(size)
        try:
            written = FRAMED[codec].decompress_into(data, out)
            return memoryview(out)[:written]
        except cramjam.DecompressionError as error:
            if size >= bytes_max:
                raise InflateError(f"codec {codec}: {error} (bound {bytes_max} bytes)") from error
        size = min(size * 4, bytes_max)


def _inflate_snappy(data: memoryview, bytes_max: int) -> memoryview:
    if bytes(data[: len(XERIAL_MAGIC)]) != XERIAL_MAGIC:
        return memoryview(_inflate_block(data, bytes_max))
    out = bytearray()
    at = XERIAL_HEADER_BYTES
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big", signed=True)
        block = data[at + 4 : at + 4 + max(size, 0)]
        if size < 0 or len(block) != size:
            raise InflateError(f"snappy block of {size} bytes at {at}, but {len(data)} bytes in all")
        out += _inflate_block(block, bytes_max - len(out))
        at += 4 + size
    return memoryview(out)


def _inflate_block(block: memoryview, bytes_max: int) -> bytearray:
    try:
        size = cramjam.snappy.decompress_raw_len(block)
        if size > bytes_max:
            raise InflateError(f"snappy block of {size} bytes, bound {bytes_max}")
        out = bytearray(size)
        written = cramjam.snappy.decompress_raw_into(block, out)
    except cramjam.DecompressionError as error:
        raise InflateError(f"snappy: {error}") from error
    if written != size:
        raise InflateError(f"snappy block of {written} bytes, its header says {size}")
    return out
