"""Whether Kafka is there: one broker that hangs does not hide the others, and the log says why it is away."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError, NodeNotReadyError
from structlog.testing import capture_logs

from ingest import probe as probing
from ingest import produce
from ingest.aiokafka_producer import obstacle, said
from ingest.probe import Probe
from ingest.produce import Producer

HANGS, ANSWERS = "hangs", "answers"
SECONDS_MAX = 5.0


class Brokers:
    """A client of brokers by id, each of which hangs, answers, or fails with an error."""

    def __init__(self, kinds: Mapping[int, str | Exception]) -> None:
        self.kinds = dict(kinds)
        self.questions: dict[int, int] = dict.fromkeys(kinds, 0)
        self.cluster = SimpleNamespace(brokers=lambda: [SimpleNamespace(nodeId=node) for node in self.kinds])

    async def send(self, node: int, request: object, *, group: object) -> None:
        self.questions[node] += 1
        kind = self.kinds[node]
        if isinstance(kind, Exception):
            raise kind
        if kind == HANGS:
            await asyncio.Event().wait()


def asked(brokers: Brokers, times: int = 1) -> list[str | None]:
    async def scenario() -> list[str | None]:
        async with asyncio.timeout(SECONDS_MAX), asyncio.TaskGroup() as tasks:
            probe = Probe(brokers, tasks)
            said = [await probe.obstacle() for _ in range(times)]
            probe.end()
        return said

    return asyncio.run(scenario())


@pytest.mark.parametrize("hung", [1, 2, 3])
def test_one_broker_that_hangs_hides_no_other(hung: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probing, "SILENCE_SECONDS_MAX", 60.0)
    brokers = Brokers({node: HANGS if node == hung else ANSWERS for node in (1, 2, 3)})
    assert asked(brokers, times=4) == [None] * 4
    assert brokers.questions[hung] == 1, "a second question to it waits for the first"


def test_one_broker_that_answers_is_enough_after_others_have_failed() -> None:
    assert asked(Brokers({1: OSError("reset"), 2: NodeNotReadyError("no"), 3: ANSWERS})) == [None]


def test_where_none_answers_the_first_says_why_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probing, "SILENCE_SECONDS_MAX", 0.05)
    brokers = Brokers({3: HANGS, 1: NodeNotReadyError("not ready"), 2: OSError("reset")})
    assert asked(brokers, times=2) == ["broker 1: NodeNotReadyError: not ready"] * 2
    assert asked(Brokers({1: HANGS})) == ["broker 1 does not answer within 0.05 s"]
    assert asked(Brokers({})) == ["no broker is known"]


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (NodeNotReadyError("x"), "NodeNotReadyError: x"),
        (NodeNotReadyError(), "NodeNotReadyError"),
        (OSError("x"), "OSError: x"),
        (TimeoutError(), "TimeoutError"),
    ],
)
def test_a_failure_says_its_name_once(error: Exception, text: str) -> None:
    assert said(error) == text


def test_why_a_server_can_not_be_used_is_said_with_its_address() -> None:
    assert asyncio.run(obstacle({"bootstrap_servers": "127.0.0.1:1"})) == "nothing listens on 127.0.0.1:1"


def test_a_kafka_that_was_never_there_is_logged_once_for_each_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reasons = iter(["no such host", "no such host", "no such host", "wrong password", "wrong password"])
    monkeypatch.setattr(produce, "BACKOFF_SECONDS_MAX", 0.001)
    monkeypatch.setattr(produce, "BACKOFF_SECONDS_MIN", 0.001)
    done = asyncio.Event()

    async def scripted(options: object) -> str:
        reason = next(reasons, None)
        if reason is None:
            done.set()
            await asyncio.Event().wait()
        return str(reason)

    async def prepare() -> Mapping[str, int]:
        raise KafkaConnectionError("away")

    monkeypatch.setattr(produce, "obstacle", scripted)

    async def scenario() -> None:
        producer = Producer({}, prepare, produce_timeout_seconds=1, clock_us=lambda: 0)
        async with asyncio.timeout(SECONDS_MAX), asyncio.TaskGroup() as tasks:
            running = tasks.create_task(producer.run())
            await done.wait()
            running.cancel()

    with capture_logs() as logs:
        asyncio.run(scenario())
    assert [(one["event"], one["log_level"], one["reason"]) for one in logs] == [
        ("kafka_state_changed", "warning", "no such host"),
        ("kafka_state_changed", "warning", "wrong password"),
    ]


def test_that_kafka_is_there_is_news_but_no_warning() -> None:
    async def prepare() -> Mapping[str, int]:
        return {}

    async def scenario() -> list[Any]:
        producer = Producer({}, prepare, produce_timeout_seconds=1, clock_us=lambda: 0)
        with capture_logs() as logs:
            producer._judge(None)
            producer._judge(None)
            producer._judge("broker 1: gone")
        return [(one["log_level"], one["state"]) for one in logs]

    assert asyncio.run(scenario()) == [("info", "up"), ("warning", "down")]
