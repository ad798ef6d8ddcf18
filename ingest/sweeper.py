"""Beside the HTTP path: one look over all connections twice a second, in place of timers for each request.

A connection bears the moment at which it is given up (`deadline`, by the loop's clock); setting it is all
that a request pays. So a bound is kept to within SWEEP_SECONDS.
"""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

SWEEP_SECONDS: Final = 0.5


class Expiring(Protocol):
    """A connection as the sweep sees it."""

    deadline: float

    def expire(self) -> None:
        """The deadline has passed."""


class Sweeper:
    """The connections of one worker. `run` is its task."""

    def __init__(self) -> None:
        self._connections: set[Expiring] = set()

    def add(self, connection: Expiring) -> None:
        """Look at it from now on."""
        self._connections.add(connection)

    def remove(self, connection: Expiring) -> None:
        """It is closed."""
        self._connections.discard(connection)

    async def run(self) -> None:
        """Sweep until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            now = loop.time()
            for connection in [one for one in self._connections if one.deadline < now]:
                connection.expire()
