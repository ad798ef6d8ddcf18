"""Kafka of the one-machine stack: a directory is made ready for it, it is started by argv and asked by port.

Takes a home directory and the jars, gives what a supervisor needs: `prepare` (left-over stopped, ports,
files, formatting), `Broker.argv` and `Broker.env`, `answering`, and `diagnosis` when it ended by itself.

    HOME/data/              Kafka's own: log segments, meta.properties     HOME/kafka.log  its log, bounded
    HOME/server.properties  log4j2.properties                              HOME/kafka.pid  see launch.py
    HOME/version            the version of Kafka that wrote data

It is one JVM of one pid, in the foreground process group. SIGTERM stops it in order (0.4 s measured). After
SIGKILL the next one answers when the dead one's session has ended (6.5 s); a start takes 2.5 s, the first
one 1.3 s more, with 220 MB of memory.
"""

from __future__ import annotations

import asyncio
import base64
import os
import random
import shutil
import socket
import struct
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import uuid4

from headrace.errors import HeadraceError
from headrace.stack import jars, leftover
from headrace.stack.broker_files import (
    LOOPBACK,
    MIB,
    Ports,
    Secure,
    log4j2_properties,
    ports_of,
    server_properties,
)

LAUNCH: Final = Path(__file__).with_name("launch.py")
START_SECONDS_MAX: Final = 60.0  # until it answers; a start after SIGKILL with much to recover is the longest
STOP_SECONDS_MAX: Final = leftover.STOP_SECONDS_MAX  # from SIGTERM to SIGKILL
FORMAT_SECONDS_MAX: Final = 60.0
HEAP_BYTES_MAX: Final = 768 * MIB
DISK_FREE_BYTES_MIN: Final = 256 * MIB
# Below the range of outgoing connections: a client that connects to a port in it while Kafka is down may get
# that very port as its own.
PORT_MIN, PORT_MAX = 20_000, 29_999
PORT_TRIES_MAX: Final = 100
ANSWER_SECONDS_MAX: Final = 2.0
LOG_TAIL_BYTES_MAX: Final = 256 * 1024
API_VERSIONS: Final = struct.pack(">ihhih", 10, 18, 0, 1, -1)  # size, key, version, correlation, no client id
ENVIRONMENT: Final = {"TZ": "UTC", "LC_ALL": "C.UTF-8"}  # all of its environment: no options from outside


@dataclass(frozen=True, slots=True)
class Broker:
    """A Kafka that is ready to be started."""

    home: Path
    ports: Ports
    jars: tuple[Path, ...]
    heap_bytes_max: int

    @property
    def bootstrap_servers(self) -> str:
        """host:port for clients on this machine."""
        return f"{LOOPBACK}:{self.ports.broker}"

    @property
    def log(self) -> Path:
        """Kafka's own log; errors and what the JVM says go to stderr."""
        return self.home / "kafka.log"

    @property
    def pid_file(self) -> Path:
        """Who runs it; written by the process itself."""
        return self.home / "kafka.pid"

    def argv(self) -> list[str]:
        """The command, to be started by this very process, from a thread that lives as long as it."""
        launch = [sys.executable, "-I", "-S", str(LAUNCH), str(os.getpid()), str(self.pid_file)]
        heap = [f"-Xms{64 * MIB}", f"-Xmx{self.heap_bytes_max}", "-XX:+ExitOnOutOfMemoryError"]
        return [
            *launch,
            *_java(self.home, self.jars, *heap),
            "kafka.Kafka",
            str(self.home / "server.properties"),
        ]

    def env(self) -> dict[str, str]:
        """The whole environment of the command."""
        return dict(ENVIRONMENT)


def prepare(
    home: Path,
    class_path: Sequence[Path],
    *,
    port: int = 0,
    heap_bytes_max: int = HEAP_BYTES_MAX,
    secure: Secure | None = None,
) -> Broker:
    """Make `home` ready: one Kafka may be started on it then. Blocks, for seconds the first time.

    `port` 0: the port of the last time, else a free one. Raises HeadraceError: `broker_in_use`,
    `port_taken`, `disk_full`, `data_unreadable`, `data_newer`, `broker_not_formatted`.
    """
    home = home.absolute()
    if "," in str(home):
        raise HeadraceError("data_unreadable", f"{home}: Kafka takes no data directory with a comma")
    try:
        home.mkdir(parents=True, exist_ok=True)
        leftover.stop(home / "kafka.pid")
        _refuse_newer(home / "version")
        if shutil.disk_usage(home).free < DISK_FREE_BYTES_MIN:
            text = f"{home}: less than {DISK_FREE_BYTES_MIN // MIB} MiB are free on this disk"
            raise HeadraceError(
                "disk_full", f"{text}; Kafka stops when it is full. Make room, then start again"
            )
        properties = home / "server.properties"
        before = ports_of(properties.read_text()) if properties.exists() else None
        broker = Broker(home, _ports(port, before, secure), tuple(class_path), heap_bytes_max)
        (home / "log4j2.properties").write_text(log4j2_properties(broker.log))
        if not (home / "data" / "meta.properties").is_file():
            _format(broker, secure)
        _write_private(properties, server_properties(broker.ports, home / "data", secure))
        (home / "version").write_text(jars.kafka_version() + "\n")
    except OSError as error:
        text = f"{home}: {error.filename or ''} can't be used as Kafka's data directory: {error.strerror}"
        raise HeadraceError("data_unreadable", f"{text}; expected a folder that this user owns") from error
    return broker


