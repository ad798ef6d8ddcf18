"""`headrace sources show`: takes a source and where the collector is, gives what to paste into each SDK.

The table below is all there is to it. %URL% is the collector, %HOST% the same without scheme, %SCHEME% http
or https, %KEY% the write key, %SOURCE% the source. What is between %[ and %] is left out where no key is
needed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from rich.console import Console
from rich.rule import Rule
from rich.text import Text

from headrace.errors import HeadraceError
from headrace.whereabouts import Whereabouts
from ingest.ack_level import reached
from ingest.settings import SourceSettings

PORT_UNKNOWN: Final = "PORT"
KEY_HIDDEN: Final = "YOUR_WRITE_KEY"
DEMO: Final = "demo"  # the source and key of `headrace up` without a configuration: no secret
HOSTS_ANY: Final = {"0.0.0.0": "127.0.0.1", "::": "[::1]", "": "127.0.0.1"}  # noqa: S104 - not bound


@dataclass(frozen=True, slots=True)
class Recipe:
    """What to paste into one SDK."""

    name: str
    title: str
    install: str
    language: str
    text: str


RECIPES: Final = (
    Recipe(
        "curl",
        "curl, plain JSON",
        "",
        "sh",
        """\
curl %URL%/events%[ -H 'authorization: Bearer %KEY%'%] -H 'content-type: application/json' \\
  -d '{"id": "order-1", "type": "track", "name": "Order Completed", "userId": "user-1", "total": 42.5}'
""",
    ),
    Recipe(
        "segment-python",
        "Segment, Python",
        "pip install segment-analytics-python",
        "python",
        """\
import segment.analytics as analytics

analytics.write_key = "%KEY%"
analytics.host = "%URL%"
analytics.track("user-1", "Order Completed", {"total": 42.5})
analytics.flush()
""",
    ),
    Recipe(
        "segment-node",
        "Segment, Node.js",
        "npm install @segment/analytics-node",
        "js",
        """\
import { Analytics } from "@segment/analytics-node";

const analytics = new Analytics({ writeKey: "%KEY%", host: "%URL%" });
analytics.track({ userId: "user-1", event: "Order Completed", properties: { total: 42.5 } });
await analytics.closeAndFlush();
""",
    ),
    Recipe(
        "segment-browser",
        "Segment, browser",
        "npm install @segment/analytics-next",
        "js",
        """\
import { AnalyticsBrowser } from "@segment/analytics-next";

const analytics = AnalyticsBrowser.load(
  { writeKey: "%KEY%", cdnURL: "%URL%" },
  { integrations: { "Segment.io": { apiHost: "%HOST%/v1", protocol: "%SCHEME%" } } },
);
analytics.page();
analytics.track("Order Completed", { total: 42.5 });
""",
    ),
    Recipe(
        "cloudevents-python",
        "CloudEvents, Python",
        "pip install cloudevents requests",
        "python",
        """\
import requests
from cloudevents.core.bindings.http import to_binary_event
from cloudevents.core.v1.event import CloudEvent

event = CloudEvent({"type": "com.example.order", "source": "/%SOURCE%"}, {"userId": "user-1", "total": 42.5})
message = to_binary_event(event)
headers = {**message.headers%[, "authorization": "Bearer %KEY%"%]}
requests.post("%URL%/events", data=message.body, headers=headers, timeout=10).raise_for_status()
""",
    ),
    Recipe(
        "page",
        "a page without any SDK",
        "",
        "html",
        """\
<script>
  function track(event) {
    const seen = { id: crypto.randomUUID?.(), timestamp: new Date().toISOString(), url: location.href };
    navigator.sendBeacon("%URL%/beacon%[?key=%KEY%%]", JSON.stringify({ ...seen, ...event }));
  }
  track({ type: "page", name: document.title });
