"""Second stage: takes body bytes as they came, gives plain bytes; told by magic bytes as much as by header.

    coding    magic                       also when Content-Encoding says
    gzip      1f 8b                       -
    deflate   78 and a multiple of 31     deflate (raw, where the magic is absent)
    zstd      28 b5 2f fd                 -
    br        none                        br, unless the bytes are JSON text

Inflated bytes are bounded while inflating: at most bytes_max and one step of the library beyond it.
Sources: RFC 1950, 1951, 1952, 7932, 8878.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Final

import brotli
import zstandard

from ingest.errors import Refusal, Situation

GZIP: Final = b"\x1f\x8b"
ZSTD: Final = b"\x28\xb5\x2f\xfd"
BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
LAYERS_MAX: Final = 2  # an SDK that compresses, behind a proxy that does so again
MEMBERS_MAX: Final = 64  # gzip members or zstd frames, one after the other
# A zstd block of 4 bytes may stand for 128 KiB, so this bounds one step to 8 MiB.
ZSTD_STEP_BYTES: Final = 256
ZSTD_WINDOW_BYTES_MAX: Final = 8 * 1024 * 1024  # what RFC 8878 section 3.1.1.1.2 asks of every decoder


def decode(body: bytes, encoding: bytes, bytes_max: int, *, by_bytes: bool = True) -> bytes:
    """The plain bytes. Raises Refusal: TOO_LARGE beyond `bytes_max`, UNREADABLE where they are damaged."""
    for _ in range(LAYERS_MAX):
        inflate = _coding(body, encoding, by_bytes=by_bytes)
        if inflate is None:
            break
        try:
            body = inflate(body, bytes_max)
        except (zlib.error, brotli.error, zstandard.ZstdError) as error:
            raise Refusal(
                Situation.UNREADABLE, "damaged_compression", f"the body is compressed and damaged: {error}"
            ) from error
        encoding = encoding.rpartition(b",")[0]
    if len(body) > bytes_max:
        raise too_large(bytes_max)
    return body.removeprefix(BYTE_ORDER_MARK) if by_bytes else body


def too_large(bytes_max: int) -> Refusal:
    return Refusal(Situation.TOO_LARGE, "body_too_large", f"the body is larger than {bytes_max} bytes")


def _coding(body: bytes, encoding: bytes, *, by_bytes: bool) -> Callable[[bytes, int], bytes] | None:
    """The function that undoes the outermost coding, None where the bytes are plain."""
    said = encoding.rpartition(b",")[2].strip().lower()
    if not by_bytes and said in (b"", b"identity"):
        return None
    if body.startswith(GZIP):
        return _gzip
    if body.startswith(ZSTD):
        return _zstd
    if len(body) > 2 and body[0] == 0x78 and not (body[0] << 8 | body[1]) % 31:
        return _zlib
    plain = body.lstrip(b" \t\r\n")[:1] in (b"{", b"[")
    if said == b"deflate" and not plain:
        return _deflate
    if said == b"br" and not plain:
        return _brotli
    return None


def _gzip(body: bytes, bytes_max: int) -> bytes:
    return _members(body, bytes_max, 16 + zlib.MAX_WBITS)


def _zlib(body: bytes, bytes_max: int) -> bytes:
    return _members(body, bytes_max, zlib.MAX_WBITS)


def _deflate(body: bytes, bytes_max: int) -> bytes:
    return _members(body, bytes_max, -zlib.MAX_WBITS)


def _members(body: bytes, bytes_max: int, window_bits: int) -> bytes:
    """All members one after the other, as RFC 1952 section 2.2 allows; what follows the last is left."""
    out: list[bytes] = []
    size = 0
    for _ in range(MEMBERS_MAX):
        stream = zlib.decompressobj(window_bits)
        plain = stream.decompress(body, bytes_max + 1 - size)
        size += len(plain)
        if size > bytes_max:
            raise too_large(bytes_max)
        if not stream.eof:
            raise zlib.error("it is cut")
        out.append(plain)
        body = stream.unused_data
        if not body.startswith(GZIP):
            return b"".join(out)
    raise zlib.error(f"it has more than {MEMBERS_MAX} members")


def _brotli(body: bytes, bytes_max: int) -> bytes:
    stream = brotli.Decompressor()
    out = bytearray(stream.process(body, output_buffer_limit=bytes_max + 1))
    while not stream.is_finished():
        if len(out) > bytes_max:
            raise too_large(bytes_max)
        more = stream.process(b"", output_buffer_limit=bytes_max + 1 - len(out))
        if not more:
            raise brotli.error("it is cut")
        out += more
    if len(out) > bytes_max:
        raise too_large(bytes_max)
    return bytes(out)


def _zstd(body: bytes, bytes_max: int) -> bytes:
    reader = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW_BYTES_MAX)
    out: list[bytes] = []
    size = 0
    for _ in range(MEMBERS_MAX):
        frame = reader.decompressobj()
        position = 0
        while position < len(body) and not frame.eof:
            plain = frame.decompress(body[position : position + ZSTD_STEP_BYTES])
            position += ZSTD_STEP_BYTES
            size += len(plain)
            if size > bytes_max:
                raise too_large(bytes_max)
            out.append(plain)
        if not frame.eof:
            raise zstandard.ZstdError("it is cut")
        body = frame.unused_data + body[position:]
        if not body.startswith(ZSTD):
            return b"".join(out)
    raise zstandard.ZstdError(f"it has more than {MEMBERS_MAX} frames")
