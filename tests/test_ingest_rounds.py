"""Rounds: what gathers while one is out, who learns which outcome, and the bounds. The outlet is scripted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from ingest import rounds as rounds_module
from ingest.broker_rounds import Batch, KafkaPartition
from ingest.errors import ProduceError
from ingest.rounds import Rounds

RECORD_BYTES = 100
BATCH_BYTES_MAX = 1000
TIMEOUT_SECONDS = 0.3


class Slip:
    """A batch that keeps the names of its records in place of their bytes."""

    def __init__(self, bytes_max: int) -> None:
        self.bytes_max = bytes_max
        self.names: list[str] = []
        self.bytes = 0
        self.sealed_bytes: int | None = None

    def put(self, name: str, size: int) -> None:
        assert self.sealed_bytes is None, "appended to a sealed batch"
        assert self.bytes + size <= self.bytes_max
        self.names.append(name)
        self.bytes += size

    def record_count(self) -> int:
        return len(self.names)

    def size(self) -> int:
        return self.bytes if self.sealed_bytes is None else self.sealed_bytes

    def seal(self) -> None:
        self.sealed_bytes = self.bytes


@dataclass
class Sending:
    """One call of send: which records per Kafka partition, and the answer that the test gives."""

    names: dict[KafkaPartition, list[str]]
    answer: asyncio.Future[dict[KafkaPartition, ProduceError]]


@dataclass
class ScriptedOutlet:
    """An outlet that answers when the test says so; even Kafka partitions live on broker 0, odd ones on 1."""

    leaders: Callable[[int], int] = lambda partition: partition % 2
    down: ProduceError | None = None
    bytes_max: int = 10_000
    sendings: list[Sending] = field(default_factory=list)
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    sent: asyncio.Event = field(default_factory=asyncio.Event)

    def refusal(self) -> ProduceError | None:
        return self.down

    def partition_count(self, topic: str) -> int:
        return 0 if topic == "missing" else 4

    def leader_of(self, topic: str, partition: int) -> int:
        return self.leaders(partition)

    def batch_bytes_max(self, topic: str) -> int:
        return self.bytes_max

    async def wait_ready(self) -> None:
        await self.ready.wait()

    async def send(
        self, batches: Mapping[KafkaPartition, Batch]
    ) -> dict[KafkaPartition, ProduceError | None]:
        names = {where: list(batch.names) for where, batch in batches.items() if isinstance(batch, Slip)}
        sending = Sending(names, asyncio.get_running_loop().create_future())
        self.sendings.append(sending)
        self.sent.set()
        errors = await sending.answer
        return {where: errors.get(where) for where in batches}

    async def nth(self, count: int) -> Sending:
        """The count-th sending, 1 the first; waits for it."""
        async with asyncio.timeout(2):
            while len(self.sendings) < count:
                self.sent.clear()
                await self.sent.wait()
        return self.sendings[count - 1]


@dataclass
class Bench:
    outlet: ScriptedOutlet
    rounds: Rounds

    def post(self, *names: str, size: int = RECORD_BYTES, topic: str = "events") -> asyncio.Future[None]:
        """One request: each name is "<record>@<Kafka partition>"."""
        batches = self.rounds.batches(topic)
        touched: list[Batch] = []
        for name in names:
            batch = batches.open(int(name.split("@")[1]), size)
            assert isinstance(batch, Slip)
            batch.put(name, size)
            touched.append(batch)
        return self.rounds.outcome(touched)

    async def quiet(self) -> None:
        """Let everything run that can run without the outlet's answer."""
        for _ in range(10):
            await asyncio.sleep(0)


@asynccontextmanager
async def bench(
    outlet: ScriptedOutlet | None = None, pending_bytes_max: int = 10_000
) -> AsyncIterator[Bench]:
    outlet = outlet or ScriptedOutlet()
    outlet.ready.set()
    rounds = Rounds(
        outlet,
        Slip,
        batch_bytes_max=BATCH_BYTES_MAX,
        pending_bytes_max=pending_bytes_max,
        produce_timeout_seconds=TIMEOUT_SECONDS,
    )
    running = asyncio.create_task(rounds.run())
    await asyncio.sleep(0)
    try:
        yield Bench(outlet, rounds)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def failure(future: Awaitable[None]) -> ProduceError:
    with pytest.raises(ProduceError) as caught:
        async with asyncio.timeout(2):
            await future
    return caught.value


REFUSED = ProduceError("produce_refused", "scripted", retriable=True)


def test_a_single_event_goes_out_at_once_and_is_answered_when_it_is_in_the_log() -> None:
    async def scenario() -> None:
        async with bench() as it:
            answer = it.post("a@0")
            sending = await it.outlet.nth(1)
            assert sending.names == {("events", 0): ["a@0"]}
            assert not answer.done()
            sending.answer.set_result({})
            await answer
            assert it.rounds.pending_bytes == 0

    asyncio.run(scenario())


