"""What they look at: the pages and products of a made-up web shop, by rank of popularity.

Nothing here is drawn by chance: rank 0 is the home page, and a rank is the same page in every run.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal, TypeAlias

PageKind: TypeAlias = Literal["home", "category", "product", "search", "article"]

HOST: Final = "https://shop.example.com"
PAGES_KEPT: Final = 4096
KINDS: Final[tuple[PageKind, ...]] = (
    "product",
    "product",
    "category",
    "product",
    "search",
    "product",
    "article",
)
CATEGORIES: Final = ("shoes", "jackets", "shirts", "bags", "outdoor", "kids", "sale", "new-in", "accessories")
THINGS: Final = (
    "Runner",
    "Trail Shoe",
    "Parka",
    "Rain Jacket",
    "Oxford Shirt",
    "Tote",
    "Backpack",
    "Cap",
    "Belt",
)
STYLES: Final = ("Classic", "Light", "Nordic", "Urban", "Summit", "Coastal", "Merino", "Recycled", "Heritage")
COLOURS: Final = ("black", "white", "navy", "sand", "olive", "rust", "sky", "stone")
SIZES: Final = ("XS", "S", "M", "L", "XL", "40", "41", "42", "43", "44")
BRANDS: Final = ("Alder", "Brook", "Cairn", "Dune", "Ember", "Fjord")
FOREIGN: Final = (
    "Zapatos ñandú 👟",
    "Überjacke für Übergrößen",
    "运动鞋 夏季特价",
    "Кроссовки «Ветер»",
    "حذاء الجري",
    "ランニングシューズ",
)
REFERRERS: Final = (
    "https://www.google.com/",
    "https://www.bing.com/",
    "https://duckduckgo.com/",
    "https://www.instagram.com/",
    "https://www.facebook.com/",
    "https://t.co/",
    "https://news.example.org/best-trail-shoes",
    "https://mail.example.net/",
)


@dataclass(frozen=True, slots=True)
class Product:
    """Something to buy; prices in cents."""

    sku: str
    name: str
    brand: str
    category: str
    colour: str
    size: str
    price_cents: int


@dataclass(frozen=True, slots=True)
class Page:
    """A page of the shop, or a screen of its app."""

    kind: PageKind
    path: str
    title: str
    product: Product | None = None


@lru_cache(PAGES_KEPT)
def page(rank: int) -> Page:
    """The page of this rank."""
    if rank == 0:
        return Page("home", "/", "Shop - everything for outside")
    kind = KINDS[rank % len(KINDS)]
    category = CATEGORIES[rank % len(CATEGORIES)]
    if kind == "product":
        item = product(rank)
        path = f"/{category}/{item.name.lower().replace(' ', '-')}-{item.sku.lower()}"
        return Page(kind, path, f"{item.name} - {item.colour} | Shop", item)
    if kind == "category":
        return Page(kind, f"/{category}?page={rank // len(CATEGORIES) + 1}", f"{category.title()} | Shop")
    if kind == "search":
        words = f"{STYLES[rank % len(STYLES)]} {THINGS[rank % len(THINGS)]}".lower()
        return Page(kind, f"/search?q={words.replace(' ', '+')}", f"Results for {words} | Shop")
    return Page(kind, f"/journal/{rank:04d}-how-to-choose-{category}", f"How to choose {category} | Journal")


def product(rank: int) -> Product:
    """The product of this rank."""
    name = f"{STYLES[rank * 7 % len(STYLES)]} {THINGS[rank * 5 % len(THINGS)]}"
    return Product(
        sku=f"SKU-{10_000 + rank * 37 % 89_999}",
        name=name,
        brand=BRANDS[rank * 11 % len(BRANDS)],
        category=CATEGORIES[rank % len(CATEGORIES)],
        colour=COLOURS[rank * 3 % len(COLOURS)],
        size=SIZES[rank * 13 % len(SIZES)],
        price_cents=990 + rank * 733 % 24_000,
    )
