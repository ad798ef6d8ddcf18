"""What the sink says of itself: one JSON line a second, and at every change, on the pipe to its supervisor.

    {"ready": bool, "reasons": [text], "pid": int,
     "kafka": {"state": "up"|"down", "since": text, "reason": text},
     "group": {"state": "joining"|"member", "reason": text},
     "lanes": [{"topic", "lane", "positions": {Kafka partition: landed offset}, "lag_records",
                "lag_seconds", "buffered_bytes", "last_commit_us",
                "problem"?: {"code", "message"}, "stopped"?}],
     "lag_records": int, "buffered_bytes": int, "landed_rows": int (by the lanes that are ours now)}

`since` is RFC 3339, UTC. `ready`: what Kafka has will become visible, and nobody is needed.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from sink.errors import SinkError
from sink.kafka_log import KafkaLog
from sink.landing import Landing
from sink.membership import Membership
from sink.settings import LandSettings

AWAY: Final = "kafka_unavailable"  # the code of what fails because Kafka does not answer


def status_of(
    settings: LandSettings,
    problem: SinkError | None,
    kafka: KafkaLog,
    membership: Membership,
    landings: Sequence[Landing],
    *,
    claimed: Collection[str],
    stopping: bool,
) -> dict[str, Any]:
    """The status line as an object; `problem`: of the program as a whole, `claimed`: topics that exist."""
    reasons = ["the sink is stopping"] if stopping else []
    away = kafka.state == "down"
    if problem is not None and not (away and problem.code == AWAY):
        reasons.append(str(problem))
    elif away:
        reasons.append(f"Kafka is away: {kafka.reason}")
    else:
        missing = sorted(settings.tables.keys() - set(claimed))
        reasons.extend(f"{topic}: there is no such topic yet; a collector makes it" for topic in missing)
        if claimed and membership.state != "member":
            reasons.append(f"joining the group {settings.sink.group}: {membership.reason}")
    reasons.extend(_lane_reasons(landings, passed_over=AWAY if away else ""))
    since = datetime.fromtimestamp(kafka.since_us / 1e6, tz=UTC).isoformat(timespec="milliseconds")
    return {
        "ready": not reasons,
        "reasons": reasons,
        "pid": os.getpid(),
        "kafka": {"state": kafka.state, "since": since, "reason": kafka.reason},
        "group": {"state": membership.state, "reason": membership.reason},
        "lanes": [landing.status() for landing in landings],
        "lag_records": sum(landing.progress.lag_records for landing in landings),
        "buffered_bytes": sum(landing.lane.nbytes for landing in landings),
        "landed_rows": sum(landing.progress.landed_rows for landing in landings),
    }


def _lane_reasons(landings: Sequence[Landing], *, passed_over: str) -> Iterator[str]:
    """What keeps each lane; that Kafka is away is not said again by every lane."""
    for landing in landings:
        problem = landing.trouble.problem
        if problem is not None and problem.code != passed_over:
            yield f"{landing.topic}, lane {landing.lane.lane}: {problem}"


class StatusPipe:
    """The writing end of the pipe. Never blocks: a slow reader misses lines, never parts of one."""

    def __init__(self, fd: int | None) -> None:
        """Without a descriptor nothing is written."""
        self._fd = fd
        self._rest = b""
        if fd is not None:
            os.set_blocking(fd, False)

    def write(self, status: Mapping[str, Any]) -> None:
        """Write one line, unless the reader has not even taken the last one."""
        self._flush()
        if self._fd is not None and not self._rest:
            self._rest = orjson.dumps(status) + b"\n"
            self._flush()

    def _flush(self) -> None:
        try:
            while self._fd is not None and self._rest:
                self._rest = self._rest[os.write(self._fd, self._rest) :]
        except BlockingIOError:
            return  # the pipe is full; what is left of this line goes first next time
        except BrokenPipeError:
            self._fd = None  # the supervisor is gone, and so will this process be
