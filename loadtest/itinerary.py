"""What a person does: takes the number of events of a session, gives that many steps through the shop.

Mostly pages; a product is looked at, sometimes put into the cart, and a cart is sometimes paid for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

from loadtest.chance import between, pick, zipf_rank
from loadtest.detail import product_fields
from loadtest.people import Person
from loadtest.profile import Profile, read_profile
from loadtest.shop import Page, Product, page

CHECKOUT: Final = ("Checkout Started", "Payment Info Entered", "Order Completed")
CART_PAGE: Final = Page("category", "/cart", "Your cart | Shop")
# A session must have seen a product before it can be put into the cart, and so on; so what can happen happens
# more often than its share of all events. Measured over 200,000 events.
CART_FACTOR: Final = 1.35
ORDER_FACTOR: Final = 34.0


@dataclass(frozen=True, slots=True)
class Step:
    """One event to be: what kind, which name, where, and what it says."""

    kind: str
    name: str
    page: Page
    properties: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class _Walk:
    """Where a person stands."""

    chance: Random
    person: Person
    profile: Profile
    page: Page
    viewed: Product | None = None
    cart: list[Product] = field(default_factory=list)
    ahead: list[Step] = field(default_factory=list)


def steps(chance: Random, visitor: Person, length: int) -> Iterator[Step]:
    """`length` steps of one session."""
    walk = _Walk(chance, visitor, read_profile(), page(0))
    yield _arrive(walk)
    for _ in range(length - 1):
        yield walk.ahead.pop(0) if walk.ahead else _next(walk)


def _next(walk: _Walk) -> Step:
    if walk.person.automated:
        return _arrive(walk)
    drawn = walk.chance.random()
    figures = walk.profile.shop
    order = figures.order_share * ORDER_FACTOR if walk.cart else 0.0
    add = figures.cart_share * CART_FACTOR if walk.viewed else 0.0
    if drawn < order / len(CHECKOUT):
        return _order(walk)
    if drawn < order + add:
        return _add(walk)
    return _arrive(walk) if drawn < 0.85 else _look(walk)


def _arrive(walk: _Walk) -> Step:
    """Another page; on some of them the shop tells more than that."""
    popularity = walk.profile.popularity
    walk.page = page(zipf_rank(walk.chance, popularity.pages, popularity.page_zipf_s))
    if walk.page.product and not walk.person.automated:
        walk.viewed = walk.page.product
        if walk.chance.random() < 0.4:
            walk.ahead.append(Step("track", "Product Viewed", walk.page, product_fields(walk.viewed)))
    elif walk.page.kind == "search" and not walk.person.automated:
        query = walk.page.path.partition("q=")[2].replace("+", " ")
        walk.ahead.append(Step("track", "Products Searched", walk.page, {"query": query}))
    name = walk.page.kind.title() if walk.page.kind != "home" else "Home"
    return Step("screen" if walk.person.app else "page", name, walk.page)


def _look(walk: _Walk) -> Step:
    """Something on the page, or who the person is."""
    if walk.person.user_id and walk.chance.random() < 0.2:
        traits = {"plan": pick(walk.chance, ("free", "club")), "country": walk.person.country}
        return Step("identify", "", walk.page, traits)
    name = pick(walk.chance, ("Promotion Viewed", "Product List Viewed", "Link Clicked", "Page Scrolled"))
    return Step("track", name, walk.page, {"position": between(walk.chance, 1, 12)})


def _add(walk: _Walk) -> Step:
    assert walk.viewed is not None
    walk.cart.append(walk.viewed)
    quantity = 1 if walk.chance.random() < 0.9 else 2
    return Step("track", "Product Added", walk.page, {**product_fields(walk.viewed), "quantity": quantity})


def _order(walk: _Walk) -> Step:
    """Three steps in a row; the last one names the whole cart."""
    cents = sum(item.price_cents for item in walk.cart)
    value = {"value": cents / 100, "currency": "USD"}
    number = f"order-{between(walk.chance, 100_000, 999_999)}"
    ordered = {"order_id": number, **value, "products": [product_fields(item) for item in walk.cart]}
    walk.ahead += [
        Step("track", CHECKOUT[1], CART_PAGE, value),
        Step("track", CHECKOUT[2], CART_PAGE, ordered),
    ]
    walk.cart = []
    return Step("track", CHECKOUT[0], CART_PAGE, value)
