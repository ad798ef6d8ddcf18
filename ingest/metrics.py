"""All metrics of the collector, with meaning and unit; beside the journey, fed by door, rounds and worker.

They work in prometheus_client's multiprocess mode: the supervisor sets PROMETHEUS_MULTIPROC_DIR before it
starts a worker and merges what all write; counters and histograms of dead workers stay, gauges are of live
ones.
"""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
EVENTS: Final = (1, 3, 10, 30, 100, 300, 1_000, 3_000, 10_000, 30_000)
BYTES: Final = tuple(1024 * 4**power for power in range(8))  # 1 KiB to 16 MiB

REQUESTS: Final = Counter(
    "headrace_requests",
    "Answered requests, by dialect and class of the status (2xx, 4xx, 5xx)",
    ("dialect", "status"),
)
REQUEST_SECONDS: Final = Histogram(
    "headrace_request_seconds",
    "Seconds from a request's headers to its answer",
    ("dialect",),
    buckets=SECONDS,
)
BODY_BYTES: Final = Counter(
    "headrace_body_bytes", "Bytes of request bodies as they came, before inflating", ("dialect",)
)
EVENTS_ACCEPTED: Final = Counter(
    "headrace_events_accepted", "Events that are as durable as their source asks", ("source",)
)
EVENTS_QUARANTINED: Final = Counter(
    "headrace_events_quarantined",
    "Events answered with success and kept in headrace.quarantine",
    ("source", "reason"),
)
EVENTS_REFUSED: Final = Counter(
    "headrace_events_refused",
    "Events that were parsed and not taken; the client has them",
    ("source", "reason"),
)
BATCH_EVENTS: Final = Histogram("headrace_batch_events", "Records in a sealed record batch", buckets=EVENTS)
BATCH_BYTES: Final = Histogram(
    "headrace_batch_bytes", "Bytes of a sealed record batch, compressed", buckets=BYTES
)
BATCH_BYTES_RAW: Final = Counter("headrace_batch_raw_bytes", "Bytes of record batches before compression")
PRODUCE_SECONDS: Final = Histogram(
    "headrace_produce_seconds", "Seconds from handing a round over to its outcome", buckets=SECONDS
)
PRODUCE_ERRORS: Final = Counter(
    "headrace_produce_errors", "Record batches that Kafka did not confirm", ("code",)
)
PRODUCERS_REPLACED: Final = Counter(
    "headrace_producers_replaced", "Producers that were thrown away after a failure"
)
PENDING_BYTES: Final = Gauge(
    "headrace_pending_bytes",
    "Bytes of events that Kafka has not confirmed yet, before compression",
    multiprocess_mode="livesum",
)
KAFKA_UP: Final = Gauge(
    "headrace_kafka_up",
    "1 while Kafka answers this worker, else 0; of all workers the lowest",
    multiprocess_mode="livemin",
)
WORKERS_READY: Final = Gauge(
    "headrace_workers_ready", "Workers that can accept events honestly now", multiprocess_mode="livesum"
)


def batch_sealed(events: int, raw_bytes: int, sealed_bytes: int) -> None:
    """Count one sealed record batch: its records, and its bytes before and after compression."""
    BATCH_EVENTS.observe(events)
    BATCH_BYTES.observe(sealed_bytes)
    BATCH_BYTES_RAW.inc(raw_bytes)
