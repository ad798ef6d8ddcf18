"""Inside doctor: one check and its outcome, in the words that a person reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Area: TypeAlias = Literal["settings", "program", "kafka", "lake", "disk", "clock"]
State: TypeAlias = Literal["ok", "note", "wrong"]


@dataclass(frozen=True, slots=True)
class Check:
    """What was tried and how it came out; `todo` says how to mend it. `note`: works, but should be known."""

    area: Area
    state: State
    text: str
    todo: str = ""
