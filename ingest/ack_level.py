"""What a source's promises come to: takes its settings, gives what is reached now.

There is no spool yet, so every ack level reaches `kafka`, which is more than `disk` or `memory` ask for on
a replicated Kafka, and an outage is answered 503 whatever the policy: the client keeps its events.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal, NamedTuple

from ingest.settings import SourceSettings


class Reached(NamedTuple):
    """The ack level that a success stands for, and what becomes of requests while Kafka is away."""

    ack: Literal["kafka", "disk", "memory"]
    on_outage: Literal["spool", "refuse"]


def reached(source: SourceSettings) -> Reached:
    """What the collector does for this source now, whatever it will do once there is a spool."""
    return Reached("kafka", "refuse")


def differences(sources: Mapping[str, SourceSettings]) -> Iterator[str]:
    """Where sources ask for something else than what is reached, in words."""
    others = [f"{name} ({told.ack})" for name, told in sources.items() if reached(told).ack != told.ack]
    if others:
        yield f"not there yet: ack other than kafka; answered when it is in Kafka: {', '.join(others)}"
    waiting = [name for name, told in sources.items() if reached(told).on_outage != told.on_outage]
    if waiting:
        yield f"not there yet: the spool; while Kafka is away, answered 503: {', '.join(waiting)}"
