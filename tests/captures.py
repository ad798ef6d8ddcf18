"""Recorded requests of real SDKs, `sdk-captures` beside the checkout; skipped by name where it is absent."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).resolve().parent.parent.parent / "shared" / "sdk-captures"


@dataclass
class Recorded:
    """One recorded request and the events that it carries."""

    scenario: str
    kind: str
    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes
    events: list[dict[str, Any]] = field(default_factory=list)

    def header(self, name: str) -> str:
        return next((value for key, value in self.headers if key.lower() == name), "")


def recorded(name: str) -> list[Recorded]:
    """The requests of one file whose body was kept, in the order of their arrival."""
    path = FOLDER / f"{name}.jsonl"
    if not path.exists():
        pytest.skip(f"{path.name}: no sdk-captures beside the checkout")
    found = []
    for line in path.read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        if entry["record"] != "request" or entry.get("body_left_out"):
            continue
        found.append(
            Recorded(
                scenario=entry["scenario"],
                kind=entry["kind"],
                method=entry["method"],
                target=entry["target"],
                headers=[(key, value) for key, value in entry["headers"]],
                body=base64.b64decode(entry.get("body_b64", "")),
                events=entry.get("events", []),
            )
        )
    return found
