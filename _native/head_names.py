"""The vocabulary of the request head: names of headers whose lower-case form is one object for all requests.

What stands here only saves an allocation; any other name is read as well. The first ones mean something to
HTTP itself: their order is that of the constants in `head_c.pyx`.
"""

from __future__ import annotations

from typing import Final

NAME_BYTES_MAX: Final = 64
LENGTH_DIGITS_MAX: Final = 9  # of a Content-Length: less than a gigabyte
SPECIAL: Final = (
    b"content-length",
    b"connection",
    b"transfer-encoding",
    b"expect",
    b"upgrade",
    b"proxy-connection",
)
NAMES: Final = (
    *SPECIAL,
    b"accept",
    b"accept-encoding",
    b"accept-language",
    b"anonymousid",
    b"authorization",
    b"cache-control",
    b"ce-id",
    b"ce-source",
    b"ce-specversion",
    b"ce-time",
    b"ce-type",
    b"content-encoding",
    b"content-type",
    b"cookie",
    b"dnt",
    b"forwarded",
    b"host",
    b"origin",
    b"pragma",
    b"priority",
    b"referer",
    b"sec-ch-ua",
    b"sec-ch-ua-mobile",
    b"sec-ch-ua-platform",
    b"sec-fetch-dest",
    b"sec-fetch-mode",
    b"sec-fetch-site",
    b"sec-gpc",
    b"sentat",
    b"traceparent",
    b"tracestate",
    b"user-agent",
    b"via",
    b"x-forwarded-for",
    b"x-forwarded-host",
    b"x-forwarded-port",
    b"x-forwarded-proto",
    b"x-real-ip",
    b"x-request-id",
    b"x-retry-count",
    b"x-write-key",
)
