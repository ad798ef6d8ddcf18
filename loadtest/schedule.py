"""When each request is due: takes a rate, gives due times in seconds from the start, in order.

A schedule knows nothing of answers (open loop): a server that stalls does not slow the arrivals down, and
what was due meanwhile counts from its due time. Arrivals of many independent users are a Poisson process:
gaps are exponential, seeded, so that two runs with one seed ask at the same moments.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

Rate = Callable[[float], float]
"""Requests per second at a time in seconds from the start."""


def poisson(rate: Rate, rate_max: float, seconds: float, seed: int) -> Iterator[float]:
    """Due times of a Poisson process whose rate changes; `rate(t)` must never exceed `rate_max`.

    By thinning: candidates come at `rate_max` and are kept with probability rate / rate_max.
    Source: Lewis and Shedler, Simulation of nonhomogeneous Poisson processes by thinning, 1979.
    """
    chance = random.Random(seed)  # noqa: S311 - a schedule, no secret
    at = 0.0
    while (at := at + chance.expovariate(rate_max)) < seconds:
        now = rate(at)
        assert now <= rate_max * (1 + 1e-9), f"rate {now} at {at} s, but rate_max is {rate_max}"
        if chance.random() * rate_max < now:
            yield at


def even(rate: float, seconds: float) -> Iterator[float]:
    """Due times at equal gaps, the first at once."""
    for number in range(int(rate * seconds)):
        yield number / rate


def at_once() -> Iterator[float]:
    """Closed loop: the next request is always due, so connections are never idle; endless.

    Only to find a ceiling: latency says nothing then.
    """
    while True:
        yield 0.0
