"""What is wrong in a configuration: takes pydantic's faults, gives a line each that says what is expected.

Values of secrets are never shown, nor are tables, which may hold them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Any, Final, get_args

from pydantic import BaseModel, ValidationError

SHOWN_CHARS_MAX: Final = 80  # of a bad value
SECRETS: Final = ("write_keys", "password")
NEAR: Final = 0.6  # of 1: how alike a key must be to be meant
EXPECTED: Final = {  # by pattern, wherever the settings have one; a test looks for each
    r"^[a-zA-Z0-9][a-zA-Z0-9._-]{0,199}$": (
        "1 to 200 letters, digits, points, underscores and hyphens, a letter or digit first"
    ),
    r"^/[A-Za-z0-9._~/-]{1,200}$": "a path such as /in/web, of letters, digits and . _ ~ / -, at most 201",
    r"^[A-Za-z_][A-Za-z0-9_]{0,99}$": "1 to 100 letters, digits and underscores, no digit first",
    r"^$|^(s3://[^/]+(/.*)?|file:///.+)$": "s3://bucket/prefix or file:///path",
    r"^https?://": "a URL that begins with http:// or https://",
    r"^\$(\.[^.\[\]\s]+)+$": "a path such as $.properties.price",
}


def explained(error: ValidationError, model: type[BaseModel], place: str) -> str:
    """All faults, one a line; one alone on the line of its place."""
    lines = [line(fault, model) for fault in error.errors(include_url=False)]
    if len(lines) == 1:
        return f"{place}: {lines[0]}"
    return "\n  ".join([f"{place}: {len(lines)} mistakes", *lines])


def line(fault: Any, model: type[BaseModel]) -> str:
    """One fault: key, what came, what was expected."""
    words = [str(word) for word in fault["loc"]]
    is_name = words[-1:] == ["[key]"]
    key = ".".join(words[:-1] if is_name else words)
    if is_name:
        return f"{key}: the name: {expectation(fault)}"
    if fault["type"] == "extra_forbidden":
        return f"{key}{_shown(key, fault['input'])}: {_unknown(model, words)}"
    if fault["type"] == "missing":
        return f"{key}: is missing"
    return f"{key}{_shown(key, fault['input'])}: {expectation(fault)}"


def expectation(fault: Any) -> str:
    """What was expected, in our own words where pydantic's are for programmers."""
    context = fault.get("ctx") or {}
    if fault["type"] == "string_pattern_mismatch":
        return f"expected {EXPECTED.get(context['pattern'], context['pattern'])}"
    if fault["type"] in ("model_type", "model_attributes_type", "dict_type"):
        return "expected a table"
    words = str(fault["msg"]).removeprefix("Value error, ")
    return words.replace("Input should be ", "expected ", 1)


def near(word: str, known: Iterable[str]) -> str:
    """The key that was meant, or all that there are."""
    names = sorted(known)
    meant = get_close_matches(word, names, 1, NEAR)
    return f"did you mean {meant[0]}?" if meant else f"expected one of {', '.join(names)}"


def _shown(key: str, value: Any) -> str:
    """` = value`; nothing for a table."""
    if any(secret in key for secret in SECRETS):
        return " = (not shown)"
    if isinstance(value, dict | BaseModel):
        return ""
    return f" = {repr(value)[:SHOWN_CHARS_MAX]}"


def _unknown(model: type[BaseModel], words: Sequence[str]) -> str:
    """An unknown key, with those of its table."""
    table = _table(model, words[:-1])
    return "no such key" + (f"; {near(words[-1], table.model_fields)}" if table else "")


def _table(model: type[BaseModel], words: Sequence[str]) -> type[BaseModel] | None:
    """The model of the table that the words lead to; None where they lead to none."""
    found: Any = model
    for word in words:
        if isinstance(found, type) and issubclass(found, BaseModel):
            field = found.model_fields.get(word)
            found = field.annotation if field else None
        else:
            found = next(iter(get_args(found)[1:]), None)  # of dict[name, table]
    return found if isinstance(found, type) and issubclass(found, BaseModel) else None
