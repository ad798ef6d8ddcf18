"""First stage: takes headers and query, gives the source and its terms, or a Refusal.

The key is looked for in this order: `Authorization` (Basic, Bearer), `X-Write-Key`, the query, the source's
own path, the body (which only the scan can read). Without any, the source without keys has the request.
"""

from __future__ import annotations

from binascii import Error as Base64Error
from binascii import a2b_base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from hmac import compare_digest
from typing import Final

from ingest.dialects import Dialect
from ingest.errors import Refusal, Situation
from ingest.exchange import Exchange, parameter
from ingest.origins import Origins
from ingest.settings import LimitSettings, SourceLimitSettings, SourceSettings, keyless

KNOWN_MAX: Final = 4096  # spellings of right Authorization headers, all dialects together
KNOWN_BYTES_MAX: Final = 512  # of one that is kept
KEY_BYTES_MAX: Final = 1024  # a longer one is no source's, and is not compared


@dataclass(frozen=True, slots=True)
class Source:
    """A sending application, made ready."""

    name: str
    name_bytes: bytes
    topic: str
    origins: Origins
    address_rule: str
    key_by_anonymous: bool


@dataclass(frozen=True, slots=True)
class Terms:
    """What holds for one source in one dialect: bytes of a body and of an event, events, levels of JSON."""

    source: Source
    dialect_bytes: bytes
    body_bytes_max: int
    event_bytes_max: int
    batch_events_max: int
    depth_max: int


class Admission:
    """All sources, their keys, and the terms of each in every dialect."""

    def __init__(
        self,
        sources: Mapping[str, SourceSettings],
        limits: LimitSettings,
        dialects: Iterable[Dialect],
    ) -> None:
        """Made once, at start; the settings have proved that no key is in two sources."""
        self.origins = Origins(origin for settings in sources.values() for origin in settings.origins)
        self._keyless = keyless(sources)
        # By length, which is no secret: the comparison takes the same time whatever the bytes.
        self._keys: dict[int, list[tuple[bytes, str]]] = {}
        self._terms: dict[tuple[str, Dialect], Terms] = {}
        self._widest: dict[Dialect, Terms] = {}
        # Authorization headers that were right once. A look into a dict compares no bytes unless all 64
        # bits of a hash agree that is keyed anew in each process: its time tells nothing of a key either.
        self._known: dict[tuple[bytes, Dialect], Terms] = {}
        for name, settings in sources.items():
            self._add_keys(name, settings)
        for dialect in dialects:
            for name, settings in sources.items():
                self._terms[name, dialect] = _terms(_source(name, settings), settings.limits, limits, dialect)
            each = [self._terms[name, dialect] for name in sources]
            self._widest[dialect] = _widest(each or [_terms(NOBODY, limits, limits, dialect)])

    def _add_keys(self, name: str, settings: SourceSettings) -> None:
        for secret in settings.write_keys:
            key = secret.get_secret_value().encode()
            self._keys.setdefault(len(key), []).append((key, name))

    def _owner(self, key: bytes) -> str | None:
        """The source that a key names. Compares with every key of this length."""
        found = None
        if len(key) <= KEY_BYTES_MAX:
            for known, name in self._keys.get(len(key), ()):
                if compare_digest(known, key):
                    found = name
        return found

    def widest(self, dialect: Dialect) -> Terms:
        """The widest terms of all sources: what holds until the source is known; ignore its `source`."""
        return self._widest[dialect]

    def at_once(self, exchange: Exchange, dialect: Dialect) -> Terms | None:
        """The terms by a key outside the body, else by the path, else None. Raises Refusal: wrong key."""
        authorization = exchange.headers.get(b"authorization")
        if authorization:
            if terms := self._known.get((authorization, dialect)):
                return terms
            if authorized := _authorized(authorization):
                terms = self.by_key(authorized, exchange, dialect)
                if len(self._known) < KNOWN_MAX and len(authorization) <= KNOWN_BYTES_MAX:
                    self._known[authorization, dialect] = terms
                return terms
        key = _key_beside(exchange, dialect)
        if key is not None:
            return self.by_key(key, exchange, dialect)
        return self._terms[exchange.owner, dialect] if exchange.owner else None

    def by_key(self, key: bytes, exchange: Exchange, dialect: Dialect) -> Terms:
        """The terms of the source that the key names. Raises Refusal where there is none."""
        name = self._owner(key)
        if name is None:
            raise unknown_key("no source has this key", exchange)
        return self._terms[name, dialect]

    def without_key(self, exchange: Exchange, dialect: Dialect) -> Terms:
        """The terms of the source without keys. Raises Refusal where there is none."""
        if self._keyless is None:
            raise unknown_key("the request has no key", exchange)
        return self._terms[self._keyless, dialect]


def unknown_key(what: str, exchange: Exchange) -> Refusal:
    """401, naming what was hit: the usual mistake is another host or path than one thinks."""
    text = f"{what}; {exchange.where()} expects a key of [sources.NAME] write_keys: {HOW}"
    return Refusal(Situation.UNKNOWN_KEY, "unknown_key", text)


HOW: Final = "Authorization: Basic or Bearer, X-Write-Key, or where this SDK puts it"


def _key_beside(exchange: Exchange, dialect: Dialect) -> bytes | None:
    """The key where it stands neither in Authorization nor in the body."""
    if key := exchange.headers.get(b"x-write-key"):
        return key
    if exchange.query:
        for name in dialect.key_queries:
            if value := parameter(exchange.query, name):
                return value
    segment = exchange.segments.get("key")
    return segment.encode() if segment else None


def _authorized(value: bytes) -> bytes:
    """The key of an Authorization header: of Basic the user with or without its colon, else what follows."""
    scheme, _, rest = value.partition(b" ")
    rest = rest.strip()
    scheme = scheme.lower()
    if scheme == b"bearer":
        return rest
    if scheme != b"basic":
        return value
    try:  # padding is left out by some; anything else that is no base64 is a wrong key, not a missing one
        return a2b_base64(rest + b"=" * (-len(rest) % 4), strict_mode=True).removesuffix(b":")
    except Base64Error:
        return rest


NOBODY: Final = Source("", b"", "", Origins(()), "drop", False)


def _source(name: str, settings: SourceSettings) -> Source:
    return Source(
        name=name,
        name_bytes=name.encode(),
        topic=settings.topic,
        origins=Origins(settings.origins),
        address_rule=settings.privacy.address,
        key_by_anonymous=settings.key_by == "anonymous",
    )


def _terms(source: Source, own: SourceLimitSettings, everywhere: LimitSettings, dialect: Dialect) -> Terms:
    """The source's own limits before those of [limits] before the dialect's."""

    def bound(name: str, default: int) -> int:
        for limits in (own, everywhere):
            if (value := getattr(limits, name)) is not None:
                return int(value)
        return default

    return Terms(
        source=source,
        dialect_bytes=dialect.name.encode(),
        body_bytes_max=bound("body_bytes_max", dialect.limits.body_bytes_max),
        event_bytes_max=bound("event_bytes_max", dialect.limits.event_bytes_max),
        batch_events_max=bound("batch_events_max", dialect.limits.batch_events_max),
        depth_max=everywhere.depth_max,
    )


def _widest(terms: list[Terms]) -> Terms:
    return replace(
        terms[0],
        body_bytes_max=max(each.body_bytes_max for each in terms),
        event_bytes_max=max(each.event_bytes_max for each in terms),
        batch_events_max=max(each.batch_events_max for each in terms),
    )
