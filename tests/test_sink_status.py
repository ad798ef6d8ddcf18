"""What a sink says of itself: failures until they are over, lag, and lines that never hold it up."""

from __future__ import annotations

import json
import os
from types import SimpleNamespace
from typing import Any

from sink.errors import BrokerError, LogError, SinkError, StoreError
from sink.lane import Committed
from sink.log_head import Position
from sink.progress import Progress
from sink.status import StatusPipe, status_of
from sink.trouble import LOOK_AGAIN_SECONDS, Stage, Trouble


def store_error() -> SinkError:
    return StoreError("store_unavailable", "the store is away", retriable=True)


def test_a_failure_is_over_when_its_own_stage_has_succeeded() -> None:
    trouble = Trouble("events", 0)
    trouble.begin(Stage.COMMIT)
    trouble.failed(store_error())
    trouble.passed(Stage.TAKE)
    trouble.passed(Stage.FETCH)
    assert trouble.status()["problem"]["code"] == "store_unavailable"
    trouble.passed(Stage.COMMIT)
    assert trouble.status() == {}
    trouble.begin(Stage.FETCH)
    trouble.failed(BrokerError("kafka_unavailable", "no answer", retriable=True))
    trouble.passed(Stage.COMMIT)
    assert trouble.problem is not None
    trouble.begin(Stage.TAKE)
    trouble.failed(store_error())
    trouble.passed(Stage.FETCH)
    assert trouble.problem is None


def test_attempts_come_less_often_up_to_a_bound_and_soon_again_after_a_success() -> None:
    trouble = Trouble("events", 0)
    waits = [trouble.failed(store_error()) for _ in range(8)]
    assert waits == [0.25, 0.5, 1, 2, 4, 5, 5, 5]
    trouble.passed(Stage.TAKE)
    assert trouble.failed(store_error()) == 0.25
    assert not trouble.stopped


def test_what_needs_a_person_is_looked_at_again_all_the_same() -> None:
    trouble = Trouble("events", 0)
    assert trouble.failed(LogError("gap", "offsets are gone")) == LOOK_AGAIN_SECONDS
    assert trouble.stopped
    assert trouble.status() == {"problem": {"code": "gap", "message": "offsets are gone"}, "stopped": True}


def test_a_kafka_that_is_away_is_said_once_and_not_by_every_lane() -> None:
    away = BrokerError("kafka_unavailable", "no answer from Kafka: no broker", retriable=True)

    def reasons(state: str, problem: SinkError | None, *of_lanes: SinkError) -> list[str]:
        kafka = SimpleNamespace(state=state, reason="no broker at k:9092 can be used", since_us=0)
        settings = SimpleNamespace(tables={"t": None}, sink=SimpleNamespace(group="g"))
        membership = SimpleNamespace(state="member", reason="")
        landings = [
            SimpleNamespace(
                topic="t",
                trouble=SimpleNamespace(problem=one),
                lane=SimpleNamespace(lane=number, nbytes=0),
                progress=SimpleNamespace(lag_records=0, landed_rows=0),
                status=dict,
            )
            for number, one in enumerate(of_lanes)
        ]
        parts: Any = (settings, problem, kafka, membership, landings)
        found: list[str] = status_of(*parts, claimed=["t"], stopping=False)["reasons"]
        return found

    assert reasons("down", away, away, away) == ["Kafka is away: no broker at k:9092 can be used"]
    assert reasons("down", None, away, store_error())[1:] == ["t, lane 1: the store is away"]
    assert reasons("down", store_error(), away) == ["the store is away"]
    assert reasons("up", None, away) == ["t, lane 0: no answer from Kafka: no broker"]


def test_lag_is_told_in_records_and_in_seconds_of_the_brokers_clock() -> None:
    progress = Progress()
    progress.take({0: Position(0, 10), 1: Position(0, 0)})
    assert (progress.lag_records, progress.lag_seconds(0)) == (0, 0.0)
    progress.see(0, 15)
    assert (progress.lag_records, progress.lag_seconds(9_000_000)) == (5, None)
    progress.read(4_000_000)
    progress.leave()
    progress.read(6_000_000)
    done = Committed(1, 3, 0, 0, 1, 9, {0: Position(0, 13)})
    assert progress.land(done, 7_000_000) == {0: 13}
    assert (progress.lag_records, progress.lag_seconds(9_000_000)) == (2, 5.0)
    progress.see(1, 3)
    assert progress.status(9_000_000) == {
        "positions": {"0": 13, "1": 0},
        "lag_records": 5,
        "lag_seconds": 5.0,
        "last_commit_us": 7_000_000,
    }


def test_a_reader_that_is_slow_misses_lines_and_never_parts_of_one() -> None:
    reader, writer = os.pipe()
    pipe = StatusPipe(writer)
    for number in range(3000):
        pipe.write({"number": number, "text": "x" * 100})
    seen = b""
    os.set_blocking(reader, False)
    while True:
        try:
            seen += os.read(reader, 1 << 16)
        except BlockingIOError:
            break
    pipe.write({"number": "last"})
    seen += os.read(reader, 1 << 16)
    lines = [json.loads(line)["number"] for line in seen.splitlines()]
    assert lines[:10] == list(range(10))
    assert lines[-1] == "last"
    assert len(lines) < 3000
    os.close(reader)
    pipe.write({"number": "to nobody"})
    pipe.write({"number": "to nobody"})
    os.close(writer)
    StatusPipe(None).write({"number": 1})
