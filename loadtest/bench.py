"""The bench: ours beside the straightforward reference, on the same real Kafka, in one run, in turn.

Takes the address of a Kafka and rows to measure, gives a table and a JSON document. Contenders alternate
A B A B, so that a machine whose speed drifts is unfair to none; what is quoted is the median and the ratio of
each pair. A wall-clock figure of a shared machine means nothing, events per CPU-second and a ratio do.
"""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from loadtest.bench_collector import CollectorFigures, CollectorRow
from loadtest.bench_collector import measure as measure_collector
from loadtest.bench_sink import SinkFigures
from loadtest.bench_sink import measure as measure_sink
from loadtest.contender import Contender

REFERENCE: Final = "reference"
Figures = CollectorFigures | SinkFigures


@dataclass(slots=True)
class RowResult:
    """All runs of one row, in the order in which they were made."""

    row: str
    runs: list[Figures] = field(default_factory=list)
    about: dict[str, Any] = field(default_factory=dict)

    def of(self, contender: str) -> list[float]:
        """Events per CPU-second of each of its runs."""
        return [run.events_per_cpu_second for run in self.runs if run.contender == contender]

    def ratios(self, contender: str) -> list[float]:
        """To the reference, pair by pair."""
        return [mine / its for mine, its in zip(self.of(contender), self.of(REFERENCE), strict=False) if its]


@dataclass(frozen=True, slots=True)
class Bench:
    """What every row needs; `rounds`: how often each contender runs."""

    kafka: str
    folder: Path
    rounds: int
    seed: int
    console: Console

    async def collectors(self, row: CollectorRow, contenders: Sequence[Contender]) -> RowResult:
        """Measure a row of collectors in turn. Suspends for minutes."""
        result = RowResult(row.name, about=_about(row))

        def measure(one: Contender) -> Awaitable[Figures]:
            return measure_collector(one, row, self.kafka, self.folder, self.seed)

        return await self._alternate(result, contenders, measure)

    async def sinks(self, name: str, topic: str, contenders: Sequence[Contender]) -> RowResult:
        """Measure sinks on a full topic in turn. Suspends for minutes."""

        def measure(one: Contender) -> Awaitable[Figures]:
            return measure_sink(one, self.kafka, topic, self.folder)

        return await self._alternate(RowResult(name), contenders, measure)

    async def _alternate(
        self,
        result: RowResult,
        contenders: Sequence[Contender],
        measure: Callable[[Contender], Awaitable[Figures]],
    ) -> RowResult:
        for number in range(self.rounds):
            for contender in contenders:
                run = await measure(contender)
                result.runs.append(run)
                rate = f"{run.events_per_cpu_second:,.0f} events per CPU-second"
                self.console.print(
                    f"{result.row} · {number + 1}/{self.rounds} · {contender.name}: {rate}", highlight=False
                )
        return result


def table(results: Sequence[RowResult]) -> Table:
    """One line a row and contender: median, spread, ratio to the reference."""
    shown = Table(
        "row", "contender", title="Events per CPU-second (median of the runs)", title_justify="left"
    )
    for title in ("median", "min – max", "ratio", "p99 ms", "events a batch", "memory MB"):
        shown.add_column(title, justify="right")
    for result in results:
        for name in dict.fromkeys(run.contender for run in result.runs):
            rates, ratios = result.of(name), result.ratios(name)
            runs = [run for run in result.runs if run.contender == name]
            p99 = [run.p99_ms for run in runs if isinstance(run, CollectorFigures)]
            reached = [run.batch_events for run in runs if isinstance(run, CollectorFigures)]
            shown.add_row(
                result.row,
                name,
                f"{statistics.median(rates):,.0f}",
                f"{min(rates):,.0f} – {max(rates):,.0f}",
                "1" if name == REFERENCE else f"{statistics.median(ratios):.1f}" if ratios else "-",
                f"{statistics.median(p99):.0f}" if p99 else "-",
                f"{statistics.median(reached):,.0f}" if reached else "-",
                f"{max(run.memory_bytes for run in runs) >> 20}",
            )
    return shown


def document(results: Sequence[RowResult], seed: int) -> dict[str, Any]:
    """All runs with what they depend on, as the JSON document of a bench."""
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "machine": {"processor": _processor(), "cores": os.cpu_count(), "kernel": platform.release()},
        "python": platform.python_version(),
        "seed": seed,
        "rows": [{"row": one.row, **one.about, "runs": [_told(run) for run in one.runs]} for one in results],
    }


def _told(run: Figures) -> dict[str, Any]:
    return {**asdict(run), "events_per_cpu_second": run.events_per_cpu_second}


def _about(row: CollectorRow) -> dict[str, Any]:
    events = sum(len(request.ids) for request in row.requests)
    return {
        "partitions": row.partitions,
        "connections": row.connections,
        "compression": row.compression,
        "batch_events": row.batch_events,
        "event_bytes_mean": sum(len(request.body) for request in row.requests) / max(events, 1),
    }


def _commit() -> str:
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty"],  # noqa: S607
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip()


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()
