"""Beacon page, without any SDK: `POST /beacon` (sendBeacon), `POST /collect` (fetch), `GET /pixel.gif`.

The content type says nothing: JSON comes as text/plain, in a form, in multipart or in the query. A field
`data` is the JSON text itself; other fields become one JSON object.
"""

from __future__ import annotations

from typing import Final

from _native.record import Flags
from _native.scan import ScanSpec
from ingest import forms
from ingest.answers import NATIVE
from ingest.dialects import KIB, Dialect, Limits, Route
from ingest.dialects.native import ROLES
from ingest.errors import Refusal, Situation
from ingest.exchange import Exchange

KEY_QUERIES: Final = (b"key",)
NO_DATA: Final = frozenset((b"key", b"debug"))  # fields that are for the door, not of the event
SPACE: Final = b" \t\r\n"


def text(exchange: Exchange, body: bytes) -> bytes:
    """The JSON text of the page's events, unwrapped or made of fields. Raises Refusal."""
    start = body.lstrip(SPACE)[:2]
    if start[:1] in (b"{", b"["):
        return body
    if start == b"--":
        fields = forms.of_multipart(body)
    elif b"=" in body:
        fields = forms.of_query(body.strip(SPACE))
    else:
        fields = [] if body.strip(SPACE) else forms.of_query(exchange.query)
    if data := forms.values_of(fields, b"data"):
        return b"\n".join(data)  # several are lines of JSON
    made, repaired = forms.as_object(fields, NO_DATA)
    if made == b"{}":
        raise Refusal(Situation.UNREADABLE, "empty_body", "neither JSON nor fields in the body or the query")
    exchange.flags |= Flags.CONVERTED | (Flags.REPAIRED if repaired else 0)
    return made


DIALECTS: Final = (
    Dialect(
        name="beacon",
        column=NATIVE,
        routes=(
            Route("POST", "/beacon", "Events of a page, by sendBeacon"),
            Route("POST", "/collect", "Events of a page, by fetch or XMLHttpRequest"),
            Route("GET", "/pixel.gif", "One event in the query, answered with an image", pixel=True),
        ),
        spec=ScanSpec(roles=ROLES, array=True, ndjson=True, envelope=(("key", ("key",)),)),
        limits=Limits(512 * KIB, 256 * KIB, 1_000),
        key_queries=KEY_QUERIES,
        text=text,
        media_types=(
            "application/json",
            "text/plain",
            "application/x-www-form-urlencoded",
            "multipart/form-data",
        ),
    ),
)
