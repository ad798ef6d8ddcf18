"""One measurement of a sink: takes a contender and a topic that is full, gives events per CPU-second.

The sink starts on an empty lake and is done when as many rows can be seen as the topic has records: catch-up,
from the log to visible Parquet.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow.parquet as pq

from loadtest.contender import Contender, ContenderError, Running
from loadtest.kafka_topic import end_offsets

LOOK_SECONDS: Final = 0.25
LAND_SECONDS_MAX: Final = 300.0


@dataclass(frozen=True, slots=True)
class SinkFigures:
    """One run; `bytes_landed` of `files` together."""

    contender: str
    events: int
    cpu_seconds: float
    seconds: float
    files: int
    bytes_landed: int
    memory_bytes: int

    @property
    def events_per_cpu_second(self) -> float:
        """The figure that counts."""
        return self.events / self.cpu_seconds if self.cpu_seconds else 0.0


async def measure(contender: Contender, kafka: str, topic: str, folder: Path) -> SinkFigures:
    """Land the whole topic once; ContenderError where that takes too long. Suspends."""
    wanted = sum((await end_offsets(kafka, topic)).values())
    lake = folder / f"lake-{contender.name}"
    shutil.rmtree(lake, ignore_errors=True)
    lake.mkdir(parents=True)
    words = {"kafka": kafka, "topic": topic, "lake": str(lake)}
    began = time.monotonic()
    counted = _Counted(lake, contender.files.format_map(words))
    with Running(contender, folder / contender.name, words) as running:
        memory = 0
        while counted.rows() < wanted:
            running.check()
            if time.monotonic() - began > LAND_SECONDS_MAX:
                told = f"{counted.rows()} of {wanted} rows within {LAND_SECONDS_MAX} s"
                raise ContenderError(f"{contender.name} landed {told}")
            memory = max(memory, running.memory_bytes)
            await asyncio.sleep(LOOK_SECONDS)
        cpu, seconds = running.cpu_seconds, time.monotonic() - began
    found = counted.rows()
    if found != wanted:
        raise ContenderError(f"{contender.name} landed {found} rows of {wanted} records")
    sizes = [path.stat().st_size for path in counted.files()]
    shutil.rmtree(lake)
    return SinkFigures(contender.name, found, cpu, seconds, len(sizes), sum(sizes), memory)


class _Counted:
    """Rows of a growing lake by the footers alone; files never change, so each is read once."""

    def __init__(self, lake: Path, pattern: str) -> None:
        self._lake = lake
        self._pattern = pattern
        self._rows: dict[Path, int] = {}

    def files(self) -> list[Path]:
        return [path for path in self._lake.glob(self._pattern) if not path.name.startswith(".")]

    def rows(self) -> int:
        for path in self.files():
            if path not in self._rows:
                self._rows[path] = pq.read_metadata(path).num_rows
        return sum(self._rows.values())
