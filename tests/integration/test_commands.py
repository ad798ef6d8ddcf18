"""The commands that look, beside a running stack: tail, query, verify, doctor, what sources show prints."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from stack_stand import HEADRACE, Stack, until

CONFIG = """
[sources.web]
write_keys = ["k-web"]
topic = "commands"
[topics.commands]
partitions = 3
"""
BEARER = {"authorization": "Bearer k-web", "content-type": "application/json"}
SEEN_SECONDS = 30


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, kafka: str) -> Iterator[Stack]:
    stack = Stack(tmp_path_factory.mktemp("commands"), CONFIG, "--kafka", kafka)
    try:
        stack.start()
        yield stack
    finally:
        stack.kill()


def headrace(stack: Stack, *words: str, code: int = 0) -> str:
    where = ["--config", str(stack.folder / "headrace.toml"), "--data", str(stack.data)]
    got = subprocess.run([*HEADRACE, *words, *where], capture_output=True, text=True, timeout=60, check=False)
    assert got.returncode == code, got.stdout + got.stderr
    return got.stdout


def asked(stack: Stack, sql: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(headrace(stack, "query", sql, "--json"))
    return found


class Tail:
    """`headrace tail --json` while it runs; its lines go to a file."""

    def __init__(self, stack: Stack, folder: Path, *words: str) -> None:
        self.file = folder / "tail.jsonl"
        where = ["--config", str(stack.folder / "headrace.toml"), "--data", str(stack.data)]
        with self.file.open("wb") as out:
            self.process = subprocess.Popen([*HEADRACE, "tail", "--json", *words, *where], stdout=out)

    def seen(self) -> dict[str | None, dict[str, Any]]:
        lines = self.file.read_text().rpartition("\n")[0].splitlines()
        return {told["event_id"]: told for told in map(json.loads, lines)}

    def end(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(20)


@pytest.fixture
def tail(stack: Stack, tmp_path: Path) -> Iterator[Tail]:
    """A tail that has already seen an event."""
    tail = Tail(stack, tmp_path, "--payload")
    try:
        number = 0

        def first() -> bool:
            nonlocal number
            number += 1
            stack.post("/events", json.dumps({"id": f"first-{number}"}).encode(), BEARER)
            return bool(tail.seen())

        until(first, SEEN_SECONDS, "the first event in tail")
        yield tail
    finally:
        tail.process.kill()
        tail.process.wait(10)


def test_an_event_is_seen_live_with_all_that_was_understood(stack: Stack, tail: Tail) -> None:
    text = b'{"id":"live-1","type":"track","name":"Bought","userId":"u1","n": 1.50}'
    status, _, _ = stack.post("/events", text, {**BEARER, "x-retry-count": "1"})
    assert status == 204
    told = until(lambda: tail.seen().get("live-1"), SEEN_SECONDS, "live-1 in tail")
    assert told["verdict"] == "accepted"
    assert (told["event_type"], told["event_name"], told["user_id"]) == ("track", "Bought", "u1")
    assert (told["source"], told["dialect"], told["ack"]) == ("web", "native", "kafka")
    assert told["payload"] == text.decode()
    assert "retry" in told["notes"]
    assert tail.end() == 0


def test_what_was_quarantined_and_what_is_foreign_is_seen_as_such(stack: Stack, tail: Tail) -> None:
    body = b'{"batch":[{"type":"track","messageId":"good-1","userId":"u"},42]}'
    status, _, _ = stack.post("/v1/batch", body, BEARER)
    assert status == 200
    producer = Producer({"bootstrap.servers": stack.ready["kafka"]})
    producer.produce("commands", b"\xff\xfe no event", b"\x00", headers=[("hr_time", b"short"), ("x", None)])
    producer.flush(10)
    until(lambda: "good-1" in tail.seen(), SEEN_SECONDS, "the good event in tail")

    def verdicts() -> set[str]:
        lines = tail.file.read_text().rpartition("\n")[0].splitlines()
        return {json.loads(line)["verdict"] for line in lines}

    until(lambda: verdicts() == {"accepted", "quarantined", "foreign"}, SEEN_SECONDS, "all three verdicts")
    assert tail.process.poll() is None


def test_the_newest_events_can_be_looked_at_afterwards(stack: Stack, tmp_path: Path) -> None:
    ids = [f"last-{number}" for number in range(7)]
    for name in ids:
        stack.post("/events", json.dumps({"id": name, "userId": name}).encode(), BEARER)
    tail = Tail(stack, tmp_path, "--last", "5", "--topic", "commands")
    try:
        until(lambda: len(tail.seen()) >= 5, SEEN_SECONDS, "five events")
        assert tail.end() == 0
        assert list(tail.seen()) == ids[2:]
    finally:
        tail.process.kill()


def test_what_sources_show_prints_for_python_arrives(stack: Stack) -> None:
    before = len(asked(stack, "select 1 from commands where event_name = 'Order Completed'"))
    for sdk in ("segment-python", "cloudevents-python", "curl"):
        recipe = headrace(stack, "sources", "show", "web", "--keys", "--sdk", sdk)
        program = ["sh", "-c"] if sdk == "curl" else [sys.executable, "-c"]
        done = subprocess.run([*program, recipe], capture_output=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr.decode()
    sql = "select dialect, event_type, user_id from commands where dialect = 'cloudevents' or"
    sql += " event_name = 'Order Completed' order by dialect"
    until(lambda: len(asked(stack, sql)) >= before + 3, SEEN_SECONDS, "three events in the lake")
    found = {(row["dialect"], row["event_type"]) for row in asked(stack, sql)}
    wanted = {("segment", "track"), ("cloudevents", "com.example.order"), ("native", "track")}
    assert wanted <= found


def test_g5_the_lake_is_proved_against_kafka_too(stack: Stack) -> None:
    def caught_up() -> bool:
        words = ["verify", "--json", "--topic", "commands", "--kafka", stack.ready["kafka"]]
        got = subprocess.run(
            [*HEADRACE, *words, "--lake", stack.ready["lake"]], capture_output=True, timeout=60, check=False
        )
        told = json.loads(got.stdout)
        assert (got.returncode == 0) == told["proved"]
        topic = told["topics"].get("commands", {})
        return bool(told["proved"] and topic["lag"] == 0 and topic["records"] > 0)

    until(caught_up, SEEN_SECONDS, "proved without lag")


def test_a_repeated_event_stands_once_in_the_view_without_duplicates(stack: Stack) -> None:
    for _ in range(3):
        stack.post("/events", b'{"id":"again-1"}', BEARER)
    sql = "select (select count(*) from commands where event_id = 'again-1') as all_rows,"
    sql += " (select count(*) from commands_once where event_id = 'again-1') as once"
    until(lambda: asked(stack, sql)[0]["all_rows"] == 3, SEEN_SECONDS, "three rows")
    assert asked(stack, sql)[0]["once"] == 1


def test_doctor_finds_a_running_stack_in_order(stack: Stack) -> None:
    told = json.loads(headrace(stack, "doctor", "--json"))
    assert told["ok"] is True, told
    texts = " ".join(check["text"] for check in told["checks"] if check["state"] == "ok")
    for word in ("answers", "read and write", "exactly once", "commands lands here", "synced"):
        assert word in texts
    assert {check["area"] for check in told["checks"]} == {
        "program",
        "settings",
        "disk",
        "kafka",
        "clock",
        "lake",
    }


def test_doctor_names_a_topic_that_is_set_up_wrongly(stack: Stack, kafka: str) -> None:
    from confluent_kafka.admin import AdminClient, NewTopic

    name = f"doctor-{os.getpid()}"
    topic = NewTopic(name, 1, 1, config={"cleanup.policy": "compact"})
    admin = AdminClient({"bootstrap.servers": kafka})
    admin.create_topics([topic])[name].result(10)
    config = stack.folder / "wrong.toml"
    config.write_text(f'[kafka]\nbootstrap_servers = "{kafka}"\n[sources.a]\ntopic = "{name}"\n')
    got = subprocess.run(
        [*HEADRACE, "doctor", "--json", "--config", str(config)], capture_output=True, timeout=60, check=False
    )
    assert got.returncode == 1, got.stderr
    wrong = [check for check in json.loads(got.stdout)["checks"] if check["state"] == "wrong"]
    assert len(wrong) == 1
    assert name in wrong[0]["text"]
    assert "cleanup.policy=delete" in wrong[0]["todo"]
