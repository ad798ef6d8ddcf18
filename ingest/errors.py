"""Errors of the collector: one base class, a bounded code, and whether a retry may succeed."""

from __future__ import annotations

from enum import Enum
from typing import Final

RETRY_SECONDS: Final = 5  # what Retry-After says unless the refusal knows better


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


class Situation(Enum):
    """The rows of the answer table (`ingest.answers`): the first ones differ by SDK family."""

    ACCEPTED = "accepted"
    INVALID_ONE = "the only event of the request is invalid"
    INVALID_SOME = "an event of a batch is invalid"
    UNREADABLE = "body unreadable"
    UNKNOWN_KEY = "unknown key"
    TOO_LARGE = "too large"
    OVER_QUOTA = "source over its quota"
    OVERLOAD = "overload; Kafka and spool gone"
    UNKNOWN_PATH = "no such path"
    WRONG_METHOD = "the path has other methods"
    WRONG_ORIGIN = "the page's origin is not on the source's list"
    TOO_SLOW = "the request did not come in time"
    MALFORMED = "the bytes are not HTTP"
    HEAD_TOO_LARGE = "too many or too large headers"
    TARGET_TOO_LONG = "the request target is too long"


class Refusal(IngestError):
    """A request that is not taken: `situation` finds the answer, code and message say why.

    The message goes to the client: it names what was expected and what came, never a key or a payload.
    """

    def __init__(
        self, situation: Situation, code: str, message: str, *, retry_seconds: int = RETRY_SECONDS
    ) -> None:
        super().__init__(code, message, retriable=situation in (Situation.OVER_QUOTA, Situation.OVERLOAD))
        self.situation = situation
        self.retry_seconds = retry_seconds
