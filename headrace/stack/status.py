"""What a child says of itself: takes its lines from a pipe, gives the latest, and how old it is."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Any, Final

import orjson

STALE_SECONDS: Final = 5.0  # children write one line a second; an older one: it does not answer
LINE_BYTES_MAX: Final = 4 * 1024 * 1024  # a sink of many lanes names them all


class Status:
    """The latest line of one process; `now` is a monotonic clock in seconds."""

    def __init__(self, now: Callable[[], float]) -> None:
        """Nothing was said yet."""
        self._now = now
        self._line: dict[str, Any] = {}
        self._heard: float | None = None

    def hear(self, line: bytes) -> bool:
        """Take one line; whether it differs from the one before. What is no JSON object is passed over."""
        try:
            said = orjson.loads(line)
        except orjson.JSONDecodeError:
            return False
        if not isinstance(said, dict):
            return False
        self._heard = self._now()
        changed = said != self._line
        self._line = said
        return changed

    def forget(self) -> None:
        """The process has ended."""
        self._line, self._heard = {}, None

    @property
    def age_seconds(self) -> float | None:
        """Seconds since the latest line; None: nothing was said yet."""
        return None if self._heard is None else self._now() - self._heard

    @property
    def fresh(self) -> bool:
        """Whether the latest line still counts."""
        age = self.age_seconds
        return age is not None and age <= STALE_SECONDS

    @property
    def ready(self) -> bool:
        """Whether it says, freshly, that it is ready."""
        return self.fresh and self._line.get("ready") is True

    @property
    def reasons(self) -> list[str]:
        """Why it is not ready, or what a person should know, in its own words."""
        return [str(reason) for reason in self._line.get("reasons") or ()]

    def get(self, key: str) -> Any:
        """Any other value of the latest line."""
        return self._line.get(key)


async def listen(read_fd: int, hear: Callable[[bytes], object]) -> None:
    """Give each line of the pipe to `hear` until its end; closes the descriptor. Suspends."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=LINE_BYTES_MAX)
    transport, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(read_fd, "rb", buffering=0)
    )
    try:
        while True:
            try:
                line = await reader.readline()
            except ValueError:
                continue  # longer than LINE_BYTES_MAX: the rest of it is passed over as well
            if not line:
                return
            hear(line)
    finally:
        transport.close()
