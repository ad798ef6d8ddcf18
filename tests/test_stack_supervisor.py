"""The supervisor, with small scripted children: restarts, order of the stop, sockets, silence."""

from __future__ import annotations

import asyncio
import os
import signal
from asyncio.subprocess import Process
from pathlib import Path

import pytest
from supervisor_stand import SAYS_READY, alive, listening, log_file, program, run, running, until

from headrace.stack.process import (
    BACKOFF_SECONDS_MAX,
    BACKOFF_SECONDS_MIN,
    HUNG_SECONDS_MAX,
    Supervised,
    backoff,
)
from headrace.stack.readiness import state_of
from headrace.stack.status import STALE_SECONDS, Status
from headrace.stack.supervisor import HURRY_SECONDS_MIN, Supervisor


class Clock:
    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


def test_a_child_that_is_killed_is_started_again() -> None:
    async def test() -> None:
        async with running([program("collector", SAYS_READY)]) as (supervisor, _):
            await until(lambda: supervisor.complete)
            first = supervisor.pids("collector")[0]
            os.kill(first, signal.SIGKILL)
            await until(lambda: supervisor.pids("collector") not in ([], [first]))
            await until(lambda: supervisor.of("collector")[0].ready)
            assert supervisor.of("collector")[0].restarts == 1
            assert not alive(first)

    run(test)


def test_the_wait_before_a_restart_doubles_up_to_its_bound_and_starts_anew_after_running_well() -> None:
    delays = [0.0]
    for _ in range(12):
        delays.append(backoff(delays[-1]))
    assert delays[1:4] == [BACKOFF_SECONDS_MIN, 2 * BACKOFF_SECONDS_MIN, 4 * BACKOFF_SECONDS_MIN]
    assert delays[-1] == BACKOFF_SECONDS_MAX
    assert delays == sorted(delays)


def test_a_child_that_can_not_run_says_why_and_is_tried_again(tmp_path: Path) -> None:
    script = """
    sys.stderr.write(json.dumps({"event": "refused", "level": "error", "text": "no such lake"}))
    sys.exit(2)
    """

    async def test() -> None:
        async with running([program("sink", script, log=log_file(tmp_path))]) as (supervisor, _):
            await until(lambda: supervisor.processes and supervisor.processes[0].restarts >= 2)
            process = supervisor.processes[0]
            await until(lambda: process.pid is None)
            assert "ended with code 2: no such lake; starts again within" in process.reasons[0]
            assert not state_of(supervisor)["ready"]

    run(test)


def test_a_program_that_does_not_exist_is_said_in_words(tmp_path: Path) -> None:
    missing = program("sink", "")
    missing.argv[0] = str(tmp_path / "none")  # type: ignore[index]

    async def test() -> None:
        async with running([missing]) as (supervisor, _):
            await until(lambda: supervisor.processes and supervisor.processes[0].restarts)
            assert "could not be started (No such file" in supervisor.processes[0].reasons[0]

    run(test)


def stopping(role: str, notes: Path, seconds: float = 0.0) -> str:
    return f"""
    def stop(*_):
        with open({str(notes)!r}, "a") as notes:
            notes.write("{role} told\\n")
            notes.flush()
            time.sleep({seconds})
            notes.write("{role} ends\\n")
        os._exit(0)
    signal.signal(signal.SIGTERM, stop)
    """ + "\n    ".join(SAYS_READY.splitlines())


