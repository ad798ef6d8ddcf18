"""Errors of the sink: one base class; a bounded `code` and `retriable` say what the program does with it."""

from __future__ import annotations

from typing import Literal, TypeAlias

Code: TypeAlias = Literal[
    "store_unavailable",  # no answer, or one that says later: try again
    "store_refused",  # the store answered no, and will again
    "store_unsafe",  # the store does not keep what the protocol needs
    "bad_entry",  # an entry of the commit log is not what was written, or is missing
    "entry_too_large",
    "lake_newer",
    "lanes_changed",
    "topic_recreated",
    "log_truncated",  # Kafka's log is another than the one that was landed
    "gap",  # Kafka has no record for offsets that nothing explains
    "file_lost",  # committed, but its upload is gone and it is not there
    "kafka_unavailable",  # no broker, no leader, or one that refuses: try again
    "out_of_range",  # Kafka's log does not reach to where the lane stands
    "lane_failed",  # a fault of our own: the log has the trace
]


class SinkError(Exception):
    """Something in the world is not as the sink needs it. `retriable`: the same may succeed later."""

    def __init__(self, code: Code, message: str, *, retriable: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.retriable = retriable


class StoreError(SinkError):
    """The object store could not do what was asked; after a retriable one the outcome is unknown."""


class LogError(SinkError):
    """The commit log, or what stands beside it, can't be followed; a person is needed."""


class BrokerError(SinkError):
    """Kafka did not give what was asked for."""
