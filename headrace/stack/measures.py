"""The metrics of all processes: takes the files that children write, gives one merged exposition.

prometheus_client's multiprocess mode keeps one file a process and type in PROMETHEUS_MULTIPROC_DIR. Counters
and histograms of a process that ended stay, in one file for all of them, so that a program that is restarted
for a year does not fill the folder; its gauges go.
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TypeVar

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from headrace.stack.supervisor import Supervisor

Merged: Any = MultiProcessCollector  # these two have no types
Values: Any = MmapedDict
VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"
T = TypeVar("T")
READ_TRIES_MAX: Final = 5
ENDED: Final = "0"  # the "pid" of all processes that ended; no process has it


class Measures:
    """The folder of one run's metrics. Its methods read files: call them in a thread."""

    def __init__(self, folder: Path) -> None:
        """Takes an existing folder and empties it: what an earlier run left is not counted again."""
        self.folder = folder
        self._lock = threading.Lock()  # reading and folding in must not overlap
        for left in folder.glob("*.db"):
            left.unlink()

    def exposition(self, own: Collector | None = None) -> bytes:
        """All metrics in Prometheus' text format; `own` are the supervisor's."""
        registry = CollectorRegistry()
        Merged(registry, path=str(self.folder))
        if own is not None:
            registry.register(own)
        return self._read(lambda: generate_latest(registry))

    def sums(self, names: Iterable[str]) -> dict[str, float]:
        """The sum over all labels of each of these samples, as `headrace_rows_landed_total`; absent: 0."""
        sums = dict.fromkeys(names, 0.0)
        registry = CollectorRegistry()
        Merged(registry, path=str(self.folder))
        for metric in self._read(lambda: list(registry.collect())):
            for sample in metric.samples:
                if sample.name in sums:
                    sums[sample.name] += sample.value
        return sums

    def _read(self, read: Callable[[], T]) -> T:
        """Read all files; again where one was just being made, and has no size yet."""
        for _ in range(READ_TRIES_MAX - 1):
            with suppress(struct.error, RuntimeError), self._lock:
                return read()
        with self._lock:
            return read()

    def fold(self, pid: int) -> None:
        """A process has ended: add what it counted to the file of the ended ones, drop its gauges."""
        with self._lock:
            for path in self.folder.glob(f"*_{pid}.db"):
                kind = path.name.split("_")[0]
                if kind in ("counter", "histogram"):
                    _add(path, self.folder / f"{kind}_{ENDED}.db")
                path.unlink(missing_ok=True)


def _add(source: Path, target: Path) -> None:
    sums = Values(str(target))
    try:
        if source.stat().st_size == 0:
            return  # killed before it had written anything
        for key, value, timestamp, _ in Values.read_all_values_from_file(str(source)):
            sums.write_value(key, sums.read_value(key)[0] + value, timestamp)
    finally:
        sums.close()


class Own(Collector):
    """The supervisor's own metrics, read from its state when they are asked for."""

    def __init__(self, supervisor: Supervisor) -> None:
        """Takes the supervisor."""
        self._supervisor = supervisor

    def collect(self) -> Iterable[Metric]:
        """One family each, labelled by role and slot."""
        labels = ("role", "slot")
        families = (
            GaugeMetricFamily("headrace_process_up", "1 while the process runs, else 0", labels=labels),
            GaugeMetricFamily(
                "headrace_process_ready", "1 while the process says ready, else 0", labels=labels
            ),
            GaugeMetricFamily(
                "headrace_process_restarts", "Restarts since the supervisor began", labels=labels
            ),
        )
        for process in self._supervisor.processes:
            slot = (process.program.role, str(process.program.slot))
            values = (process.pid is not None, process.ready, process.restarts)
            for family, value in zip(families, values, strict=True):
                family.add_metric(slot, float(value))
        return families
