"""A running stack for tests: `headrace up` in a folder of its own, and its lake as DuckDB reads it."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

import duckdb
from confluent_kafka import Consumer, TopicPartition

ROOT = Path(__file__).resolve().parent.parent
HEADRACE = [str(Path(sys.executable).parent / "headrace")]
READY_SECONDS_MAX = 240  # the first start of a machine downloads Kafka's jars
T = TypeVar("T")


def until(what: Callable[[], T], seconds: float, told: str) -> T:
    """Poll until `what` is true; fail with `told` after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {told}"
        time.sleep(0.05)  # the poll itself
    return found


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


class Stack:
    """`headrace up` as a person starts it; Ctrl-C goes to its whole process group, as a terminal sends it."""

    def __init__(self, folder: Path, config: str | None = None, *words: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.data = folder / "data"
        self.ready_file = folder / "ready.json"
        self.log = folder / "up.log"
        self.words = ["--port", str(free_port()), *words]
        if config is not None:
            (folder / "headrace.toml").write_text(f"[collector]\nadmin_port = {free_port()}\n{config}")
            self.words += ["--config", str(folder / "headrace.toml")]
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> dict[str, Any]:
        self.ready_file.unlink(missing_ok=True)
        words = ["up", "--data", str(self.data), "--ready-file", str(self.ready_file), *self.words]
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                [*HEADRACE, *words], stdout=out, stderr=out, stdin=subprocess.DEVNULL, start_new_session=True
            )
        until(lambda: self.ready_file.exists() or self.process.poll() is not None, READY_SECONDS_MAX, "ready")
        assert self.process.poll() is None, self.log.read_text()[-3000:]
        return self.ready

    @property
    def ready(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.ready_file.read_text())
        return found

    def stop(self, seconds: float = 60) -> int:
        """Ctrl-C; the exit code."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGINT)
        return self.process.wait(seconds)

    def kill(self) -> None:
        """End whatever is left of it."""
        if self.process is None:
            return
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        self.process.wait(10)

    def post(
        self, path: str, body: bytes, headers: Mapping[str, str] = {}
    ) -> tuple[int, dict[str, str], bytes]:
        return ask(self.ready["collector_url"], "POST", path, body, headers)

    @property
    def lake(self) -> Path:
        return Path(unquote(urlsplit(self.ready["lake"]).path))

    def rows(self, select: str, topic: str = "events") -> list[tuple[Any, ...]]:
        """DuckDB over the plain directory listing; `select` reads from `rows`."""
        files = f"{self.lake}/{topic}/date=*/hour=*/*.parquet"
        if not list(self.lake.glob(f"{topic}/date=*/hour=*/*.parquet")):
            return []
        with duckdb.connect() as lake:
            lake.execute(f"create view rows as select * from read_parquet('{files}', union_by_name=true)")
            return lake.execute(select).fetchall()

    def count(self, topic: str = "events") -> int:
        found = self.rows("select count(*) from rows", topic)
        return int(found[0][0]) if found else 0

    def landed(self, rows: int, seconds: float, topic: str = "events") -> None:
        """Wait until at least so many rows are visible."""
        until(lambda: self.count(topic) >= rows, seconds, f"{rows} rows of {topic}, have {self.count(topic)}")

    def end_offsets(self, topic: str = "events") -> dict[int, int]:
        """By Kafka partition, as confluent-kafka reads them."""
        consumer = Consumer({"bootstrap.servers": self.ready["kafka"], "group.id": "ends"})
        try:
            partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
            return {
                number: consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=10)[1]
                for number in partitions
            }
        finally:
            consumer.close()

    def verify(self) -> dict[str, Any]:
        """`headrace verify --json`: exit code 0 only for proof."""
        words = ["verify", "--lake", self.ready["lake"], "--json", "--deep"]
        done = subprocess.run([*HEADRACE, *words], capture_output=True, timeout=120, check=False)
        assert done.stdout, done.stderr.decode()
        found: dict[str, Any] = json.loads(done.stdout)
        assert (done.returncode == 0) == found["proved"]
        return found


def ask(
    url: str, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] = {}
) -> tuple[int, dict[str, str], bytes]:
    """Status, headers by lower-case name, body."""
    place = urlsplit(url)
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=30)
    try:
        connection.request(method, path, body=body, headers=dict(headers))
        answer = connection.getresponse()
        return answer.status, {key.lower(): value for key, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()