</script>
<noscript><img src="%URL%/pixel.gif?type=page%[&key=%KEY%%]" alt=""></noscript>
""",
    ),
)


def filled(recipe: Recipe, url: str, source: str, key: str) -> str:
    """The recipe's text; an empty key: the source needs none."""
    place = urlsplit(url)
    text = re.sub(r"%\[(.*?)%\]", r"\1" if key else "", recipe.text)
    for name, value in {
        "URL": url,
        "HOST": place.netloc,
        "SCHEME": place.scheme,
        "KEY": key,
        "SOURCE": source,
    }.items():
        text = text.replace(f"%{name}%", value)
    return text


def url_of(found: Whereabouts) -> str:
    """Where the collector of these settings listens, as a client on this machine names it."""
    collector = found.settings.collector
    if found.collector_url:
        return found.collector_url
    host = HOSTS_ANY.get(collector.host, collector.host)
    host = f"[{host}]" if ":" in host and not host.startswith("[") else host
    return f"{'https' if collector.tls_cert else 'http'}://{host}:{collector.port or PORT_UNKNOWN}"


def source_of(found: Whereabouts, name: str) -> SourceSettings:
    """The source of that name. HeadraceError `source_unknown` names those that there are."""
    sources = dict(found.settings.sources)
    if not sources:  # as `headrace up` without a configuration
        sources[DEMO] = SourceSettings.model_validate({"write_keys": (DEMO,), "keyless": True})
    if name not in sources:
        known = ", ".join(sorted(sources))
        raise HeadraceError("source_unknown", f"no source {name!r}; there are: {known} (--config FILE)")
    return sources[name]


def key_of(source: SourceSettings, *, shown: bool) -> str:
    """The key to print: a placeholder where it is a secret; empty where the source has none."""
    keys = [key.get_secret_value() for key in source.write_keys]
    if not keys:
        return ""
    return keys[0] if shown or keys == [DEMO] else KEY_HIDDEN


def notes(source: SourceSettings, key: str, url: str, watch: str) -> Iterator[str]:
    """What a developer should know about this source; `watch`: the command that shows what arrives."""
    if key == KEY_HIDDEN:
        yield f"{KEY_HIDDEN}: one of the source's {len(source.write_keys)} keys; --keys prints it"
    if urlsplit(url).netloc.endswith(f":{PORT_UNKNOWN}"):
        yield f"{PORT_UNKNOWN}: port = 0 lets the collector choose at its start; --url names its choice"
    if source.origins != ("*",):
        yield f"pages may post from {', '.join(source.origins)} only"
    for path, target in source.paths.items():
        yield f"{url}{path} is this source's own path for {target}, without a key"
    levels = {"kafka": "it is in Kafka", "disk": "it is on disk", "memory": "it was read"}
    level = levels[reached(source).ack]
    yield f"an event is answered when {level}; it lands in topic {source.topic}"
    if reached(source).on_outage == "refuse":
        yield "while Kafka is away it is answered 503, and the SDK keeps it for a retry"
    yield f"{watch} shows what arrives"


def show(
    found: Whereabouts,
    name: str,
    console: Console,
    *,
    url: str | None,
    sdk: str | None,
    keys: bool,
    watch: str,
) -> None:
    """Print the recipes of a source, or the one of `sdk`."""
    source = source_of(found, name)
    place = (url or url_of(found)).rstrip("/")
    key = key_of(source, shown=keys)
    chosen = [recipe for recipe in RECIPES if sdk in (None, recipe.name)]
    if not chosen:
        known = ", ".join(recipe.name for recipe in RECIPES)
        raise HeadraceError("sdk_unknown", f"no recipe for {sdk!r}; there are: {known}")
    if sdk is not None:
        console.print(
            filled(chosen[0], place, name, key), end="", markup=False, highlight=False, soft_wrap=True
        )
        return
    console.print(Text.assemble("Source ", (name, "bold"), " at ", (place, "bold")))
    for note in notes(source, key, place, watch):
        console.print(f"  {note}", style="dim", markup=False, highlight=False, soft_wrap=True)
    for recipe in chosen:
        install = f"   {recipe.install}" if recipe.install else ""
        console.print()
        console.print(
            Rule(Text.assemble((recipe.title, "bold"), (install, "dim")), align="left", style="dim")
        )
        console.print(
            filled(recipe, place, name, key).rstrip(), markup=False, highlight=False, soft_wrap=True
        )
