"""The request head, the chooser: takes the bytes that a connection begins a request with, gives its head.

`read_head(data, target_bytes_max, header_count_max, header_bytes_max) -> Head | None`: the head of a plain
POST whose body has a stated length. None says nothing of the bytes but that they are not that: not whole yet,
over a bound, unusual, or wrong; whoever asked then asks a full parser (llhttp), which stays the judge. What
is taken here, llhttp takes with the same result; it takes more. So here is neither another method or version,
nor Transfer-Encoding, Expect, Upgrade, a second Content-Length, Connection other than keep-alive, a folded
line, an empty value, a percent sign in the path, nor a byte outside of ASCII in the target.

    POST /path?query HTTP/1.1 CRLF      path: "!" to "~" without # % ?    query: "!" to "~" without #
    name: OWS value CRLF                name: tchar, 1 to NAME_BYTES_MAX  value: 1 or more of HTAB, SP to 0xFF
    CRLF                                                                         without DEL, first not OWS

A Head is (path, query, headers, named, head_bytes, body_bytes): `headers` in order, names in lower case;
`named` of them, of a repeated name the last value; `head_bytes` the first byte of the body. header_bytes_max
bounds the sum of names and values and 4 bytes for each. Source: RFC 9112 sections 2 to 6. Does not wait.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from _native import missing, wants_extensions
from _native.head_py import Head

__all__ = ["TWIN", "Head", "read_head"]

TWIN = "python"
if TYPE_CHECKING or not wants_extensions():
    from _native.head_py import read_head
else:
    try:
        from _native.head_c import read_head

        TWIN = "cython"
    except ImportError:
        missing("_native.head_c")
        from _native.head_py import read_head