def test_the_stop_is_in_order_and_each_waits_for_the_one_before(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    stages = [[program(role, stopping(role, notes, 0.1))] for role in ("kafka", "sink", "collector")]

    async def test() -> None:
        async with running(*stages) as (supervisor, task):
            await until(lambda: supervisor.complete)
            supervisor.ask_stop()
            assert await task == []
        wanted = [f"{role} {what}" for role in ("collector", "sink", "kafka") for what in ("told", "ends")]
        assert notes.read_text().splitlines() == wanted

    run(test)


DEAF = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + SAYS_READY


def test_who_does_not_stop_in_time_is_killed_and_that_is_said() -> None:
    async def test() -> None:
        async with running([program("collector", DEAF, stop_seconds=0.2)]) as (supervisor, task):
            await until(lambda: supervisor.complete)
            pid = supervisor.pids("collector")[0]
            supervisor.ask_stop()
            assert await task == ["collector 0 did not stop within 0 s and was killed"]
            assert not alive(pid)

    run(test)


@pytest.mark.parametrize("hurries", [True, False])
def test_a_second_signal_kills_at_once_but_not_one_in_the_same_breath(hurries: bool) -> None:
    clock = Clock()

    async def test() -> None:
        deaf = program("collector", DEAF, stop_seconds=0.2 if not hurries else 1000.0)
        async with running([deaf], now=clock) as (supervisor, task):
            await until(lambda: supervisor.complete)
            supervisor.ask_stop()
            clock.seconds += HURRY_SECONDS_MIN if hurries else HURRY_SECONDS_MIN - 0.01
            supervisor.ask_stop()
            words = "was killed" if hurries else "did not stop within 0 s and was killed"
            assert await task == [f"collector 0 {words}"]

    run(test)


def test_what_was_not_flushed_is_said() -> None:
    script = """
    def stop(*_):
        say(ready=False, records_not_flushed=7)
        os._exit(0)
    signal.signal(signal.SIGTERM, stop)
    """ + "\n    ".join(SAYS_READY.splitlines())

    async def test() -> None:
        async with running([program("collector", script)]) as (supervisor, task):
            await until(lambda: supervisor.complete)
            supervisor.ask_stop()
            assert await task == ["collector 0 could not flush 7 records; their senders got no answer"]

    run(test)


def test_a_stop_while_a_child_is_being_started_leaves_none_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    spawn, pids = Supervised._spawn, []

    async def test() -> None:
        async with running([program("collector", "time.sleep(60)", stop_seconds=1000)]) as (supervisor, task):

            async def slow(self: Supervised) -> tuple[Process, int]:
                made = await spawn(self)
                pids.append(made[0].pid)
                supervisor.ask_stop()
                await until(lambda: self._stopping.is_set())
                return made

            monkeypatch.setattr(Supervised, "_spawn", slow)
            assert await asyncio.wait_for(task, 5) == []
            assert not alive(pids[0])

    run(test)


def test_a_stage_starts_once_the_one_before_is_ready(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    waits = f"""
    say(ready=False)
    while not os.path.exists({str(gate)!r}):
        time.sleep(0.01)
    """ + "\n    ".join(SAYS_READY.splitlines())

    async def test() -> None:
        async with running([program("kafka", waits)], [program("sink", SAYS_READY)]) as (supervisor, _):
            await until(lambda: supervisor.pids("kafka") and supervisor.of("kafka")[0].status.fresh)
            assert not supervisor.of("sink")
            assert not supervisor.complete
            gate.touch()
            await until(lambda: supervisor.complete)
            assert supervisor.pids("sink")

    run(test)


def test_a_child_is_not_touched_by_ctrl_c() -> None:
    async def test() -> None:
        async with running([program("collector", SAYS_READY)]) as (supervisor, _):
            await until(lambda: supervisor.complete)
            pid = supervisor.pids("collector")[0]
            assert os.getpgid(pid) == os.getpgid(0)
            os.kill(pid, signal.SIGINT)
            os.kill(pid, signal.SIGCONT)
            blocked = next(
                int(line.split()[1], 16)
                for line in Path(f"/proc/{pid}/status").read_text().splitlines()
                if line.startswith("SigBlk")
            )
            assert blocked & 1 << (signal.SIGINT - 1)
            assert alive(pid)
            assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())

    run(test)


def test_g2_a_client_in_the_queue_of_a_killed_child_is_served_by_its_successor(tmp_path: Path) -> None:
    marker = tmp_path / "lived"
    serves = f"""
    listener = socket.socket(fileno=int(given["--fd"]))
    if not os.path.exists({str(marker)!r}):
        open({str(marker)!r}, "w").close()
        say()
        time.sleep(60)
    say()
    while True:
        client, _ = listener.accept()
        client.sendall(b"served by %d" % os.getpid())
        client.close()
    """

    async def test() -> None:
        listener = listening()
        async with running([program("collector", serves, listener=listener)]) as (supervisor, _):
            await until(lambda: supervisor.complete)
            first = supervisor.pids("collector")[0]
            reader, writer = await asyncio.open_connection(*listener.getsockname())
            os.kill(first, signal.SIGKILL)
            answer = await asyncio.wait_for(reader.read(), 10)
            writer.close()
            assert answer == b"served by %d" % supervisor.pids("collector")[0]
            assert supervisor.pids("collector")[0] != first

    run(test)


def test_once_it_stops_nobody_queues_any_more() -> None:
    async def test() -> None:
        listener = listening()
        place = listener.getsockname()
        async with running([program("collector", SAYS_READY, listener=listener)]) as (supervisor, task):
            await until(lambda: supervisor.complete)
            supervisor.ask_stop()
            await task
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(*place)

    run(test)


def test_a_line_counts_for_five_seconds_and_no_longer() -> None:
    clock = Clock()
    status = Status(clock)
    assert not status.fresh
    assert status.hear(b'{"ready": true, "reasons": []}')
    clock.seconds += STALE_SECONDS
    assert status.ready
    clock.seconds += 0.01
    assert not status.ready
    assert not status.hear(b'{"ready": true, "reasons": []}'), "nothing new was said"
    assert status.ready


@pytest.mark.parametrize("junk", [b"{", b"[1]", b"3", b"\xff\xfe"])
def test_what_is_no_status_line_is_passed_over(junk: bytes) -> None:
    status = Status(Clock())
    assert not status.hear(junk)
    assert not status.fresh


def test_a_child_that_went_silent_does_not_count_as_ready_and_is_named() -> None:
    clock = Clock()

    async def test() -> None:
        once = "say()\ntime.sleep(60)"
        async with running([program("collector", once)], now=clock) as (supervisor, _):
            await until(lambda: supervisor.complete)
            assert state_of(supervisor)["ready"]
            clock.seconds += STALE_SECONDS + 0.1
            state = state_of(supervisor)
            assert not state["ready"]
            pid = supervisor.pids("collector")[0]
            assert state["reasons"] == [f"collector: process {pid} does not answer"]
            assert state["kafka"] == {"state": "down"}

    run(test)


def test_a_child_that_says_nothing_for_a_minute_is_killed_and_started_again() -> None:
    clock = Clock()

    async def test() -> None:
        once = "say()\ntime.sleep(60)"
        async with running([program("collector", once)], now=clock) as (supervisor, _):
            await until(lambda: supervisor.complete)
            process = supervisor.processes[0]
            clock.seconds += STALE_SECONDS + 0.1
            process.tick(HUNG_SECONDS_MAX)
            await until(lambda: process.restarts == 1 and process.ready)

    run(test)


def test_silence_is_counted_up_to_its_bound() -> None:
    process = Supervised(program("collector", ""), lambda: None, Clock())
    process.pid = 1
    killed: list[object] = []
    process.signal = killed.append  # type: ignore[assignment, method-assign]
    process.tick(HUNG_SECONDS_MAX - 0.5)
    assert not killed
    process.tick(0.5)
    assert killed == [signal.SIGKILL]
    process.tick(HUNG_SECONDS_MAX - 0.5)
    assert len(killed) == 1, "the successor has its own time"


def test_a_process_that_speaks_is_never_called_hung() -> None:
    clock = Clock()
    process = Supervised(program("collector", ""), lambda: None, clock)
    process.pid = 1
    killed: list[object] = []
    process.signal = killed.append  # type: ignore[assignment, method-assign]
    for _ in range(10):
        process.tick(HUNG_SECONDS_MAX - 1)
        process.status.hear(b'{"ready": true}')
        process.tick(1)
    assert not killed


def test_kafka_is_up_while_anybody_reaches_it_and_our_own_answers() -> None:
    answers = [True]

    async def answering() -> bool:
        return answers[0]

    kafka = program("kafka", "time.sleep(60)", probe=answering)
    said = 'say(kafka={"state": "up", "since": "s"})\n'
    collector = program("collector", said + SAYS_READY.replace("say()", said.strip()))

    async def test() -> None:
        async with running([kafka], [collector]) as (supervisor, _):
            await until(lambda: supervisor.complete)
            assert state_of(supervisor)["kafka"] == {"state": "up", "since": "s"}
            answers[0] = False
            await until(lambda: state_of(supervisor)["kafka"] == {"state": "down"})
            assert state_of(supervisor)["ready"], "the collector knows better what it can take"

    run(test)


def test_g1_findings_about_topics_are_said_once_and_make_nothing_unready() -> None:
    def worker(*codes: str) -> str:
        found = [{"topic": "t", "code": code, "text": "x", "severity": "warning"} for code in codes]
        return f"while True:\n    say(topics={found!r})\n    time.sleep(0.2)"

    workers = [
        program("collector", worker("one_copy", "create_time")),
        program("collector", worker("one_copy")),
    ]

    async def test() -> None:
        async with running(workers) as (supervisor, _):
            await until(lambda: supervisor.complete)
            state = state_of(supervisor)
            assert [(one["topic"], one["code"]) for one in state["topics"]] == [
                ("t", "create_time"),
                ("t", "one_copy"),
            ]
            assert (state["ready"], state["reasons"]) == (True, [])

    run(test)


def away(why: str) -> str:
    said = f"say(False, reasons=['Kafka is away: {why}'])"
    return f"while True:\n    {said}\n    time.sleep(0.2)"


def test_a_kafka_of_others_that_is_away_is_said_once_with_what_to_do() -> None:
    programs = [program("collector", away("nothing listens on k:9092")), program("sink", away("no broker"))]

    async def test() -> None:
        async with running(programs) as (supervisor, _):
            advice = "start Kafka there, or mend bootstrap_servers (--kafka) and the login in [kafka]"
            wanted = [f"Kafka is away: nothing listens on k:9092; {advice}"]
            await until(lambda: state_of(supervisor)["reasons"] == wanted)

    run(test)


def test_while_our_own_kafka_is_away_only_its_own_reason_is_said() -> None:
    async def answering() -> bool:
        return False

    kafka = program("kafka", "time.sleep(60)", probe=answering)

    async def test() -> None:
        async with running([kafka]) as (supervisor, _):
            collector = Supervised(program("collector", ""), lambda: None, Clock())
            collector.pid = 1
            collector.status.hear(b'{"ready": false, "reasons": ["Kafka is away: x", "topic t: y"]}')
            await until(lambda: supervisor.pids("kafka"))
            supervisor.processes.append(collector)
            told = state_of(supervisor)["reasons"]
            supervisor.processes.remove(collector)
            assert told == ["kafka: does not answer yet", "collector: topic t: y"]

    run(test)


def test_a_sink_alone_is_ready_by_its_own_word() -> None:
    async def test() -> None:
        async with running([program("sink", SAYS_READY)]) as (supervisor, _):
            assert not state_of(supervisor)["ready"]
            await until(lambda: supervisor.complete)
            assert state_of(supervisor)["ready"]

    run(test)


def test_before_anything_runs_it_is_starting() -> None:
    async def test() -> None:
        state = state_of(Supervisor([]))
        assert (state["ready"], state["reasons"], state["kafka"]) == (False, ["starting"], {"state": "down"})

    run(test)
