"""Which dialect has a path: takes method and path, gives the routes that share it, or what exists instead."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from ingest.dialects import Dialect, Route


class Hit(NamedTuple):
    """A route, its dialect, and what stood in the path where the route has `{name}`."""

    route: Route
    dialect: Dialect
    segments: dict[str, str]


class Routes:
    """All paths. A slash at the end of a path, more or less, makes no difference."""

    def __init__(self, dialects: Iterable[Dialect]) -> None:
        self.all: list[tuple[Route, Dialect]] = [
            (route, dialect) for dialect in dialects for route in dialect.routes
        ]
        self._fixed: dict[tuple[str, str], tuple[Hit, ...]] = {}
        self._open: list[tuple[str, tuple[str, ...], Route, Dialect]] = []
        # A dialect that takes everything comes after those that look first.
        for route, dialect in sorted(self.all, key=lambda pair: pair[1].matches is None):
            if "{" in route.path:
                self._open.append((route.method, tuple(route.path.split("/")), route, dialect))
            else:
                key = route.method, route.path
                self._fixed[key] = (*self._fixed.get(key, ()), Hit(route, dialect, {}))

    def get(self, method: str, path: str) -> tuple[Hit, ...]:
        """The routes of a method and path, those with `matches` first; empty where there is none."""
        found = self._fixed.get((method, path))
        return self._sought(method, path) if found is None else found

    def methods(self, path: str) -> set[str]:
        """The methods that a path has."""
        return {method for method in ("GET", "POST") if self.get(method, path)}

    def _sought(self, method: str, path: str) -> tuple[Hit, ...]:
        path = path.rstrip("/") or "/"
        found = self._fixed.get((method, path))
        if found is not None:
            return found
        words = path.split("/")
        return tuple(
            Hit(
                route,
                dialect,
                {name[1:-1]: word for name, word in zip(pattern, words, strict=True) if name[:1] == "{"},
            )
            for wanted, pattern, route, dialect in self._open
            if wanted == method and _fits(pattern, words)
        )


def _fits(pattern: tuple[str, ...], words: list[str]) -> bool:
    return len(pattern) == len(words) and all(
        word == name or (name[:1] == "{" and word) for name, word in zip(pattern, words, strict=True)
    )
