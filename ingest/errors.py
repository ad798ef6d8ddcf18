"""Errors of the collector: one base class, a bounded code, and whether a retry may succeed."""

from __future__ import annotations


class IngestError(Exception):
    """What a request or a start runs into. `code` is bounded; `retriable`: the same may succeed later."""

    def __init__(self, code: str, message: str, *, retriable: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.retriable = retriable


class ProduceError(IngestError):
    """Events did not reach Kafka, or it is not known whether they did; the client still has them.

    Nothing went out: `kafka_down`, `topic_unusable`, `produce_timeout`, `pending_full`, `stopping`.
    Refused by Kafka: `batch_too_large` (not retriable), `produce_refused`. Not known: `outcome_unknown`.
    """