async def answering(host: str, port: int) -> bool:
    """Whether Kafka answers an ApiVersions request there; KRaft opens its port before it does."""
    writer: asyncio.StreamWriter | None = None
    try:
        async with asyncio.timeout(ANSWER_SECONDS_MAX):
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(API_VERSIONS)
            size, correlation, error = struct.unpack(">iih", await reader.readexactly(10))
    except (OSError, TimeoutError, asyncio.IncompleteReadError):
        return False
    finally:
        if writer is not None:
            writer.close()
    return bool(size > 0 and correlation == 1 and error == 0)


def diagnosis(broker: Broker) -> HeadraceError:
    """Why Kafka ended by itself, as far as its log says; what a person can do about it."""
    text = ""
    if broker.log.exists():
        with broker.log.open("rb") as file:
            file.seek(max(0, broker.log.stat().st_size - LOG_TAIL_BYTES_MAX))
            text = file.read().decode(errors="replace")
    text = text[max(0, text.rfind("Registered `kafka:type=kafka.Log4jController`")) :]  # the last start only
    for sign, (code, advice) in SIGNS.items():
        if sign in text:
            return HeadraceError(code, f"Kafka ended: {advice.format(broker=broker)} (see {broker.log})")
    said = [line for line in text.splitlines() if " ERROR " in line or " FATAL " in line]
    last = said[-1][:300] if said else "it said nothing"
    return HeadraceError("broker_ended", f"Kafka ended: {last} (see {broker.log})", retriable=True)


SIGNS: Final = {
    "No space left on device": (
        "disk_full",
        "the disk of {broker.home} is full; make room, then start again: what was answered is kept",
    ),
    "Address already in use": (
        "port_taken",
        "port {broker.ports.broker} or {broker.ports.controller} was taken meanwhile by another program",
    ),
    "Failed to acquire lock on file": (
        "broker_in_use",
        "another Kafka uses {broker.home}; stop that one first",
    ),
    "OutOfMemoryError": ("broker_memory", "its heap of {broker.heap_bytes_max} bytes did not suffice"),
    "Permission denied": ("data_unreadable", "a file in {broker.home} belongs to another user"),
    "AccessDeniedException": ("data_unreadable", "a file in {broker.home} belongs to another user"),
}


def free_port() -> int:
    """A port that nobody listens on, outside of the range of outgoing connections."""
    for _ in range(PORT_TRIES_MAX):
        if _is_free(port := random.randint(PORT_MIN, PORT_MAX)):  # noqa: S311 - spreads, hides nothing
            return port
    text = f"no free port found between {PORT_MIN} and {PORT_MAX} after {PORT_TRIES_MAX} tries"
    raise HeadraceError("port_taken", text, retriable=True)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as Kafka does: TIME_WAIT is no obstacle
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def _ports(port: int, before: Ports | None, secure: Secure | None) -> Ports:
    """The given port; else those of the last time where they are free, so that clients find Kafka again."""
    if port and not _is_free(port):
        raise HeadraceError("port_taken", f"port {port} is taken by another program; Kafka needs a free one")
    before = before or Ports(0, 0)

    def kept(last: int) -> int:
        return last if last and _is_free(last) else free_port()

    return Ports(port or kept(before.broker), kept(before.controller), kept(before.secure) if secure else 0)


def _refuse_newer(version_file: Path) -> None:
    if not version_file.exists():
        return
    wrote, ours = version_file.read_text().strip(), jars.kafka_version()
    if _ordered(wrote) > _ordered(ours):
        text = f"{version_file.parent}: the data was written by Kafka {wrote}, this is Kafka {ours}"
        raise HeadraceError("data_newer", f"{text}. Use the newer Headrace, or another data directory")


def _ordered(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())


def _format(broker: Broker, secure: Secure | None) -> None:
    """Let Kafka's own tool format a folder beside, then put it in place: there is no half-formatted one."""
    fresh, properties = broker.home / "data.new", broker.home / "format.properties"
    shutil.rmtree(fresh, ignore_errors=True)
    _write_private(properties, server_properties(broker.ports, fresh, secure))
    command = _java(broker.home, broker.jars, f"-Xmx{128 * MIB}", "-XX:TieredStopAtLevel=1")
    command += ["kafka.tools.StorageTool", "format", "-t", _cluster_id(), "-c", str(properties)]
    if secure is not None:
        command += ["--add-scram", f"SCRAM-SHA-512=[name={secure.user},password={secure.password}]"]
    try:
        ended = subprocess.run(  # noqa: S603
            command, env=broker.env(), capture_output=True, timeout=FORMAT_SECONDS_MAX, check=False
        )
    except subprocess.TimeoutExpired as error:
        text = f"{broker.home}: formatting took more than {FORMAT_SECONDS_MAX} s; is the machine overloaded?"
        raise HeadraceError("broker_not_formatted", text, retriable=True) from error
    if ended.returncode:
        said = (ended.stderr + ended.stdout).decode(errors="replace").strip()[-500:]
        raise HeadraceError("broker_not_formatted", f"{broker.home}: Kafka can't format it: {said}")
    properties.unlink()
    fresh.replace(broker.home / "data")


def _java(home: Path, class_path: Sequence[Path], *options: str) -> list[str]:
    return [
        str(jars.java()),
        *options,
        "--enable-native-access=ALL-UNNAMED",  # these two only silence warnings about what Kafka does
        "--sun-misc-unsafe-memory-access=allow",
        f"-Dlog4j2.configurationFile={home / 'log4j2.properties'}",
        "-cp",
        os.pathsep.join(map(str, class_path)),
    ]


def _cluster_id() -> str:
    """22 characters of URL-safe base64, as Kafka's own; never one that a command line takes for an option."""
    return base64.urlsafe_b64encode(b"\x48" + uuid4().bytes[1:]).decode().rstrip("=")


def _write_private(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text)
