"""Kafka's folder, ports and left-overs, without Kafka: what `prepare` keeps, refuses and says."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from headrace.errors import HeadraceError
from headrace.stack import broker, leftover
from headrace.stack.broker_files import Ports, Secure, log4j2_properties, ports_of, server_properties
from headrace.stack.launch import started

EPHEMERAL_MIN = 32_768  # ip_local_port_range of Linux begins here


@pytest.fixture
def unformatted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Formatting takes a JVM; here the folder just looks as if it had been."""

    def formatted(made: broker.Broker, secure: Secure | None) -> None:
        (made.home / "data").mkdir()
        (made.home / "data" / "meta.properties").write_text("version=1\n")

    monkeypatch.setattr(broker, "_format", formatted)


def until(holds: Callable[[], object], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.usefixtures("unformatted")
def test_ports_lie_outside_of_those_of_outgoing_connections_and_are_kept(tmp_path: Path) -> None:
    first = broker.prepare(tmp_path / "k", [])
    assert len(set(first.ports)) == 3, "broker, controller and none for the secure listener"
    assert max(first.ports) < EPHEMERAL_MIN
    assert broker.prepare(tmp_path / "k", []).ports == first.ports


@pytest.mark.usefixtures("unformatted")
def test_a_kept_port_that_somebody_took_meanwhile_is_exchanged_for_a_free_one(tmp_path: Path) -> None:
    first = broker.prepare(tmp_path / "k", [])
    with socket.create_server(("127.0.0.1", first.ports.broker)):
        second = broker.prepare(tmp_path / "k", [])
    assert second.ports.broker != first.ports.broker
    assert second.ports.controller == first.ports.controller


@pytest.mark.usefixtures("unformatted")
def test_a_port_that_was_asked_for_and_is_taken_is_an_error_that_names_it(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(HeadraceError, match=f"port {port} is taken") as caught:
            broker.prepare(tmp_path / "k", [], port=port)
    assert caught.value.code == "port_taken"
    assert broker.prepare(tmp_path / "k", [], port=port).ports.broker == port


def test_the_files_are_read_back_as_they_were_meant() -> None:
    secure = Secure(Path("/keys/broker.pem"), "u", "p")
    text = server_properties(Ports(20001, 20002, 20003), Path("/data/jürg\\x 😀"), secure)
    assert "log.dirs=/data/j\\u00fcrg\\\\x \\ud83d\\ude00\n" in text
    assert ports_of(text) == Ports(20001, 20002, 20003)
    assert ports_of(server_properties(Ports(20001, 20002), Path("/d"), None)) == Ports(20001, 20002, 0)
    assert ports_of("") is None
    assert "auto.create.topics.enable=false\n" in text
    assert all(ord(char) < 0x80 for char in text + log4j2_properties(Path("/jürg/kafka.log")))
    assert "0.0.0.0" not in text


@pytest.mark.usefixtures("unformatted")
@pytest.mark.parametrize(("free", "refused"), [(0, False), (-1, True)])
def test_a_disk_that_is_nearly_full_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, refused: bool
) -> None:
    usage = SimpleNamespace(free=broker.DISK_FREE_BYTES_MIN + free)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    if not refused:
        broker.prepare(tmp_path / "k", [])
        return
    with pytest.raises(HeadraceError, match="Make room") as caught:
        broker.prepare(tmp_path / "k", [])
    assert caught.value.code == "disk_full"


@pytest.mark.usefixtures("unformatted")
@pytest.mark.parametrize(("wrote", "refused"), [("4.3.1", False), ("3.9.9", False), ("4.10.0", True)])
def test_data_of_a_newer_kafka_is_refused(tmp_path: Path, wrote: str, refused: bool) -> None:
    home = tmp_path / "k"
    broker.prepare(home, [])
    (home / "version").write_text(f"{wrote}\n")
    if not refused:
        broker.prepare(home, [])
        return
    with pytest.raises(HeadraceError, match=r"written by Kafka 4\.10\.0") as caught:
        broker.prepare(home, [])
    assert caught.value.code == "data_newer"


@pytest.mark.usefixtures("unformatted")
@pytest.mark.parametrize("name", ["a,b", "file/k"])
def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HeadraceError, match=name.split("/", maxsplit=1)[0]) as caught:
        broker.prepare(tmp_path / name, [])
    assert caught.value.code == "data_unreadable"


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("java.io.IOException: No space left on device", "disk_full"),
        ("java.net.BindException: Address already in use", "port_taken"),
        ("KafkaException: Failed to acquire lock on file .lock in /d", "broker_in_use"),
        ("2026-11-24T09:00:00.000Z ERROR KafkaRaftServer something new", "broker_ended"),
        ("", "broker_ended"),
    ],
)
def test_the_last_words_of_kafka_are_put_into_advice(tmp_path: Path, line: str, code: str) -> None:
    made = broker.Broker(tmp_path, Ports(1, 2), (), 1)
    start = "2026-11-24T08:00:00.000Z INFO Registered `kafka:type=kafka.Log4jController` MBean\n"
    made.log.write_text(f"{start}IOException: No space left on device\n{start}{line}\n")
    error = broker.diagnosis(made)
    assert error.code == code
    assert str(made.log) in str(error)


