"""Who visits: takes a seed and the rank of a person, gives their ids, device, browser, clock.

The same rank of the same seed is the same person in every session. Strings of agents have the public form of
each browser family with a version drawn by use; addresses are of the blocks reserved for documentation.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from random import Random
from typing import Final

from loadtest.chance import between, log_normal, pick, pick_weighted, zipf_rank
from loadtest.profile import Profile, read_profile

PEOPLE_KEPT: Final = 20_000
VERSIONS: Final = 12  # of each browser, the newest first
_CHROME_NEWEST: Final = 145
_WEBKIT: Final = "AppleWebKit/605.1.15 (KHTML, like Gecko)"
_BLINK: Final = "AppleWebKit/537.36 (KHTML, like Gecko)"
_IPHONE: Final = "(iPhone; CPU iPhone OS 18_{minor} like Mac OS X)"

AGENTS: Final[dict[tuple[str, bool], tuple[str, ...]]] = {  # by family and whether it is a phone
    ("chrome", True): (
        f"Mozilla/5.0 (Linux; Android 10; K) {_BLINK} Chrome/{{major}}.0.0.0 Mobile Safari/537.36",
    ),
    ("chrome", False): (
        f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {_BLINK} Chrome/{{major}}.0.0.0 Safari/537.36",
        f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {_BLINK} Chrome/{{major}}.0.0.0 Safari/537.36",
        f"Mozilla/5.0 (X11; Linux x86_64) {_BLINK} Chrome/{{major}}.0.0.0 Safari/537.36",
    ),
    ("safari", True): (f"Mozilla/5.0 {_IPHONE} {_WEBKIT} Version/18.{{minor}} Mobile/15E148 Safari/604.1",),
    ("safari", False): (
        f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {_WEBKIT} Version/18.{{minor}} Safari/605.1.15",
    ),
    ("in_app", True): (f"Mozilla/5.0 {_IPHONE} {_WEBKIT} Mobile/15E148 Instagram {{major}}.0.0.24.109",),
    ("edge", False): (
        f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {_BLINK} Chrome/{{major}}.0.0.0 Edg/{{major}}.0.0.0",
    ),
    ("firefox", False): (
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:{major}.0) Gecko/20100101 Firefox/{major}.0",
    ),
}
BOTS: Final = (
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)",
    "Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)",
    "python-requests/2.32.3",
    "curl/8.9.1",
    "Feedly/1.0 (poller)",
)
SCREENS: Final = {
    True: ((390, 844), (393, 852), (412, 915)),
    False: ((1920, 1080), (1440, 900), (2560, 1440)),
}
LOCALES: Final = {
    "US": ("en-US", "America/New_York"),
    "GB": ("en-GB", "Europe/London"),
    "CA": ("en-CA", "America/Toronto"),
    "AU": ("en-AU", "Australia/Sydney"),
    "IN": ("en-IN", "Asia/Kolkata"),
    "TH": ("th-TH", "Asia/Bangkok"),
    "FR": ("fr-FR", "Europe/Paris"),
    "DE": ("de-DE", "Europe/Berlin"),
    "MX": ("es-MX", "America/Mexico_City"),
    "ES": ("es-ES", "Europe/Madrid"),
    "JP": ("ja-JP", "Asia/Tokyo"),
}
NETWORKS: Final = ("192.0.2", "198.51.100", "203.0.113")  # RFC 5737


@dataclass(frozen=True, slots=True)
class Person:
    """One visitor and the device they use. `clock_off_us`: what their clock shows more than the true time."""

    rank: int
    user_id: str | None
    anonymous_id: str
    agent: str
    address: str
    country: str
    locale: str
    zone: str
    phone: bool
    app: bool
    automated: bool
    screen: tuple[int, int]
    clock_off_us: int


@lru_cache(PEOPLE_KEPT)
def person(seed: int, rank: int) -> Person:
    """The person of this rank; 0 comes most often."""
    chance = Random(f"{seed}/person/{rank}")  # noqa: S311 - a made-up visitor
    profile = read_profile()
    figures = profile.people
    automated = chance.random() < figures.automated_share
    app = not automated and chance.random() < figures.mobile_app_share
    phone = app or (not automated and chance.random() < profile.agents.mobile_share)
    country = pick_weighted(chance, figures.countries)
    locale, zone = LOCALES[country]
    return Person(
        rank=rank,
        user_id=f"user-{rank:06d}" if not automated and chance.random() < figures.known_share else None,
        anonymous_id=_uuid(chance),
        agent=_agent(chance, profile, phone, app, automated),
        address=f"{pick(chance, NETWORKS)}.{between(chance, 1, 254)}",
        country=country,
        locale=locale,
        zone=zone,
        phone=phone,
        app=app,
        automated=automated,
        screen=pick(chance, SCREENS[phone]),
        clock_off_us=_clock_off_us(chance, profile),
    )


def _agent(chance: Random, profile: Profile, phone: bool, app: bool, automated: bool) -> str:
    if automated:
        return pick(chance, BOTS)
    version = zipf_rank(chance, VERSIONS, profile.popularity.agent_zipf_s)
    if app:
        return f"ShopApp/4.{VERSIONS - version} (iOS 18.{VERSIONS - version})"
    families = {name: share for name, share in profile.agents.families.items() if (name, phone) in AGENTS}
    family = pick_weighted(chance, families)
    text = pick(chance, AGENTS[family, phone])
    return text.format(major=_CHROME_NEWEST - version, minor=VERSIONS - version)


def _clock_off_us(chance: Random, profile: Profile) -> int:
    """Microseconds; a clock that is right is still off by some seconds."""
    figures = profile.time
    sign = 1 if chance.random() < 0.5 else -1
    if chance.random() < figures.wrong_clock_share:
        return sign * int((60 + log_normal(chance, figures.wrong_clock_mu, figures.wrong_clock_sigma)) * 1e6)
    return sign * int(chance.random() * 2e6)


def _uuid(chance: Random) -> str:
    """A UUID of version 4 (RFC 9562), from the source of random numbers."""
    words = [int(chance.random() * (1 << 32)) for _ in range(4)]
    text = "".join(f"{word:08x}" for word in words)
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-a{text[17:20]}-{text[20:]}"
