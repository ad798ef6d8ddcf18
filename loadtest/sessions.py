"""Sessions of a web shop: takes a seed and the profile, gives events as neutral records in order of time.

A session is one person going from page to page: views, products, searches, carts, orders; screens in the app.
How long it is, how far apart its events are, who comes and what they look at follows profile.toml. Each
session depends on nothing but the seed and its number, so that several processes can share a run.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count
from math import log
from random import Random
from typing import Any, Final

from loadtest.chance import between, by_quantiles, log_normal, pick, zipf_rank
from loadtest.detail import furnish
from loadtest.ids import event_id
from loadtest.itinerary import Step, steps
from loadtest.people import Person, person
from loadtest.profile import Profile, SizeFigures, read_profile
from loadtest.shop import FOREIGN, REFERRERS, Page

US: Final = 1_000_000  # microseconds of a second
BOT_GAP_SECONDS: Final = 1.5  # programs go on at once
HOUR_US: Final = 3600 * US
DELAY_SECONDS_MIN: Final = 0.03
EVEN_SIGMA: Final = 0.02  # spread of sizes (of their logarithm) where one size is asked for


@dataclass(frozen=True, slots=True)
class Event:
    """One event: kind is page, screen, track or identify.

    Times in µs since 1970: `due_us` is when its request leaves, the others are what the client's clock says.
    `attempt` counts from 0; a later one is the same event, sent again.
    """

    number: int
    id: str
    kind: str
    name: str
    person: Person
    page: Page
    properties: dict[str, Any]
    context: dict[str, Any]
    made_us: int
    sent_us: int
    due_us: int
    attempt: int = 0


def session(
    seed: int, number: int, begins_us: int, first_event: int = 0, *, event_bytes: int | None = None
) -> list[Event]:
    """All events of session `number`, repeats too; they are numbered from `first_event`.

    `event_bytes`: about the size of every event's JSON, in place of the profile's mixture of sizes.
    """
    profile = read_profile()
    chance = Random(f"{seed}/session/{number}")  # noqa: S311 - made-up traffic
    popularity = profile.popularity
    visitor = person(seed, zipf_rank(chance, popularity.users, popularity.user_zipf_s))
    referrer = pick(chance, REFERRERS) if chance.random() < profile.people.referrer_share else None
    size = _size(chance, profile) if event_bytes is None else _even(event_bytes)
    due_us = begins_us
    events: list[Event] = []
    for index, step in enumerate(steps(chance, visitor, _length(chance, profile))):
        due_us += _gap_us(chance, profile, visitor) if index else 0
        event = _event(chance, profile, visitor, step, referrer, size)
        number_ = first_event + index
        events.append(
            _timed(chance, profile, replace(event, number=number_, id=event_id(seed, number_)), due_us)
        )
    return events + [_repeated(chance, profile, event) for event in events if _repeats(chance, profile)]


def stream(
    seed: int,
    sessions_per_second: float,
    begins_us: int,
    *,
    daily: bool = False,
    event_bytes: int | None = None,
) -> Iterator[Event]:
    """Events without end, in order of `due_us`; sessions begin by chance at that rate (a Poisson process).

    `daily`: the rate follows the measured curve of a day and a week, its mean stays. `event_bytes` as for
    `session`. The first half hour has
    fewer events, as no session is under way when it begins. Held in memory: what is to come of the sessions
    under way, about a thousand events for each session per second.
    """
    chance = Random(f"{seed}/arrivals")  # noqa: S311 - made-up traffic
    profile = read_profile()
    highest = max(profile.time.hourly_share) * 24 * max(profile.time.weekday_over_mean) if daily else 1.0
    waiting: list[tuple[int, int, Event]] = []
    order = count()
    next_session = next_event = 0
    begins = float(begins_us)
    while True:
        begins -= log(1 - chance.random()) / (sessions_per_second * highest) * US
        if daily and chance.random() * highest > rate_factor(profile, int(begins)):
            continue
        while waiting and waiting[0][0] <= begins:
            yield heapq.heappop(waiting)[2]
        events = session(seed, next_session, int(begins), next_event, event_bytes=event_bytes)
        next_session += 1
        next_event += sum(not event.attempt for event in events)
        for event in events:
            heapq.heappush(waiting, (event.due_us, next(order), event))


def rate_factor(profile: Profile, now_us: int) -> float:
    """The rate at a moment (UTC) as a multiple of the mean."""
    hours = now_us // HOUR_US
    weekday = (hours // 24 + 3) % 7  # 1 January 1970 was a Thursday
    return profile.time.hourly_share[hours % 24] * 24 * profile.time.weekday_over_mean[weekday]


def _length(chance: Random, profile: Profile) -> int:
    figures = profile.session
    if chance.random() < figures.single_event_share:
        return 1
    drawn = log_normal(chance, figures.events_mu, figures.events_sigma)
    return min(max(2, round(drawn)), figures.events_max)


def _gap_us(chance: Random, profile: Profile, visitor: Person) -> int:
    figures = profile.session
    if visitor.automated:
        return int(BOT_GAP_SECONDS * (0.5 + chance.random()) * US)
    if chance.random() < figures.gap_under_1s_share:
        return int(chance.random() * US)
    seconds = max(1.0, log_normal(chance, figures.gap_mu, figures.gap_sigma))
    return int(min(seconds, figures.gap_seconds_max) * US)


def _even(event_bytes: int) -> SizeFigures:
    return SizeFigures(kind="even", weight=1, mu=log(event_bytes), sigma=EVEN_SIGMA)


def _size(chance: Random, profile: Profile) -> SizeFigures:
    left = chance.random() * sum(size.weight for size in profile.size)
    for size in profile.size:
        left -= size.weight
        if left < 0:
            return size
    return profile.size[-1]


def _event(
    chance: Random, profile: Profile, visitor: Person, step: Step, referrer: str | None, size: SizeFigures
) -> Event:
    """The event of a step, all but its number and times."""
    properties = dict(step.properties)
    if chance.random() < profile.people.foreign_script_share:
        properties["label"] = pick(chance, FOREIGN)
    told: dict[str, Any] = {
        "type": step.kind,
        "event": step.name,
        "id": visitor.anonymous_id,  # the fields that every event has, for their size
        "userId": visitor.user_id,
        "anonymousId": visitor.anonymous_id,
        "timestamp": "2026-11-23T10:00:00.000Z",
        "context": {},
        "properties": properties,
    }
    furnish(chance, visitor, step.page, referrer, told, int(log_normal(chance, size.mu, size.sigma)))
    return Event(
        0, "", step.kind, step.name, visitor, step.page, told["properties"], told["context"], 0, 0, 0
    )


def _timed(chance: Random, profile: Profile, event: Event, due_us: int) -> Event:
    """Made some time before its request leaves, and told by a clock that may be wrong."""
    figures = profile.time
    points = (
        (0.0, DELAY_SECONDS_MIN),
        (0.5, figures.delay_p50_s),
        (0.9, figures.delay_p90_s),
        (0.99, figures.delay_p99_s),
        (0.999, figures.delay_p99_9_s),
        (1.0, figures.delay_max_s),
    )
    delay_us = int(by_quantiles(chance, points) * US)
    sent_us = due_us + event.person.clock_off_us
    return replace(event, made_us=sent_us - delay_us, sent_us=sent_us, due_us=due_us)


def _repeats(chance: Random, profile: Profile) -> bool:
    return chance.random() < profile.time.repeats_share


def _repeated(chance: Random, profile: Profile, event: Event) -> Event:
    wait_us = between(chance, US // 10, int(profile.time.repeat_seconds_max * US))
    return replace(event, sent_us=event.sent_us + wait_us, due_us=event.due_us + wait_us, attempt=1)
