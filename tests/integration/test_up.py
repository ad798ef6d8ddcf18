"""`headrace up`, `collect` and `sink` as a person runs them: killed in parts, stopped, started again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from stack_stand import HEADRACE, Stack, ask, free_port, until

pytestmark = pytest.mark.timeout(300)  # several starts of Kafka in one test

JSON = {"content-type": "application/json"}
LANDED_SECONDS = 60
RESTARTED_SECONDS = 60
VISIBLE_SECONDS = 10


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory, kafka_jars: None) -> Iterator[Stack]:
    stack = Stack(tmp_path_factory.mktemp("up") / "a folder")
    try:
        yield stack
    finally:
        stack.kill()


@pytest.fixture
def stack(stand: Stack) -> Stack:
    """The stack of this module, running: a start takes seconds."""
    if stand.process is None or stand.process.poll() is not None:
        stand.start()
    return stand


def posted(stack: Stack, name: str) -> tuple[int, dict[str, str]]:
    body = json.dumps({"event_id": name, "event_type": "test"}).encode()
    status, headers, _ = ask(stack.ready["collector_url"], "POST", "/events", body, JSON)
    return status, headers


class Sender(threading.Thread):
    """A light load; remembers what was answered with success, and never sends an id twice."""

    def __init__(self, stack: Stack) -> None:
        super().__init__(daemon=True)
        self.stack, self.over = stack, threading.Event()
        self.acknowledged: list[str] = []

    def run(self) -> None:
        number = 0
        while not self.over.wait(0.02):
            number += 1
            try:
                status, headers = posted(self.stack, f"light-{number}")
            except OSError:
                continue  # killed under the request; the event was not acknowledged
            if 200 <= status < 300:
                self.acknowledged.append(f"light-{number}")
                assert headers["headrace-ack"] in ("kafka", "disk")


def pid_of(stack: Stack, role: str) -> int:
    found = stack.ready["processes"][role]
    return int((found or [0])[0] if isinstance(found, list) else found or 0)


def readyz(stack: Stack) -> tuple[int, dict[str, Any]]:
    status, _, body = ask(stack.ready["admin_url"], "GET", "/readyz")
    return status, json.loads(body)


def all_ready(stack: Stack) -> bool:
    processes = readyz(stack)[1]["processes"]
    return all(one["ready"] for running in processes.values() for one in running)


def killed(stack: Stack, role: str) -> None:
    """SIGKILL, and wait until its successor is ready and stands in the ready file."""
    pid = pid_of(stack, role)
    os.kill(pid, signal.SIGKILL)
    until(lambda: pid_of(stack, role) not in (0, pid), RESTARTED_SECONDS, f"a new {role} in the ready file")
    until(lambda: all_ready(stack), RESTARTED_SECONDS, f"all ready after {role} was killed")


def landed(stack: Stack, names: list[str]) -> None:
    wanted = set(names)
    until(
        lambda: wanted <= {row[0] for row in stack.rows("select event_id from rows")},
        LANDED_SECONDS,
        "all acknowledged events in the lake",
    )


def test_g2_what_was_answered_survives_kills_of_each_part_and_a_stop(stack: Stack) -> None:
    assert posted(stack, "first")[0] == 204
    began = time.monotonic()
    landed(stack, ["first"])
    assert time.monotonic() - began < VISIBLE_SECONDS
    sender = Sender(stack)
    sender.start()
    for role in ("collector", "sink", "kafka"):
        killed(stack, role)
    before = len(sender.acknowledged)
    until(lambda: len(sender.acknowledged) >= before + 20, LANDED_SECONDS, "events are taken again")
    sender.over.set()
    sender.join(30)
    assert stack.stop() == 0
    assert stack.process is not None
    stack.start()
    assert posted(stack, "last")[0] == 204
    landed(stack, ["first", *sender.acknowledged, "last"])
    assert len(sender.acknowledged) > 50
    doubled = stack.rows(
        "select count(*) - count(distinct (kafka_incarnation, kafka_partition, kafka_offset)) from rows"
    )
    assert doubled == [(0,)], "G3: one row a record"
    report = stack.verify()
    assert report["proved"], report["problems"]


def test_the_whole_killed_at_once_starts_again_and_finds_its_left_over_kafka(stack: Stack) -> None:
    assert posted(stack, "before")[0] == 204
    assert stack.process is not None
    kafka = pid_of(stack, "kafka")
    os.kill(kafka, signal.SIGSTOP)  # so that it can't end by itself
    stack.process.kill()
    stack.process.wait(10)
    for role in ("collector", "sink"):
        until(lambda role=role: not Path(f"/proc/{pid_of(stack, role)}").exists(), 10, f"{role} ended too")
    assert Path(f"/proc/{kafka}").exists()
    waking = threading.Thread(target=woken, args=(stack, kafka))
    waking.start()
    stack.start()
    waking.join()
    assert not Path(f"/proc/{kafka}").exists()
    landed(stack, ["before"])


def test_a_second_up_on_the_folder_and_on_the_port_is_told_who_has_it(stack: Stack) -> None:
    assert stack.process is not None
    port = stack.ready["collector_url"].rsplit(":", 1)[1]
    for words in (
        ["--data", str(stack.data), "--port", "0"],
        ["--data", str(stack.folder / "b"), "--port", port],
    ):
        done = subprocess.run(
            [*HEADRACE, "up", *words], capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 2
        assert done.stderr.count("\n") == 1
        assert f"process {stack.process.pid}" in done.stderr
    assert readyz(stack)[0] == 200


def test_a_second_ctrl_c_hurries_and_nothing_is_lost(stack: Stack) -> None:
    assert posted(stack, "kept")[0] == 204
    assert stack.process is not None
    os.kill(pid_of(stack, "sink"), signal.SIGSTOP)
    os.killpg(stack.process.pid, signal.SIGINT)
    until(lambda: b"stopping" in stack.log.read_bytes(), 10, "it says that it stops")
    time.sleep(1)  # a second key press, which is not of the same breath
    began = time.monotonic()
    os.killpg(stack.process.pid, signal.SIGINT)
    assert stack.process.wait(10) == 0
    assert time.monotonic() - began < 5
    assert "sink 0 was killed" in stack.log.read_text()
    stack.start()
    landed(stack, ["kept"])


def test_kafka_and_lake_that_exist_are_used(tmp_path: Path, kafka: str) -> None:
    config = '[sources.web]\nwrite_keys = ["k"]\ntopic = "up-outside"\n[sink]\ngroup = "up-outside"\n'
    stack = Stack(tmp_path, config, "--kafka", kafka, "--lake", str(tmp_path / "my lake"))
    try:
        ready = stack.start()
        assert ready["kafka"] == kafka
        assert ready["processes"]["kafka"] is None
        status, headers, _ = stack.post("/events", b'{"event_id":"x"}', {**JSON, "authorization": "Bearer k"})
        assert (status, headers["headrace-ack"]) == (204, "kafka")
        stack.landed(1, LANDED_SECONDS, "up-outside")
        assert list((tmp_path / "my lake" / "up-outside").glob("date=*/hour=*/*.parquet"))
        assert not (stack.data / "kafka" / "data").exists()
        assert stack.stop() == 0
    finally:
        stack.kill()


def test_collect_and_sink_run_alone_and_end_on_sigterm(tmp_path: Path, kafka: str) -> None:
    port, admin, sink_admin = free_port(), free_port(), free_port()
    config = tmp_path / "headrace.toml"
    config.write_text(
        f'[kafka]\nbootstrap_servers = "{kafka}"\n[lake]\nurl = "file://{tmp_path}/lake"\n'
        f"[collector]\nport = {port}\nadmin_port = {admin}\nworkers = 2\n"
        f'[sink]\ngroup = "alone"\nadmin_port = {sink_admin}\n'
        '[sources.web]\ntopic = "alone"\n[topics.alone]\nroll_seconds = 1\n'
    )
    programs = [
        subprocess.Popen([*HEADRACE, role, "--config", str(config)], stderr=(tmp_path / role).open("wb"))
        for role in ("collect", "sink")
    ]
    try:
        for place in (admin, sink_admin):
            until(lambda place=place: up(place), LANDED_SECONDS, f"ready on {place}")
        for number in range(20):
            body = f'{{"event_id":"{number}"}}'.encode()
            assert ask(f"http://127.0.0.1:{port}", "POST", "/events", body, JSON)[0] == 204
        folder = tmp_path / "lake" / "alone"
        until(lambda: list(folder.glob("date=*/hour=*/*.parquet")), LANDED_SECONDS, "visible files")
        metrics = ask(f"http://127.0.0.1:{admin}", "GET", "/metrics")[2].decode()
        assert 'headrace_events_accepted_total{source="web"} 20.0' in metrics, "both workers, merged"
        assert "headrace_workers_ready 2.0" in metrics
    finally:
        for program in programs:
            program.terminate()
        codes = [program.wait(60) for program in programs]
    assert codes == [0, 0], [(tmp_path / role).read_text()[-2000:] for role in ("collect", "sink")]
    for line in (tmp_path / "collect").read_text().splitlines():
        json.loads(line)


def woken(stack: Stack, pid: int) -> None:
    """Let the stopped process go on once the new start has found it."""
    log = stack.data / "logs" / "supervisor.log"
    until(lambda: b"leftover_broker_found" in log.read_bytes(), LANDED_SECONDS, "the left-over is found")
    os.kill(pid, signal.SIGCONT)


def up(port: int) -> bool:
    try:
        return ask(f"http://127.0.0.1:{port}", "GET", "/readyz")[0] == 200
    except OSError:
        return False
