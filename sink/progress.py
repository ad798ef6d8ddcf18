"""How far a lane has come: takes what was read, committed and where Kafka ends, gives positions and lag.

Lag is told in records (offsets that can be read in Kafka and are not visible) and in seconds (the age, by the
broker's clock, of the latest record that is visible; 0 where none is missing).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sink.lane import Committed
from sink.log_head import Position


class Progress:
    """Of one lane, since it was taken."""

    def __init__(self) -> None:
        self.landed: dict[int, int] = {}
        """Where landing has ended, by Kafka partition: all before is visible."""
        self.landed_rows = 0
        """Rows that became visible by this process."""
        self.last_commit_us: int | None = None
        self._ends: dict[int, int] = {}
        self._read_us = 0
        self._leaving_us = 0
        self._landed_us = 0

    def take(self, positions: Mapping[int, Position]) -> None:
        """The lane was read from the log: nothing is held."""
        self.landed = {at: position.next for at, position in positions.items()}
        self._read_us = self._landed_us

    def see(self, partition: int, end: int) -> None:
        """Kafka has records that can be read up to this offset."""
        self._ends[partition] = end

    def read(self, appended_us: int) -> None:
        """Records up to this append time (µs since 1970; 0: none) are held."""
        self._read_us = max(self._read_us, appended_us)

    def leave(self) -> None:
        """What is held is on its way to the store."""
        self._leaving_us = self._read_us

    def land(self, committed: Committed, now_us: int) -> dict[int, int]:
        """It is visible; gives where landing ends now, by Kafka partition of the commit."""
        ends = {at: position.next for at, position in committed.positions.items()}
        self.landed.update(ends)
        self.landed_rows += committed.rows
        self.last_commit_us = now_us
        self._landed_us = self._leaving_us
        return ends

    @property
    def lag_records(self) -> int:
        """Offsets that can be read in Kafka and are not visible in the lake."""
        return sum(max(0, end - self.landed.get(at, 0)) for at, end in self._ends.items())

    def lag_seconds(self, now_us: int) -> float | None:
        """Age of the latest visible record where others are missing; None: nothing was committed yet."""
        if not self.lag_records:
            return 0.0
        return max(0, now_us - self._landed_us) / 1e6 if self._landed_us else None

    def status(self, now_us: int) -> dict[str, Any]:
        """As the status line tells it."""
        lag_seconds = self.lag_seconds(now_us)
        return {
            "positions": {str(at): offset for at, offset in sorted(self.landed.items())},
            "lag_records": self.lag_records,
            "lag_seconds": None if lag_seconds is None else round(lag_seconds, 3),
            "last_commit_us": self.last_commit_us,
        }
