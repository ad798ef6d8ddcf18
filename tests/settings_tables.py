"""The configuration tables of the README, made from the settings; run as a script it writes them.

tests/test_headrace_readme.py fails when the README says something else.
"""

from __future__ import annotations

import sys
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from headrace.settings import KafkaSettings, TopicSettings
from ingest import settings as door
from sink import settings as landing

README = Path(__file__).resolve().parent.parent / "README.md"
BEGIN, END = "<!-- settings: begin -->", "<!-- settings: end -->"
TABLES: tuple[tuple[str, type[BaseModel]], ...] = (
    ("collector", door.CollectorSettings),
    ("kafka", KafkaSettings),
    ("lake", landing.LakeSettings),
    ("sources.NAME", door.SourceSettings),
    ("sources.NAME.privacy", door.PrivacySettings),
    ("sources.NAME.limits", door.SourceLimitSettings),
    ("limits", door.LimitSettings),
    ("topics.NAME", TopicSettings),
    ("topics.NAME.columns", landing.ColumnSettings),
    ("spool", door.SpoolSettings),
    ("sink", landing.SinkSettings),
)
SIGNS = (("ge", "≥"), ("gt", ">"), ("le", "≤"), ("lt", "<"))


def tables() -> str:
    return "\n".join(line for name, model in TABLES for line in table(name, model))


def table(name: str, model: type[BaseModel]) -> Iterator[str]:
    yield from (
        "",
        f"**`[{name}]`**",
        "",
        "| key | default | bounds | meaning |",
        "| --- | --- | --- | --- |",
    )
    for key, field in model.model_fields.items():
        assert field.description, f"[{name}] {key} has no description"
        yield f"| `{key}` | {default(field)} | {bounds(field)} | {field.description} |"


def bounds(field: FieldInfo) -> str:
    if typing.get_origin(field.annotation) is typing.Literal:
        return ", ".join(f"`{word}`" for word in typing.get_args(field.annotation))
    found = []
    for constraint in field.metadata:
        for name, sign in SIGNS:
            value = getattr(constraint, name, None)
            if value is not None:
                found.append(f"{sign} {number(value)}")
    return ", ".join(found)


def default(field: FieldInfo) -> str:
    value: Any = field.default
    if field.is_required():
        return "required"
    if value is None or isinstance(value, BaseModel):
        return "-"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return number(value)
    return f"`{value}`" if value and isinstance(value, str) else f"`{value[0]}`" if value else "-"


def number(value: float) -> str:
    for unit, size in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if isinstance(value, int) and value >= size and value % size == 0:
            return f"{value // size} {unit}"
    return f"{value:g}" if isinstance(value, float) else f"{value:,}" if value > 9999 else str(value)


def section() -> str:
    """What stands between the marks of the README now."""
    return README.read_text().partition(BEGIN)[2].partition(END)[0].strip("\n")


if __name__ == "__main__":
    text = README.read_text()
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    if not after:
        sys.exit(f"{README} has no {BEGIN} … {END}")
    README.write_text(f"{before}{BEGIN}\n{tables()}\n\n{END}{after}")
