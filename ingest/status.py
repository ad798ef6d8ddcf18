"""What a worker says of itself: one JSON line a second, and at every change, on the pipe to its supervisor.

    {"ready": bool, "reasons": [text], "pid": int, "topics": [...],
     "kafka": {"state": "up"|"down", "since": text, "reason": text},
     "records_not_flushed"?: int (in the last line before the end)}

`since` is RFC 3339, UTC; an element of `topics` is {"topic", "code", "text", "severity": "error"|"warning"}.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import orjson

from ingest.produce import KafkaState
from ingest.topics import Finding


def status_of(
    kafka: KafkaState, findings: Iterable[Finding], source_topics: Iterable[str], *, stopping: bool = False
) -> dict[str, Any]:
    """The status line as an object: ready means that any source's events can be accepted honestly now."""
    found, topics = list(findings), set(source_topics)
    reasons = [f"{item.topic}: {item.text}" for item in found if item.severity == "error"]
    refused = {item.topic for item in found if item.severity == "error"}
    if kafka.state == "down":
        reasons.insert(0, f"Kafka is away: {kafka.reason}")
    if not topics:
        reasons.insert(0, "no source is configured ([sources.NAME])")
    if stopping:
        reasons.insert(0, "the collector is stopping")
    since = datetime.fromtimestamp(kafka.since_us / 1e6, tz=UTC)
    return {
        "ready": kafka.state == "up" and not stopping and bool(topics - refused),
        "reasons": reasons,
        "pid": os.getpid(),
        "kafka": {
            "state": kafka.state,
            "since": since.isoformat(timespec="milliseconds"),
            "reason": kafka.reason,
        },
        "topics": [item._asdict() for item in found],
    }


class StatusPipe:
    """The writing end of the pipe. Never blocks: a slow reader misses lines, never parts of one."""

    def __init__(self, fd: int | None) -> None:
        """Without a descriptor nothing is written."""
        self._fd = fd
        self._rest = b""
        if fd is not None:
            os.set_blocking(fd, False)

    def write(self, status: dict[str, Any]) -> None:
        """Write one line, unless the reader has not even taken the last one."""
        if self._fd is None:
            return
        self._flush()
        if not self._rest:
            self._rest = orjson.dumps(status) + b"\n"
            self._flush()

    def _flush(self) -> None:
        if self._fd is None:
            return
        try:
            while self._rest:
                self._rest = self._rest[os.write(self._fd, self._rest) :]
        except BlockingIOError:
            return  # the pipe is full; what is left of this line goes first next time
        except BrokenPipeError:
            self._fd = None  # the supervisor is gone, and so will this worker be
