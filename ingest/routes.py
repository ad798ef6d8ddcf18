"""Which dialect has a path: takes method and path, gives the routes that share it, or what exists instead."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from ingest.dialects import Dialect, Route
from ingest.errors import IngestError


class Hit(NamedTuple):
    """A route, its dialect, and what stood in the path where the route has `{name}`."""

    route: Route
    dialect: Dialect
    segments: dict[str, str]
    owner: str = ""  # the source whose own path it is


class Routes:
    """All paths. A slash at the end of a path, more or less, makes no difference."""

    def __init__(self, dialects: Iterable[Dialect], own: Mapping[str, Mapping[str, str]]) -> None:
        """`own`: by source its own paths and what they stand for. IngestError where that can't be."""
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
        for source, paths in own.items():
            for path, target in paths.items():
                self._add_own(source, path.rstrip("/") or "/", target)

    def _add_own(self, source: str, path: str, target: str) -> None:
        if self.methods(path):
            raise IngestError("path_taken", f"sources.{source}.paths: {path} is an SDK path already")
        if not (methods := self.methods(target)):
            text = f"sources.{source}.paths.{path} = {target!r}: expected an SDK path such as /v1/batch"
            raise IngestError("path_unknown", text)
        for method in methods:
            hits = self.get(method, target)
            self._fixed[method, path] = tuple(hit._replace(owner=source) for hit in hits)

    def get(self, method: str, path: str) -> tuple[Hit, ...]:
        """The routes of a method and path, those with `matches` first; empty where there is none."""
        found = self._fixed.get((method, path))
        return self._sought(method, path) if found is None else found

    def fixed(self, method: str) -> dict[str, tuple[Hit, ...]]:
        """All paths of a method that are written without `{name}`, and their routes."""
        return {path: hits for (its, path), hits in self._fixed.items() if its == method}

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
