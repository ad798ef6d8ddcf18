"""The figures of the screen: takes the merged metrics and the sink's words, gives totals and rates."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple

from headrace.stack.measures import Measures
from headrace.stack.supervisor import Supervisor

ACCEPTED: Final = "headrace_events_accepted_total"
QUARANTINED: Final = "headrace_events_quarantined_total"
REFUSED: Final = "headrace_events_refused_total"
LANDED: Final = "headrace_rows_landed_total"
WINDOW_SECONDS: Final = 10.0  # of the rates


class Figures(NamedTuple):
    """Since the start of this run: events and rows, and how many a second just now."""

    accepted: int = 0
    quarantined: int = 0
    refused: int = 0
    landed: int = 0
    accepted_rate: float = 0.0
    landed_rate: float = 0.0
    behind: int | None = None
    """Records in Kafka that are not visible yet; None: the sink has not said."""


class Counters:
    """Looks at the metrics once in a while."""

    def __init__(self, measures: Measures, now: Callable[[], float]) -> None:
        """`now`: a monotonic clock in seconds."""
        self._measures, self._now = measures, now
        self._looks: deque[tuple[float, int, int]] = deque()

    def look(self, supervisor: Supervisor) -> Figures:
        """The figures now. Blocks: call it in a thread."""
        sums = self._measures.sums((ACCEPTED, QUARANTINED, REFUSED, LANDED))
        now, accepted, landed = self._now(), int(sums[ACCEPTED]), int(sums[LANDED])
        self._looks.append((now, accepted, landed))
        while now - self._looks[0][0] > WINDOW_SECONDS:
            self._looks.popleft()
        began, first_accepted, first_landed = self._looks[0]
        seconds = max(now - began, 1.0)
        return Figures(
            accepted,
            int(sums[QUARANTINED]),
            int(sums[REFUSED]),
            landed,
            (accepted - first_accepted) / seconds,
            (landed - first_landed) / seconds,
            behind(supervisor),
        )


def behind(supervisor: Supervisor) -> int | None:
    """Records that the sinks of this supervisor have not landed yet, by their own word."""
    said = [one.status.get("lag_records") for one in supervisor.of("sink") if one.status.fresh]
    return sum(said) if said and all(isinstance(lag, int) for lag in said) else None
