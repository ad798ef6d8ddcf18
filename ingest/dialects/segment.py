"""Segment and RudderStack: `{"batch": [event, …], "sentAt", "context", "writeKey"}` or one event.

RudderStack's paths, headers and source configuration stand beside Segment's, for its SDKs speak the same
protocol. Sources: segment.com/docs/connections/sources/catalog/libraries/server/http-api; the settings that
@segment/analytics-next asks its CDN for; RudderStack's HTTP API and its SDKs' `/sourceConfig`.
"""

from __future__ import annotations

from typing import Any, Final

import orjson

from _native.scan import ANON, ID, NAME, SENT, TIME, TYPE, USER, ScanSpec
from ingest.answers import SEGMENT
from ingest.dialects import KIB, Dialect, Limits, Route
from ingest.exchange import Exchange

TYPES: Final = {
    "track": "t",
    "page": "p",
    "screen": "s",
    "identify": "i",
    "group": "g",
    "alias": "a",
}

# 500 KB a batch, 32 KB an event, 2,500 events are the original's; the SDKs' own checks are a little looser.
LIMITS: Final = Limits(512 * KIB, 32 * KIB, 2_500)

SPEC: Final = ScanSpec(
    roles={
        ID: (("messageId",),),
        TYPE: (("type",),),
        NAME: (("event",), ("name",)),
        USER: (("userId",),),
        ANON: (("anonymousId",),),
        TIME: (("timestamp",), ("originalTimestamp",)),
        SENT: (("sentAt",),),
    },
    batch_keys=("batch",),
    envelope=(("key", ("writeKey",)), ("sent", ("sentAt",)), ("context", ("context",))),
)


def settings(exchange: Exchange) -> bytes:
    """What analytics-next needs to begin: one integration, which posts to the host that was asked."""
    integration = {
        "apiKey": exchange.segments.get("key", ""),
        "apiHost": _host(exchange) + "/v1",
        "protocol": _scheme(exchange),
        "unbundledIntegrations": [],
        "addBundledMetadata": True,
        "maybeBundledConfigIds": {},
        "versionSettings": {"version": "4.4.7", "componentTypes": ["browser"]},
    }
    allowed = {"__default": {"enabled": True, "integrations": {}}}
    return orjson.dumps(
        {
            "integrations": {"Segment.io": integration},
            "plan": {"track": allowed, "identify": {"__default": {"enabled": True}}, "group": allowed},
            "edgeFunction": {},
            "analyticsNextEnabled": True,
            "middlewareSettings": {},
            "enabledMiddleware": {},
            "metrics": {"sampleRate": 0},
            "legacyVideoPluginsEnabled": False,
            "remotePlugins": [],
        }
    )


def source_config(exchange: Exchange) -> bytes:
    """What RudderStack's SDKs ask for before they send anything: an enabled source without destinations."""
    assert exchange.terms is not None
    name = exchange.terms.source.name
    quiet: dict[str, Any] = {"errors": {"enabled": False}, "metrics": {"enabled": False}}
    source = {
        "id": name,
        "name": name,
        "enabled": True,
        "config": {"statsCollection": quiet},
        "workspaceId": "headrace",
        "destinations": [],
        "connections": [],
        "dataplanes": {},
        "createdAt": "2025-01-01T00:00:00.000Z",
        "updatedAt": "2025-01-01T00:00:00.000Z",
    }
    return orjson.dumps({"source": source, "updatedAt": "2025-01-01T00:00:00.000Z", "isHosted": True})


def sdk_metrics(_exchange: Exchange) -> bytes:
    """The SDK's numbers about itself are no events: taken and thrown away."""
    return b'{"success":true}'


def _host(exchange: Exchange) -> str:
    return exchange.headers.get(b"host", b"")[:255].decode("latin-1")


def _scheme(exchange: Exchange) -> str:
    """Of the address that the SDK should post to; nothing but the SDK's own next request depends on it."""
    forwarded = exchange.headers.get(b"x-forwarded-proto", b"").strip().lower()
    page = exchange.origin or exchange.headers.get(b"referer", b"")
    return "https" if forwarded == b"https" or (not forwarded and page.startswith(b"https:")) else "http"


def _event_routes() -> tuple[Route, ...]:
    routes = [Route("POST", f"/v1/{word}", "Several events, or one") for word in ("batch", "import", "b")]
    for kind, letter in TYPES.items():
        for word in (kind, letter):
            routes.append(Route("POST", f"/v1/{word}", f"One {kind} event", type_default=kind.encode()))
    return tuple(routes)


DIALECTS: Final = (
    Dialect(
        name="segment",
        column=SEGMENT,
        routes=(
            *_event_routes(),
            Route("POST", "/beacon/v1/batch", "Several events, by sendBeacon"),
            Route("POST", "/v1/m", "Numbers that the SDK has about itself", stub=sdk_metrics, keyed=False),
            Route("GET", "/v1/projects/{key}/settings", "Settings of analytics-next", stub=settings),
            Route("GET", "/projects/{key}/settings", "Settings of mobile SDKs", stub=settings),
            Route("GET", "/sourceConfig", "Source configuration of RudderStack's SDKs", stub=source_config),
        ),
        spec=SPEC,
        limits=LIMITS,
        key_queries=(b"writeKey",),
        anonymous_header=b"anonymousid",
        sent_header=b"sentat",
    ),
)