def test_two_rounds_of_a_broker_are_never_out_at_once_and_what_comes_meanwhile_goes_together() -> None:
    async def scenario() -> None:
        async with bench() as it:
            answers = [it.post("a@0")]
            first = await it.outlet.nth(1)
            answers += [it.post("b@0"), it.post("c@2"), it.post("d@0")]
            await it.quiet()
            assert len(it.outlet.sendings) == 1
            first.answer.set_result({})
            second = await it.outlet.nth(2)
            assert second.names == {("events", 0): ["b@0", "d@0"], ("events", 2): ["c@2"]}
            second.answer.set_result({})
            await asyncio.gather(*answers)

    asyncio.run(scenario())


def test_brokers_do_not_wait_for_each_other() -> None:
    async def scenario() -> None:
        async with bench() as it:
            slow, quick = it.post("a@0"), it.post("b@1")
            await it.outlet.nth(2)
            it.outlet.sendings[1].answer.set_result({})
            await quick
            assert not slow.done()

    asyncio.run(scenario())


def test_topics_of_one_broker_share_a_round() -> None:
    async def scenario() -> None:
        async with bench() as it:
            it.post("a@0")
            it.post("q@0", topic="headrace.quarantine")
            sending = await it.outlet.nth(1)
            assert set(sending.names) == {("events", 0), ("headrace.quarantine", 0)}

    asyncio.run(scenario())


def test_a_full_batch_has_its_successor_in_the_next_round_and_order_is_kept() -> None:
    async def scenario() -> None:
        async with bench() as it:
            full = BATCH_BYTES_MAX // RECORD_BYTES
            answer = it.post(*[f"{number}@0" for number in range(full + 1)], "x@2")
            first = await it.outlet.nth(1)
            assert first.names == {
                ("events", 0): [f"{number}@0" for number in range(full)],
                ("events", 2): ["x@2"],
            }
            late = it.post(f"{full + 1}@0")
            first.answer.set_result({})
            second = await it.outlet.nth(2)
            assert second.names == {("events", 0): [f"{full}@0", f"{full + 1}@0"]}
            assert not answer.done()
            second.answer.set_result({})
            await asyncio.gather(answer, late)

    asyncio.run(scenario())


def test_an_event_larger_than_a_batch_gets_a_batch_of_its_own() -> None:
    async def scenario() -> None:
        async with bench() as it:
            it.post("a@0")
            it.post("large@0", size=5 * BATCH_BYTES_MAX)
            first = await it.outlet.nth(1)
            assert first.names == {("events", 0): ["a@0"]}
            first.answer.set_result({})
            assert (await it.outlet.nth(2)).names == {("events", 0): ["large@0"]}

    asyncio.run(scenario())


def test_a_kafka_partition_whose_leader_moves_keeps_its_order() -> None:
    async def scenario() -> None:
        async with bench() as it:
            it.post("a@0")
            first = await it.outlet.nth(1)
            it.outlet.leaders = lambda partition: 7
            it.post("b@0")
            await it.quiet()
            assert len(it.outlet.sendings) == 1
            first.answer.set_result({})
            assert (await it.outlet.nth(2)).names == {("events", 0): ["b@0"]}

    asyncio.run(scenario())


def test_one_failed_batch_fails_only_the_requests_that_touched_it() -> None:
    async def scenario() -> None:
        async with bench() as it:
            good, bad, both = it.post("a@0"), it.post("b@2"), it.post("c@0", "d@2")
            (await it.outlet.nth(1)).answer.set_result({("events", 2): REFUSED})
            await good
            assert (await failure(bad)).code == "produce_refused"
            assert (await failure(both)).code == "produce_refused"
            assert it.rounds.pending_bytes == 0

    asyncio.run(scenario())


def test_a_round_that_nobody_takes_in_time_is_withdrawn_whole() -> None:
    async def scenario() -> None:
        async with bench() as it:
            it.outlet.ready.clear()
            error = await failure(it.post("a@0"))
            assert (error.code, error.retriable) == ("produce_timeout", True)
            assert it.rounds.pending_bytes == 0
            it.outlet.ready.set()
            later = it.post("b@0")
            sending = await it.outlet.nth(1)
            assert sending.names == {("events", 0): ["b@0"]}
            sending.answer.set_result({})
            await later

    asyncio.run(scenario())


