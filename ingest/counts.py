"""Beside the journey: counts of the door, gathered here and put into `ingest.metrics` once a second.

A counter of prometheus_client in its multiprocess mode costs a microsecond and a histogram two, at each
request; a sum costs a fraction of that.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from typing import Final

from prometheus_client import Histogram

from ingest import metrics

FLUSH_SECONDS: Final = 1.0
CLASSES: Final = 6  # of status codes: 1xx to 5xx, by their first digit


class _Dialect:
    """What was answered in one dialect since the last flush."""

    __slots__ = ("body_bytes", "buckets", "seconds", "statuses")

    def __init__(self) -> None:
        self.statuses = [0] * CLASSES
        self.body_bytes = 0
        self.seconds = 0.0
        self.buckets = [0] * (len(metrics.SECONDS) + 1)


class Counts:
    """Sums since the last flush, which a timer of the running loop makes."""

    def __init__(self) -> None:
        self._dialects: dict[str, _Dialect] = {}
        self._accepted: dict[str, int] = {}
        self._timer: asyncio.TimerHandle | None = None

    def answered(self, dialect: str, status: int, seconds: float, body_bytes: int) -> None:
        """One answered request."""
        sums = self._dialects.get(dialect)
        if sums is None:
            sums = self._dialects[dialect] = _Dialect()
        sums.statuses[status // 100] += 1
        sums.body_bytes += body_bytes
        sums.seconds += seconds
        sums.buckets[bisect_left(metrics.SECONDS, seconds)] += 1
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_SECONDS, self.flush)

    def accepted(self, source: str, events: int) -> None:
        """Events that are as durable as the answer says."""
        self._accepted[source] = self._accepted.get(source, 0) + events

    def flush(self) -> None:
        """Put the sums into the metrics; the last time when the worker stops."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        dialects, self._dialects = self._dialects, {}
        for name, sums in dialects.items():
            for digit, number in enumerate(sums.statuses):
                if number:
                    metrics.REQUESTS.labels(name, f"{digit}xx").inc(number)
            metrics.BODY_BYTES.labels(name).inc(sums.body_bytes)
            _observe(metrics.REQUEST_SECONDS.labels(name), sums.buckets, sums.seconds)
        accepted, self._accepted = self._accepted, {}
        for source, number in accepted.items():
            metrics.EVENTS_ACCEPTED.labels(source).inc(number)


def _observe(histogram: Histogram, buckets: list[int], seconds: float) -> None:
    """Many observations at once. prometheus_client has no call for it; a test holds what is used here."""
    histogram._sum.inc(seconds)
    for bucket, number in zip(histogram._buckets, buckets, strict=True):
        if number:
            bucket.inc(number)
