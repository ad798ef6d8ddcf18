"""What else an event says: takes its size in bytes, gives the context and properties that bring it there.

Real SDKs add the same things to each event of a page, and shops add lists of products; so that is what makes
an event large here, and why a batch of them compresses as well as a real one.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any, Final, TypeAlias

import orjson

from loadtest.chance import between, pick, zipf_rank
from loadtest.people import Person
from loadtest.shop import CATEGORIES, HOST, Page, Product, page

Piece: TypeAlias = tuple[str, str, Any]  # "context" or "properties", key, value

OVER_BYTES: Final = 24  # an event may be this much larger than asked for
PARAMETERS: Final = (
    ("engagement_time_msec", "number"),
    ("session_engaged", "flag"),
    ("scroll_depth_percent", "percent"),
    ("experiment_checkout_button", "variant"),
    ("experiment_ranking", "variant"),
    ("consent_marketing", "flag"),
    ("content_group", "category"),
    ("page_load_time_ms", "number"),
    ("first_input_delay_ms", "number"),
    ("largest_contentful_paint_ms", "number"),
    ("cumulative_layout_shift", "fraction"),
    ("connection_type", "connection"),
    ("logged_in", "flag"),
    ("currency", "currency"),
    ("store_view", "variant"),
    ("visible_items", "percent"),
)
WORDS: Final = {
    "variant": ("control", "variant_a", "variant_b"),
    "flag": (0, 1),
    "category": CATEGORIES,
    "connection": ("4g", "wifi", "3g", "slow-2g"),
    "currency": ("USD", "EUR", "GBP"),
}
PARAMETERS_MAX: Final = 60
PRODUCTS_MAX: Final = 200


def furnish(
    chance: Random, person: Person, seen: Page, referrer: str | None, event: dict[str, Any], bytes_wanted: int
) -> None:
    """Add to `event["context"]` and `event["properties"]` until its JSON has about `bytes_wanted` bytes."""
    size = len(orjson.dumps(event))
    for place, key, value in _singles(person, seen, referrer):
        added = len(orjson.dumps(value)) + len(key) + 4
        if size + added <= bytes_wanted + OVER_BYTES:
            event.setdefault(place, {})[key] = value
            size += added
    wide = bytes_wanted > 3000  # lists of products are what makes an event wider than its parameters do
    lists = (("products", _products(chance)), ("parameters", _parameters(chance)))
    for key, items in lists if wide else lists[1:]:
        found = event["properties"].setdefault(key, []) if bytes_wanted - size > 100 else []
        size += len(key) + 5 if found is not None else 0
        for item in items:
            added = len(orjson.dumps(item)) + 1
            if size + added > bytes_wanted + OVER_BYTES:
                break
            found.append(item)
            size += added


def product_fields(item: Product) -> dict[str, Any]:
    """A product as an event names it."""
    return {
        "product_id": item.sku,
        "name": item.name,
        "brand": item.brand,
        "category": item.category,
        "variant": f"{item.colour} {item.size}",
        "price": item.price_cents / 100,
    }


def _singles(person: Person, seen: Page, referrer: str | None) -> Iterator[Piece]:
    where = {"path": seen.path, "title": seen.title, "url": HOST + seen.path}
    if referrer:
        where["referrer"] = referrer
    yield "context", "page", where
    yield "context", "userAgent", person.agent
    yield "context", "locale", person.locale
    yield "context", "ip", person.address
    name = "analytics-ios" if person.app else "analytics.js"
    yield "context", "library", {"name": name, "version": "4.1.0" if person.app else "1.84.3"}
    yield "context", "screen", {"width": person.screen[0], "height": person.screen[1]}
    yield "context", "timezone", person.zone
    if referrer and "google" in referrer:
        yield "context", "campaign", {"source": "google", "medium": "cpc", "name": "brand-outdoor"}


def _parameters(chance: Random) -> Iterator[dict[str, Any]]:
    for number in range(PARAMETERS_MAX):
        key, kind = PARAMETERS[number % len(PARAMETERS)]
        if number >= len(PARAMETERS):
            key = f"{key}_{number // len(PARAMETERS) + 1}"
        yield {"key": key, "value": _value(chance, kind)}


def _value(chance: Random, kind: str) -> Any:
    if kind == "number":
        return {"int_value": between(chance, 1, 20_000)}
    if kind == "percent":
        return {"int_value": between(chance, 0, 10) * 10}
    if kind == "fraction":
        return {"double_value": between(chance, 0, 999) / 1000}
    word = pick(chance, WORDS[kind])
    return {"int_value": word} if isinstance(word, int) else {"string_value": word}


def _products(chance: Random) -> Iterator[dict[str, Any]]:
    for position in range(1, PRODUCTS_MAX + 1):
        item = page(1 + 7 * zipf_rank(chance, 150, 0.8)).product
        assert item is not None  # every seventh rank from 1 on is a product
        yield {"position": position, **product_fields(item), "quantity": 1, "list": "recommended"}
