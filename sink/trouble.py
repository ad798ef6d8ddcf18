"""What keeps a lane from landing: takes failures and successes, gives how long to wait and what to say.

A failure is over when the stage in which it came has succeeded; so a store that can be read but not written
does not look well each time that something was fetched. One that needs a person is looked at
again all the same: what the person did is seen without a restart, and every look reads all there is to read.
"""

from __future__ import annotations

from enum import Enum
from typing import Any, Final

import structlog

from sink import metrics
from sink.errors import SinkError

BACKOFF_SECONDS_MIN: Final = 0.25
BACKOFF_SECONDS_MAX: Final = 5.0
LOOK_AGAIN_SECONDS: Final = 30.0  # at what a person has to see to

log = structlog.get_logger()


class Stage(Enum):
    """The stages of landing; the last two go on at the same time."""

    TAKE = "take"
    FETCH = "fetch"
    COMMIT = "commit"


class Trouble:
    """The last failure of one lane, until it is over."""

    def __init__(self, topic: str, lane: int) -> None:
        self.problem: SinkError | None = None
        self._topic = topic
        self._lane = lane
        self._stage = Stage.TAKE
        self._failed = Stage.TAKE
        self._backoff_seconds = BACKOFF_SECONDS_MIN

    @property
    def stopped(self) -> bool:
        """A person is needed: `problem` says what for."""
        return self.problem is not None and not self.problem.retriable

    def begin(self, stage: Stage) -> None:
        """What fails from now on failed in this stage."""
        self._stage = stage

    def passed(self, stage: Stage) -> None:
        """The stage has succeeded, so also the taking of the lane before it."""
        if self.problem is not None and self._failed in (stage, Stage.TAKE):
            log.info("lane_recovered", topic=self._topic, lane=self._lane, code=self.problem.code)
            self.problem = None
            self._backoff_seconds = BACKOFF_SECONDS_MIN

    def failed(self, error: SinkError) -> float:
        """Keep the failure; seconds to wait before the next attempt, more each time."""
        fresh = self.problem is None or str(self.problem) != str(error)
        self.problem, self._failed = error, self._stage
        metrics.FAILURES.labels(self._topic, error.code).inc()
        told = {"topic": self._topic, "lane": self._lane, "code": error.code, "reason": str(error)}
        if not error.retriable:
            if fresh:
                log.error("lane_stopped", **told)
            return LOOK_AGAIN_SECONDS
        if fresh:
            log.warning("lane_waited", **told)
        seconds = self._backoff_seconds
        self._backoff_seconds = min(seconds * 2, BACKOFF_SECONDS_MAX)
        return seconds

    def status(self) -> dict[str, Any]:
        """As the status line tells it; nothing where there is none."""
        if self.problem is None:
            return {}
        told = {"code": self.problem.code, "message": str(self.problem)}
        return {"problem": told, "stopped": self.stopped}
