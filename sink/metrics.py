"""All metrics of the sink, with meaning and unit; beside the journey, fed by the landings.

They work in prometheus_client's multiprocess mode as well: counters of dead processes stay, gauges are of
live ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from prometheus_client import Counter, Gauge, Histogram

from sink.lane import Committed

SECONDS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)

ROWS_LANDED: Final = Counter("headrace_rows_landed", "Rows that became visible in the lake", ("topic",))
ROWS_QUARANTINED: Final = Counter(
    "headrace_rows_quarantined", "Records that could not be read and landed as quarantine rows", ("topic",)
)
OFFSETS_SKIPPED: Final = Counter(
    "headrace_offsets_skipped", "Offsets without a record of a client: control, aborted", ("topic",)
)
COLUMNS_NULLED: Final = Counter(
    "headrace_columns_nulled",
    "Values that are null in a promoted column because the payload has another type there",
    ("topic", "column"),
)
FILES_LANDED: Final = Counter("headrace_files_landed", "Parquet files that became visible", ("topic",))
BYTES_LANDED: Final = Counter("headrace_bytes_landed", "Bytes of visible Parquet files", ("topic",))
BYTES_FETCHED: Final = Counter(
    "headrace_bytes_fetched", "Bytes of record batches, as Kafka holds them", ("topic",)
)
COMMITS: Final = Counter("headrace_commits", "Commits of lanes: landed, lost, failed", ("topic", "outcome"))
COMMIT_SECONDS: Final = Histogram(
    "headrace_commit_seconds", "Seconds from buffers to visible files", ("topic",), buckets=SECONDS
)
FAILURES: Final = Counter(
    "headrace_sink_failures", "What stopped a lane or made it wait, by code of the error", ("topic", "code")
)
LANES_STOPPED: Final = Gauge(
    "headrace_lanes_stopped", "Lanes that wait for a person", ("topic",), multiprocess_mode="livesum"
)
LAG_RECORDS: Final = Gauge(
    "headrace_lag_records",
    "Offsets in Kafka that are not visible in the lake",
    ("topic", "lane"),
    multiprocess_mode="livesum",
)
BUFFERED_BYTES: Final = Gauge(
    "headrace_buffered_bytes", "Bytes of rows that are not landed yet", multiprocess_mode="livesum"
)
SINKS_READY: Final = Gauge(
    "headrace_sinks_ready", "Sinks that land all that Kafka has and need nobody", multiprocess_mode="livesum"
)


def count_commit(topic: str, committed: Committed, seconds: float) -> None:
    """Count what one commit made visible, and how long that took."""
    COMMITS.labels(topic, "landed").inc()
    COMMIT_SECONDS.labels(topic).observe(seconds)
    ROWS_LANDED.labels(topic).inc(committed.rows)
    ROWS_QUARANTINED.labels(topic).inc(committed.quarantined)
    OFFSETS_SKIPPED.labels(topic).inc(committed.skipped)
    FILES_LANDED.labels(topic).inc(committed.files)
    BYTES_LANDED.labels(topic).inc(committed.nbytes)


def count_nulled(topic: str, nulled: Mapping[str, int]) -> None:
    """Count values that one feed could not put into promoted columns, by column."""
    for column, count in nulled.items():
        COLUMNS_NULLED.labels(topic, column).inc(count)
