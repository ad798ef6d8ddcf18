"""A ScanSpec made ready for the walk: takes paths and keys, gives trees of the keys that matter."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

from _native.cells import Path


@dataclass(slots=True)
class Node:
    """A key that some path goes through: its value sets `slots`, and all `below` start anew with it."""

    children: dict[bytes, Node] = field(default_factory=dict)
    slots: list[int] = field(default_factory=list)
    below: list[int] = field(default_factory=list)
    batch: int = -1


@dataclass(slots=True)
class Plan:
    """A ScanSpec made ready: the paths as trees, and per role its slots in order of preference."""

    top: Node
    event: Node
    choices: list[tuple[int, tuple[int, ...]]]
    names: list[tuple[str, int]]
    slots: int


def grow(root: Node, path: Path, slot: int) -> None:
    """Adds a path to a tree; `slot` is set by its last key and starts anew with every key on the way."""
    root.below.append(slot)
    for key in path:
        root = root.children.setdefault(key.encode(), Node())
        root.below.append(slot)
    root.slots.append(slot)


@lru_cache(maxsize=256)
def plan(
    roles: tuple[tuple[int, tuple[Path, ...]], ...],
    batch_keys: tuple[str, ...],
    envelope: tuple[tuple[str, Path], ...],
) -> Plan:
    """Cached, for a dialect's spec serves all of its requests."""
    top, event, slots = Node(), Node(), 0
    choices: list[tuple[int, tuple[int, ...]]] = []
    for role, paths in roles:
        for offset, path in enumerate(paths):
            grow(event, path, slots + offset)
            grow(top, path, slots + offset)
        choices.append((role, tuple(range(slots, slots + len(paths)))))
        slots += len(paths)
    names = [(name, slots + index) for index, (name, _) in enumerate(envelope)]
    for index, (_, path) in enumerate(envelope):
        grow(top, path, slots + index)
    for index, key in enumerate(batch_keys):
        top.children.setdefault(key.encode(), Node()).batch = index
    return Plan(top, event, choices, names, slots + len(envelope))