def test_a_round_that_is_out_too_long_is_of_unknown_outcome_and_holds_the_next_back() -> None:
    async def scenario() -> None:
        async with bench() as it:
            started = asyncio.get_running_loop().time()
            error = await failure(it.post("a@0"))
            assert (error.code, error.retriable) == ("outcome_unknown", True)
            assert TIMEOUT_SECONDS <= asyncio.get_running_loop().time() - started < 3 * TIMEOUT_SECONDS
            assert it.rounds.pending_bytes == RECORD_BYTES
            behind = it.post("b@0")
            await it.quiet()
            assert len(it.outlet.sendings) == 1
            it.outlet.sendings[0].answer.set_result({})
            (await it.outlet.nth(2)).answer.set_result({})
            await behind

    asyncio.run(scenario())


def test_at_the_bound_there_is_room_for_exactly_what_fits() -> None:
    async def scenario() -> None:
        async with bench(pending_bytes_max=5 * RECORD_BYTES) as it:
            answer = it.post("a@0", "b@1", "c@2", "d@3")
            assert it.rounds.pending_bytes == 4 * RECORD_BYTES
            assert it.rounds.room(RECORD_BYTES)
            assert not it.rounds.room(RECORD_BYTES + 1)
            for sending in (await it.outlet.nth(1), await it.outlet.nth(2)):
                sending.answer.set_result({})
            await answer
            assert it.rounds.room(5 * RECORD_BYTES)

    asyncio.run(scenario())


@pytest.mark.parametrize(("surplus", "sendings"), [(0, 1), (1, 2)])
def test_a_round_larger_than_one_request_may_be_goes_out_in_parts(
    monkeypatch: pytest.MonkeyPatch, surplus: int, sendings: int
) -> None:
    monkeypatch.setattr(rounds_module, "ROUND_BYTES_MAX", 2 * RECORD_BYTES - surplus)

    async def scenario() -> None:
        async with bench() as it:
            answer = it.post("a@0", "b@2")
            seen: dict[KafkaPartition, list[str]] = {}
            for number in range(1, sendings + 1):
                sending = await it.outlet.nth(number)
                seen |= sending.names
                sending.answer.set_result({})
            await answer
            assert len(it.outlet.sendings) == sendings
            assert seen == {("events", 0): ["a@0"], ("events", 2): ["b@2"]}

    asyncio.run(scenario())


@pytest.mark.parametrize(("topic_bytes_max", "code"), [(3 * RECORD_BYTES, None), (299, "batch_too_large")])
def test_a_sealed_batch_larger_than_its_topic_takes_is_never_handed_over(
    topic_bytes_max: int, code: str | None
) -> None:
    async def scenario() -> None:
        async with bench(ScriptedOutlet(bytes_max=topic_bytes_max)) as it:
            answer = it.post("large@0", size=3 * RECORD_BYTES)
            if code is None:
                (await it.outlet.nth(1)).answer.set_result({})
                await answer
                return
            error = await failure(answer)
            assert (error.code, error.retriable) == (code, False)
            assert it.outlet.sendings == []

    asyncio.run(scenario())


def test_nothing_is_taken_for_a_kafka_that_is_away_or_a_topic_that_is_missing() -> None:
    async def scenario() -> None:
        async with bench() as it:
            with pytest.raises(ProduceError, match="missing"):
                it.rounds.batches("missing")
            it.outlet.down = ProduceError("kafka_down", "scripted", retriable=True)
            with pytest.raises(ProduceError) as caught:
                it.rounds.batches("events")
            assert caught.value.code == "kafka_down"

    asyncio.run(scenario())


def test_a_request_that_left_does_not_disturb_the_others() -> None:
    async def scenario() -> None:
        async with bench() as it:
            gone, stays = it.post("a@0"), it.post("b@0")
            gone.cancel()
            (await it.outlet.nth(1)).answer.set_result({})
            await stays

    asyncio.run(scenario())


def test_flush_waits_for_what_is_out_then_takes_nothing_and_counts_what_is_left() -> None:
    async def scenario() -> None:
        async with bench() as it:
            it.post("a@0", "b@0", "c@1")
            await it.outlet.nth(2)
            flushing = asyncio.create_task(it.rounds.flush(0.2))
            await it.quiet()
            with pytest.raises(ProduceError) as caught:
                it.rounds.batches("events")
            assert caught.value.code == "stopping"
            next(each for each in it.outlet.sendings if ("events", 1) in each.names).answer.set_result({})
            assert await flushing == 2
            it.outlet.sendings[0].answer.set_result({})
            assert await it.rounds.flush(1) == 0

    asyncio.run(scenario())


def test_whoever_waits_when_the_rounds_end_learns_that_nobody_knows() -> None:
    async def scenario() -> None:
        async with bench() as it:
            answer = it.post("a@0")
            await it.outlet.nth(1)
        assert (await failure(answer)).code == "outcome_unknown"

    asyncio.run(scenario())
