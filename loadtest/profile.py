"""The figures of real traffic, from which events are made: takes profile.toml, gives one frozen model.

Figures, not rows: how long sessions are, how far apart their events, how skewed users and pages, how large an
event. profile.toml names the public set that each was measured on, and what is a choice.
"""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files

from pydantic import BaseModel, ConfigDict, Field

Share = float


class Part(BaseModel):
    """A table of profile.toml: unknown keys are refused, values never change."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class SessionFigures(Part):
    """Events per session and the seconds between them."""

    single_event_share: Share
    events_mu: float
    events_sigma: float
    events_max: int = Field(ge=2)
    gap_under_1s_share: Share
    gap_mu: float
    gap_sigma: float
    gap_seconds_max: float


class PopularityFigures(Part):
    """Exponents of Zipf's law (share of rank r ~ r^-s), and how many there are."""

    page_zipf_s: float
    user_zipf_s: float
    agent_zipf_s: float
    users: int = Field(ge=1)
    pages: int = Field(ge=10)


class SizeFigures(Part):
    """One hump of the sizes: log-normal of bytes of JSON."""

    kind: str
    weight: Share
    mu: float
    sigma: float


class PeopleFigures(Part):
    """Who they are, as shares of sessions."""

    known_share: Share
    referrer_share: Share
    automated_share: Share
    mobile_app_share: Share
    foreign_script_share: Share
    countries: dict[str, Share]


class AgentFigures(Part):
    """Browser families by use."""

    families: dict[str, Share]
    mobile_share: Share


class ShopFigures(Part):
    """Carts and orders, as shares of all events."""

    cart_share: Share
    order_share: Share


class TimeFigures(Part):
    """Seconds from event to request, clocks that are wrong, repeats, the curve of a day and a week."""

    delay_p50_s: float
    delay_p90_s: float
    delay_p99_s: float
    delay_p99_9_s: float
    delay_max_s: float
    wrong_clock_share: Share
    wrong_clock_mu: float
    wrong_clock_sigma: float
    repeats_share: Share
    repeat_seconds_max: float
    hourly_share: tuple[Share, ...] = Field(min_length=24, max_length=24)
    weekday_over_mean: tuple[float, ...] = Field(min_length=7, max_length=7)


class CompressionFigures(Part):
    """zstd level 3, lowest and highest ratio of the real web sets, by events per batch."""

    batch_1: tuple[float, float]
    batch_10: tuple[float, float]
    batch_100: tuple[float, float]


class Profile(Part):
    """All figures."""

    session: SessionFigures
    popularity: PopularityFigures
    size: tuple[SizeFigures, ...]
    people: PeopleFigures
    agents: AgentFigures
    shop: ShopFigures
    time: TimeFigures
    compression: CompressionFigures


@cache
def read_profile() -> Profile:
    """The project's own profile."""
    text = files("loadtest").joinpath("profile.toml").read_text(encoding="utf-8")
    return Profile.model_validate(tomllib.loads(text))
