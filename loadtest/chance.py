"""Chance, the same on every run: takes a seeded source of random numbers, gives draws from given shapes.

Only `Random.random()` is used, which is the same for a seed in every version of Python (its documentation,
"Notes on Reproducibility").
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate, pairwise
from math import cos, exp, log, pi, sqrt
from random import Random
from typing import Final, TypeVar

T = TypeVar("T")

SHAPES_MAX: Final = 64  # tables of Zipf's law kept


def pick(chance: Random, items: Sequence[T]) -> T:
    """One of the items, each as likely."""
    return items[int(chance.random() * len(items))]


def pick_weighted(chance: Random, weights: dict[str, float]) -> str:
    """A name, by its weight; the weights need not add up to 1."""
    left = chance.random() * sum(weights.values())
    for name, weight in weights.items():
        left -= weight
        if left < 0:
            return name
    return next(reversed(weights))


def between(chance: Random, first: int, last: int) -> int:
    """A whole number, both ends included."""
    return first + int(chance.random() * (last - first + 1))


def log_normal(chance: Random, mu: float, sigma: float) -> float:
    """exp of a normal draw (Box and Muller 1958)."""
    radius = sqrt(-2 * log(1 - chance.random()))
    return exp(mu + sigma * radius * cos(2 * pi * chance.random()))


@lru_cache(SHAPES_MAX)
def _zipf_table(count: int, s: float) -> list[float]:
    return list(accumulate(rank**-s for rank in range(1, count + 1)))


def zipf_rank(chance: Random, count: int, s: float) -> int:
    """A rank from 0 to count - 1; that of rank r is as likely as (r + 1)^-s."""
    table = _zipf_table(count, s)
    return min(bisect_left(table, chance.random() * table[-1]), count - 1)


def by_quantiles(chance: Random, points: Sequence[tuple[float, float]]) -> float:
    """A draw whose quantiles are `points` (share, value), log-linear between them; values above 0."""
    drawn = chance.random()
    for (share, value), (share_next, value_next) in pairwise(points):
        if drawn <= share_next:
            part = (drawn - share) / (share_next - share)
            return exp(log(value) + part * (log(value_next) - log(value)))
    return points[-1][1]
