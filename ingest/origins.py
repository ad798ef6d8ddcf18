"""Part of admit: pages of which origins may post, and the headers that let their browsers go on.

Every answer to a page carries them, errors too, or the page sees only "network error"; one to an origin that
is on no list carries none, for it is not to be read there. An allowed origin is named exactly, never `*`, as
`*` is void beside credentials. An empty origin or `null` (sandboxed pages, sendBeacon after a redirect) says
nothing of who posts, as does an absent one: it is taken like that, and answered without credentials.
Sources: WHATWG Fetch sections 3.2 and 4.8; CloudEvents Web Hooks 1.0.2 section 4 for the handshake.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from ingest.exchange import Headers

ANY: Final = b"*"
NULL: Final = b"null"
MAX_AGE_SECONDS: Final = b"7200"  # what Chromium allows; Firefox would take a day
METHODS: Final = b"GET, POST, OPTIONS"
ASKED_BYTES_MAX: Final = 4096  # of Access-Control-Request-Headers, which is echoed
ALLOWED: Final = b"access-control-allow-origin"
VARY: Final = (b"vary", b"Origin")
CREDENTIALS: Final = (b"access-control-allow-credentials", b"true")
EXPOSED: Final = (b"access-control-expose-headers", b"Retry-After, Headrace-Ack")
VARY_PREFLIGHT: Final = (
    b"vary",
    b"Origin, Access-Control-Request-Method, Access-Control-Request-Headers",
)


class Origins:
    """An allow-list of origins, `*` for any."""

    def __init__(self, origins: Iterable[str]) -> None:
        self._listed = frozenset(origin.strip().rstrip("/").lower().encode() for origin in origins)
        self._any = ANY in self._listed

    def allows(self, origin: bytes) -> bool:
        """Whether a page of this origin may see answers."""
        return self._any or origin.lower() in self._listed

    def refuses(self, origin: bytes) -> bool:
        """Whether a request must be refused because it names a page that may not post."""
        return bool(origin) and origin != NULL and not self.allows(origin)

    def headers(self, origin: bytes) -> Headers:
        """What an answer to a page of this origin carries."""
        if not origin:
            return []
        if not self.allows(origin):
            return [(ALLOWED, NULL), EXPOSED, VARY] if origin == NULL else [VARY]
        return [(ALLOWED, origin), CREDENTIALS, EXPOSED, VARY]

    def preflight(self, origin: bytes, asked: bytes) -> Headers:
        """What the answer to a preflight carries: the headers asked for are the headers allowed."""
        if self.refuses(origin):
            return [VARY_PREFLIGHT]
        headers = [
            (ALLOWED, origin),
            *((CREDENTIALS,) if self.allows(origin) else ()),
            (b"access-control-allow-methods", METHODS),
            (b"access-control-max-age", MAX_AGE_SECONDS),
            VARY_PREFLIGHT,
        ]
        if asked and len(asked) <= ASKED_BYTES_MAX:
            headers.append((b"access-control-allow-headers", asked))
        return headers

    def handshake(self, host: bytes, rate: bytes) -> Headers:
        """What a sender of webhooks is told that asks whether it may: yes, at any rate, or nothing.

        `host` is a DNS name without scheme, so any listed origin of that host will do.
        """
        names = {origin.rpartition(b"//")[2].partition(b":")[0] for origin in self._listed}
        if not self._any and host.lower() not in names:
            return []
        return [(b"webhook-allowed-origin", host), (b"webhook-allowed-rate", rate or ANY)]
