"""What arrives in the lake, for the screen: takes a lake on this disk, gives its newest rows."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import unquote, urlsplit

COLUMNS: Final = (
    "received_at", "event_type", "event_name", "user_id", "anonymous_id", "event_id", "source"
)  # fmt: skip
FILES_MAX: Final = 5  # that are opened for one look


class Arrival(NamedTuple):
    """One landed row, as far as the screen shows it; without type and name it is known by source and id."""

    received_at: datetime
    topic: str
    type: str
    name: str
    who: str


class Arrivals:
    """Looks at the folder of the hour; a lake elsewhere shows nothing."""

    def __init__(self, lake_url: str, topics: tuple[str, ...]) -> None:
        """`topics`: those that the sources send to."""
        parts = urlsplit(lake_url)
        self._root = Path(unquote(parts.path)) if parts.scheme == "file" else None
        self._topics = topics

    def newest(self, now: datetime, count: int) -> list[Arrival]:
        """The rows that were received last, the newest one last. Blocks: call it in a thread."""
        if self._root is None:
            return []
        hour = now.astimezone(UTC).strftime("date=%Y-%m-%d/hour=%H")
        files = sorted(
            (entry.stat().st_mtime_ns, topic, entry.path)
            for topic in self._topics
            for entry in _parquet(self._root / topic / hour)
        )
        rows: list[Arrival] = []
        for _, topic, path in files[-FILES_MAX:]:
            with suppress(OSError, ValueError):  # ArrowInvalid is one: the picture can do without this file
                rows.extend(_rows(Path(path), topic, count))
        return sorted(rows)[-count:]


def _parquet(folder: Path) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            yield from (entry for entry in entries if entry.name.endswith(".parquet"))
    except FileNotFoundError:
        return  # nothing landed in this hour yet


def _rows(path: Path, topic: str, count: int) -> Iterator[Arrival]:
    """The last rows of one file."""
    import pyarrow.parquet as parquet  # only who looks pays for it

    with parquet.ParquetFile(path) as file:
        groups = file.num_row_groups
        table = file.read_row_group(groups - 1, columns=list(COLUMNS)) if groups else None
    for row in [] if table is None else table.slice(max(0, table.num_rows - count)).to_pylist():
        told = {name: _text(row.get(name)) for name in COLUMNS[1:]}
        type_, name = told["event_type"], told["event_name"]
        if not type_ and not name:
            type_, name = told["source"], told["event_id"]
        yield Arrival(row["received_at"], topic, type_, name, told["user_id"] or told["anonymous_id"])


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value or "")
