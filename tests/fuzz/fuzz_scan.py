"""The scan under a fuzzer: both twins see the same in any bytes, and the Cython twin reads none beyond them.

    python tests/fuzz/fuzz_scan.py --seconds 60
    python tests/fuzz/sanitized.py fuzz_scan.py --seconds 60            (address and undefined behaviour)
    python tests/fuzz/sanitized.py fuzz_scan.py --atheris CORPUS …      (guided by coverage; needs clang)

The first byte of an input chooses the spec and the bounds, the rest is the body.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[level]) for level in (0, 1)]
sys.path.append(str(Path(__file__).parents[2]))  # behind PYTHONPATH, where sanitized twins stand

from mutation import at_end, main  # noqa: E402
from scan_stand import DOCUMENTS, SPECS, json_suite, observed, observed_members, observed_text  # noqa: E402

from _native import scan_c, scan_py  # noqa: E402

# Under sanitized.py it must be the sanitized twin that is tested.
assert scan_c.__file__.startswith(os.environ.get("HEADRACE_SANITIZED", ""))

NAMES = sorted(SPECS)
KEYS = ["id", "batch", "events", "a", "b", "properties", "user", "name", "data"]
TOKENS = [
    *(bytes((byte,)) for byte in b'{}[]:,"\\/ \n\t-+.eE019\x00\x1f\x7f\x80\xbf\xc3\xe2\xed\xf0\xf4\xff'),
    *(b"true", b"false", b"null", b"-0.5e+10", b"\\u", b"\\ud83d", b"\\ude00"),
    *(character.encode() for character in "é€😀"),
    *(
        f'"{key}":'.encode()
        for key in ["id", "batch", "events", "a", "b", "properties", "user", "name", "data"]
    ),
    *(b"{", b"[", b'{"a":', b"0123456789abcdef", b" " * 17, b'"0123456789abcde"'),
]
SEEDS = [
    bytes((number % 256,)) + body
    for number, body in enumerate([*DOCUMENTS, *(case[:600] for case in json_suite().values())])
]


def one_input(data: bytes) -> None:
    chosen, body = (data[0], data[1:]) if data else (0, b"")
    spec = SPECS[NAMES[chosen % len(NAMES)]]
    bounds = {} if chosen & 0x40 else {"depth_max": chosen >> 3 & 7, "events_max": chosen >> 2 & 3}
    expected = observed(scan_py, body, spec, **bounds)
    assert observed(scan_c, at_end(body), spec, **bounds) == expected
    start = min(chosen, len(body)) // 2
    for end in (len(body), len(body) - start):
        members = observed_members(scan_py, body, start, end)
        assert observed_members(scan_c, at_end(body), start, end) == members
        text = observed_text(scan_py, body, start, end, chosen % 9)
        assert observed_text(scan_c, at_end(body), start, end, chosen % 9) == text


if __name__ == "__main__":
    main(one_input, SEEDS, TOKENS)
