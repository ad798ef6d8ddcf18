"""A ScanSpec made ready for the walk: takes paths and keys, gives trees of the keys that matter."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from _native.cells import ID, VALUE, Path

PATH_KEYS_MAX: Final = 32  # a walk calls itself once for each key of a path
KEY_BYTES_MAX: Final = 255


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


def encoded(key: str) -> bytes:
    """A key as it stands in a body without escapes."""
    name = key.encode()
    if len(name) > KEY_BYTES_MAX:
        raise ValueError(f"expected a key of at most {KEY_BYTES_MAX} bytes, got {len(name)}: {key[:40]}…")
    return name


def grow(root: Node, path: Path, slot: int) -> None:
    """Adds a path to a tree; `slot` is set by its last key and starts anew with every key on the way."""
    if len(path) > PATH_KEYS_MAX:
        raise ValueError(f"expected a path of at most {PATH_KEYS_MAX} keys, got {len(path)}: {path}")
    root.below.append(slot)
    for key in path:
        root = root.children.setdefault(encoded(key), Node())
        root.below.append(slot)
    root.slots.append(slot)


@lru_cache(maxsize=256)
def plan(
    roles: tuple[tuple[int, tuple[Path, ...]], ...],
    batch_keys: tuple[str, ...],
    envelope: tuple[tuple[str, Path], ...],
) -> Plan:
    """Cached, for a dialect's spec serves all of its requests. Raises ValueError for a role, path or key that
    is out of bounds."""
    top, event, slots = Node(), Node(), 0
    choices: list[tuple[int, tuple[int, ...]]] = []
    for role, paths in roles:
        if not ID <= role <= VALUE:
            raise ValueError(f"expected a role from {ID} to {VALUE}, got {role}")
        for offset, path in enumerate(paths):
            grow(event, path, slots + offset)
            grow(top, path, slots + offset)
        choices.append((role, tuple(range(slots, slots + len(paths)))))
        slots += len(paths)
    names = [(name, slots + index) for index, (name, _) in enumerate(envelope)]
    for index, (_, path) in enumerate(envelope):
        grow(top, path, slots + index)
    for index, key in enumerate(batch_keys):
        top.children.setdefault(encoded(key), Node()).batch = index
    return Plan(top, event, choices, names, slots + len(envelope))
