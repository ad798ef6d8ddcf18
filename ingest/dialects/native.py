"""Native: `POST /events` with a plain JSON object, an array or NDJSON, whatever the content type says."""

from __future__ import annotations

from typing import Final

from _native.scan import ANON, ID, NAME, TIME, TYPE, USER, Path, ScanSpec
from ingest.answers import NATIVE
from ingest.dialects import MIB, Dialect, Limits, Route

PATH: Final = "/events"
LIMITS: Final = Limits(8 * MIB, MIB, 10_000)
KEY_QUERIES: Final = (b"access_token", b"key", b"writeKey")

# The names that hand-written senders use; the beacon page shares them.
ROLES: Final[dict[int, tuple[Path, ...]]] = {
    ID: (("id",), ("event_id",), ("messageId",)),
    TYPE: (("type",), ("event_type",), ("t",)),
    NAME: (("event",), ("name",), ("event_name",), ("e",)),
    USER: (("userId",), ("user_id",), ("uid",)),
    ANON: (("anonymousId",), ("anonymous_id",), ("aid",)),
    TIME: (("timestamp",), ("event_time",), ("ts",)),
}

DIALECTS: Final = (
    Dialect(
        name="native",
        column=NATIVE,
        routes=(Route("POST", PATH, "Plain JSON: an object, an array or NDJSON"),),
        spec=ScanSpec(roles=ROLES, array=True, ndjson=True),
        limits=LIMITS,
        key_queries=KEY_QUERIES,
        media_types=("application/json", "application/x-ndjson", "text/plain"),
    ),
)