def launched(tmp_path: Path, parent: int | None = None) -> subprocess.Popen[bytes]:
    """A process that is started as Kafka is, and only sleeps."""
    command = [sys.executable, "-I", "-S", str(broker.LAUNCH), str(parent or os.getpid())]
    process = subprocess.Popen([*command, str(tmp_path / "kafka.pid"), "/bin/sleep", "60"])
    until(lambda: Path(f"/proc/{process.pid}/comm").read_text() == "sleep\n" or process.poll() is not None)
    return process


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_launched_process_keeps_its_pid_ignores_sigint_and_is_in_its_pid_file(tmp_path: Path) -> None:
    process = launched(tmp_path)
    try:
        found = leftover.owner(tmp_path / "kafka.pid")
        assert found == (process.pid, started(process.pid), os.getpid(), started(os.getpid()))
        assert os.getpgid(process.pid) == os.getpgid(0), "stays in the foreground process group"
        process.send_signal(signal.SIGINT)
        ignored = Path(f"/proc/{process.pid}/status").read_text().split("SigIgn:")[1].split()[0]
        assert int(ignored, 16) & 1 << signal.SIGINT - 1
        assert found.runs()
    finally:
        process.kill()
        process.wait()


def test_a_process_whose_parent_is_another_than_it_was_told_ends_at_once(tmp_path: Path) -> None:
    process = launched(tmp_path, parent=1)
    assert process.wait(10) == 75
    assert not (tmp_path / "kafka.pid").exists()


def test_a_leftover_is_stopped_by_its_pid_file(tmp_path: Path) -> None:
    process = launched(tmp_path)
    assert leftover.stop(tmp_path / "kafka.pid")
    assert process.wait(10) == -signal.SIGTERM
    assert not leftover.stop(tmp_path / "kafka.pid"), "there is none any more"


def test_a_leftover_that_does_not_end_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leftover, "STOP_SECONDS_MAX", 0.1)
    process = launched(tmp_path)
    process.send_signal(signal.SIGSTOP)
    until(lambda: ") T " in Path(f"/proc/{process.pid}/stat").read_text())
    assert leftover.stop(tmp_path / "kafka.pid")
    assert process.wait(10) == -signal.SIGKILL


@pytest.mark.parametrize("text", ["{pid} 1 {pid} 1", "{pid}", "x y z 1", ""])
def test_a_process_that_only_has_the_pid_of_a_pid_file_is_never_touched(tmp_path: Path, text: str) -> None:
    (tmp_path / "kafka.pid").write_text(text.format(pid=os.getpid()))
    assert not leftover.stop(tmp_path / "kafka.pid")


def test_a_kafka_whose_starter_runs_is_in_use_and_stays(tmp_path: Path) -> None:
    process = launched(tmp_path)
    try:
        pid_file = tmp_path / "kafka.pid"
        ours = leftover.owner(pid_file)
        assert ours is not None
        parent = os.getppid()
        pid_file.write_text(f"{ours.pid} {ours.started} {parent} {started(parent)}\n")
        with pytest.raises(HeadraceError, match=f"process {parent} runs Kafka") as caught:
            leftover.stop(pid_file)
        assert caught.value.code == "broker_in_use"
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()
