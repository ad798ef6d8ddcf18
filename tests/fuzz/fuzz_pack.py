"""Pack under a fuzzer: both twins make the same batches of any events, rows and records.

    python tests/fuzz/fuzz_pack.py --seconds 60
    python tests/fuzz/sanitized.py fuzz_pack.py --seconds 60            (address and undefined behaviour)
    python tests/fuzz/sanitized.py fuzz_pack.py --atheris CORPUS …      (guided by coverage; needs clang)

The first four bytes of an input choose the stamp, the batches and what is done to the rows; the rest is the
body, or the texts of one record. Built for it: pack_c and what it takes from, scan_c.
"""

from __future__ import annotations

import os
import sys
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[level]) for level in (0, 1)]
sys.path.append(str(Path(__file__).parents[2]))  # behind PYTHONPATH, where sanitized twins stand

from mutation import at_end, main  # noqa: E402
from pack_stand import (  # noqa: E402
    CE_SPEC,
    CYTHON,
    NOW_US,
    PYTHON,
    SPEC,
    TIMES,
    OpenBatches,
    Twins,
    outcome,
    stamp,
)

from _native import pack_writer_c  # noqa: E402
from _native.cells import VALUE, Scan, ScanError, ScanSpec  # noqa: E402
from _native.pack_stamp import One  # noqa: E402
from _native.scan import scan  # noqa: E402

# Under sanitized.py it must be the sanitized twin that is tested.
assert pack_writer_c.__file__.startswith(os.environ.get("HEADRACE_SANITIZED", ""))

VALUES = ScanSpec({**SPEC.roles, VALUE: (("data",), ("context",))}, batch_keys=("batch",), array=True)
LONG = b"\xc3\xa9" * 3000
KEYS = "messageId id type event name userId anonymousId timestamp sentAt data data_base64"
MORE_KEYS = "datacontenttype specversion source time subject context"
TOKENS = [
    *(f'"{key}":'.encode() for key in f"{KEYS} {MORE_KEYS}".split()),
    *(f'"{time}"'.encode() for time in TIMES),
    *(
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b'"',
        b"null",
        b"true",
        b"-1.5e3",
        b'"AP8="',
        b'"text/plain"',
        LONG,
        b'"' + LONG,
    ),
    *(rb"\u00e9", rb"\ud83d\ude00", rb"\ud800", rb"\"", rb"\/", b"\xff", b"\x00", b"0123456789"),
]
EVENTS = [
    b'[{"messageId":"m","type":"track","event":"e","userId":"u","timestamp":"2025-11-24T07:39:00Z"},[]]',
    b'{"batch":[{"timestamp":1763969940123,"sentAt":"2025-11-24 07:39:00.5+01:00"},5,{"userId":"\\u00e9"}]}',
    b'[{"specversion":"1.0","id":"i","source":"/s","time":"2025-11-24","data":{"a":[1]},"ext":"\\n"},{}]',
    b'[{"id":"i","data_base64":"AP8="},{"data":"x\\u00e9","datacontenttype":"text/plain"}]',
    b'[{"anonymousId":"a","data":1,"data_base64":""}]',
    *(b'{"timestamp":"%s","messageId":"%s"}' % (str(time).encode(), str(time).encode()) for time in TIMES),
]
SEEDS = [bytes((at % 256, at * 7 % 256, at * 31 % 256, 0)) + body for at, body in enumerate(EVENTS * 5)]


def told(chosen: bytes, body: bytes) -> dict[str, Any]:
    """What the stamp says, by the bits of three bytes."""
    first, second, third = chosen
    return {
        "number": first * 10**16,
        "received_us": NOW_US if first & 1 else second * 10**12,
        "flags": third,
        "key_by_anonymous": bool(second & 1),
        "event_bytes_max": 32_768 if second & 2 else 40,
        "ip": body[:9] if second & 4 else None,
        "agent": body[-5000:] if second & 8 else None,
        "sent_us": NOW_US + third * 10**9 if second & 16 else None,
        "context": body[:100] if second & 32 else None,
        "type_default": body[5:9] if second & 64 else None,
        "anon_default": body[3:] if second & 128 else b"",
        "required": (third % 9,) if third & 1 else (),
        "attributes": bool(third & 2),
    }


def edited(found: Scan, change: int, chosen: bytes) -> Scan:
    """Rows as no scan would have made them, for half of the inputs."""
    if change < 128 or not found.count:
        return found
    rows = array("i", found.rows)
    for at in range(change & 3 or 1):
        rows[(change * 5 + at * chosen[0]) % len(rows)] = chosen[at % 3] % 100 - 2
    return Scan(found.count, rows)


def same(work: Callable[[Twins, OpenBatches], Any], **batches: Any) -> None:
    seen = [outcome(twins, lambda open_, t=twins: work(t, open_), **batches) for twins in (PYTHON, CYTHON)]
    assert seen[0] == seen[1]


def one_input(data: bytes) -> None:
    data = data.ljust(4, b"\0")
    chosen, change, body = data[:3], data[3], data[4:]
    more = told(chosen, body)
    batches = {"partitions": chosen[0] % 5, "bytes_max": 62 + chosen[1] * 20}
    texts = (body.split(b",") + [b""] * 8)[:8]
    one = One(
        body[:200], *texts[:7], extra=((b"ce_a", texts[7]), (b"ce_source", texts[0]), (texts[1], texts[2]))
    )
    same(lambda twins, open_: twins.pack.append_one(one, stamp(**more), open_), **batches)
    try:
        found = scan(body, (SPEC, CE_SPEC, VALUES)[chosen[2] % 3])
    except ScanError:
        return
    if more["attributes"]:  # members() believes the rows
        change = 0
    rows = edited(found, change, chosen)
    held = at_end(body)  # of just its size, so that a sanitizer sees any read beyond it
    same(lambda twins, open_: twins.pack.pack(held, rows, stamp(**more), open_), **batches)


if __name__ == "__main__":
    main(one_input, SEEDS, TOKENS)
