"""CloudEvents 1.0 over HTTP: batched, structured and binary mode at `POST /events`, and webhook validation.

The mode is told by the content type's beginning, any case; without it a `ce-specversion` header means binary
mode: attributes in `ce-` headers, the body is the data. On Kafka each event becomes a binary-mode record.
Sources: CloudEvents 1.0.2, HTTP protocol binding 1.0.2 sections 3.1 to 3.3, JSON event format 1.0.2,
HTTP 1.1 Web Hooks for Event Delivery 1.0.2 section 4.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import unquote_to_bytes

from _native.pack import One
from _native.record import CONTENT_BYTES, CONTENT_JSON
from _native.scan import ANON, ID, TIME, TYPE, USER, Path, ScanError, ScanSpec, scan
from ingest.answers import NATIVE
from ingest.dialects import Dialect, Route
from ingest.dialects.native import KEY_QUERIES, LIMITS, PATH
from ingest.errors import Refusal, Situation
from ingest.exchange import Exchange

BATCH: Final = b"application/cloudevents-batch"
STRUCTURED: Final = b"application/cloudevents"
STANDARD: Final = frozenset((b"id", b"type", b"time"))  # what has a place of its own in a record

ROLES: Final[dict[int, tuple[Path, ...]]] = {
    ID: (("id",),),
    TYPE: (("type",),),
    USER: (("userid",),),  # attribute names are lower case by rule
    ANON: (("anonymousid",),),
    TIME: (("time",),),
}


def is_batch(exchange: Exchange) -> bool:
    return exchange.headers.get(b"content-type", b"")[: len(BATCH)].lower() == BATCH


def is_structured(exchange: Exchange) -> bool:
    return exchange.headers.get(b"content-type", b"")[: len(STRUCTURED)].lower() == STRUCTURED


def is_binary(exchange: Exchange) -> bool:
    return b"ce-specversion" in exchange.headers


def binary(exchange: Exchange, body: bytes) -> One:
    """One record: attributes from the headers, the body as it is. Raises Refusal where they are invalid."""
    attributes: dict[bytes, bytes] = {}
    for name, raw in exchange.incoming.headers:
        if name.startswith(b"ce-") and len(name) > 3:
            attributes[name[3:]] = attribute(raw)
    if not attributes.get(b"type"):
        raise _invalid("the header ce-type is missing or empty; CloudEvents requires it")
    return One(
        value=body,
        content_type=_content_type(exchange, body),
        id=attributes.get(b"id"),
        type=attributes[b"type"],
        user=attributes.get(b"userid"),
        anon=attributes.get(b"anonymousid"),
        time=attributes.get(b"time"),
        extra=tuple((b"ce_" + name, value) for name, value in attributes.items() if name not in STANDARD),
    )


def attribute(raw: bytes) -> bytes:
    """A header's value as UTF-8: without quotes, percent-decoded once; what is not UTF-8 is Latin-1.

    Section 3.1.3.2 asks for both; older libraries send raw Latin-1.
    """
    if len(raw) > 1 and raw[:1] == raw[-1:] == b'"':
        raw = _unquoted(raw[1:-1])
    if b"%" in raw:
        raw = unquote_to_bytes(raw)
    try:
        raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1").encode()
    return raw


def _unquoted(raw: bytes) -> bytes:
    """RFC 9110 section 5.6.4: a backslash takes the character after it as it is."""
    out = bytearray()
    quoted = False
    for byte in raw:
        if byte == 0x5C and not quoted:
            quoted = True
            continue
        out.append(byte)
        quoted = False
    return bytes(out)


def _content_type(exchange: Exchange, body: bytes) -> bytes:
    """The data's media type. What says that it is JSON is proved; what says nothing is looked at."""
    said = exchange.headers.get(b"content-type", b"").strip()
    if not body:
        return said or CONTENT_JSON
    if said and not is_json(said):
        return said
    try:
        scan(body, ANY_JSON, depth_max=_depth_max(exchange))
    except ScanError as error:
        if error.reason != "no_events":  # valid JSON that is no object, which is data like any other
            if said:
                text = f"the content type says JSON, the data is none (byte {error.position})"
                raise Refusal(Situation.UNREADABLE, error.reason, text) from error
            return CONTENT_BYTES
    return said or CONTENT_JSON


def is_json(media_type: bytes) -> bool:
    """`application/json`, `text/json`, `…+json`, with or without parameters (RFC 6839 section 3.1)."""
    kind = media_type.split(b";", 1)[0].strip().lower()
    return kind.endswith((b"/json", b"+json"))


def _depth_max(exchange: Exchange) -> int:
    assert exchange.terms is not None
    return exchange.terms.depth_max


def _invalid(message: str) -> Refusal:
    return Refusal(Situation.INVALID_ONE, "invalid_event", message)


ANY_JSON: Final = ScanSpec(roles={})

DIALECTS: Final = (
    Dialect(
        name="cloudevents",
        column=NATIVE,
        routes=(Route("POST", PATH, "CloudEvents, batched: a JSON array"),),
        spec=ScanSpec(roles=ROLES, array=True, single=False),
        limits=LIMITS,
        key_queries=KEY_QUERIES,
        matches=is_batch,
        required=(TYPE,),
        attributes=True,
        webhook=True,
        media_types=("application/cloudevents-batch+json",),
    ),
    Dialect(
        name="cloudevents",
        column=NATIVE,
        routes=(Route("POST", PATH, "CloudEvents, structured: one JSON object"),),
        spec=ScanSpec(roles=ROLES),
        limits=LIMITS,
        key_queries=KEY_QUERIES,
        matches=is_structured,
        required=(TYPE,),
        attributes=True,
        webhook=True,
        media_types=("application/cloudevents+json",),
    ),
    Dialect(
        name="cloudevents",
        column=NATIVE,
        routes=(Route("POST", PATH, "CloudEvents, binary: attributes in ce- headers, any data"),),
        spec=ANY_JSON,
        limits=LIMITS,
        key_queries=KEY_QUERIES,
        matches=is_binary,
        by_bytes=False,
        one=binary,
        webhook=True,
        media_types=(),
    ),
)
