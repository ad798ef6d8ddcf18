"""For scripts: takes the supervisor, keeps a file that says where everything is and which processes run.

    {"collector_url", "admin_url", "kafka", "lake",
     "processes": {"kafka": pid | null, "collector": [pids], "sink": [pids]}}

Written once all is ready and again when a process was restarted; replaced as a whole, so that a reader never
sees half of it. `kafka` in `processes` is the JVM itself; null: it is not ours, or between two lives.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
import structlog

from headrace.errors import HeadraceError
from headrace.stack.supervisor import Supervisor

log = structlog.get_logger()


class ReadyFile:
    """The same content in one or more places."""

    def __init__(self, paths: Sequence[Path], places: dict[str, str]) -> None:
        """`places`: the values beside `processes`. A file of an earlier run is removed: it would be a lie."""
        self._paths = [path.absolute() for path in paths]
        self._places = places
        self._written: dict[str, Any] = {}
        for path in self._paths:
            try:
                path.unlink(missing_ok=True)
                path.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise HeadraceError(
                    "ready_file_unusable", f"--ready-file {path}: {error.strerror}; expected a file to write"
                ) from error

    def update(self, supervisor: Supervisor) -> None:
        """Write it, if all was ready once and the processes are others than those that stand in it."""
        if not supervisor.complete or supervisor.stopping:
            return
        kafka = supervisor.pids("kafka")
        processes = {
            "kafka": kafka[0] if kafka else None,
            "collector": supervisor.pids("collector"),
            "sink": supervisor.pids("sink"),
        }
        if processes != self._written:
            self._written = processes
            data = orjson.dumps({**self._places, "processes": processes}, option=orjson.OPT_INDENT_2)
            for path in self._paths:
                _replace(path, data + b"\n")


def _replace(path: Path, data: bytes) -> None:
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        fresh.write_bytes(data)
        fresh.replace(path)
    except OSError as error:
        log.warning("ready_file_not_written", path=str(path), error=error.strerror)
