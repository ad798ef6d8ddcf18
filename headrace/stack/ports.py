"""Listening sockets of the supervisor: takes addresses, gives sockets to inherit, or who has the port."""

from __future__ import annotations

import errno
import socket
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from headrace.errors import HeadraceError

BACKLOG: Final = 2048  # connections that wait while a child is restarted
LISTEN: Final = "0A"  # state in /proc/net/tcp, proc_pid_net(5)
COMMAND_CHARS_MAX: Final = 60


class PortError(HeadraceError):
    """An address can't be listened on: `port_taken` (retriable), `address_unusable`."""


class Holder(NamedTuple):
    """The process that listens on a port."""

    pid: int
    command: str


def listeners(host: str, port: int, count: int, key: str) -> list[socket.socket]:
    """One listening socket a worker slot on one address (SO_REUSEPORT); port 0: any free one.

    The first try is without SO_REUSEPORT, which would let us share the port with a program of the same user.
    PortError says who has it; `key` is the setting to change.
    """
    with listener(host, port, key) as tried:
        port = tried.getsockname()[1]
    return [listener(host, port, key, shared=True) for _ in range(count)]


def listener(host: str, port: int, key: str, *, shared: bool = False) -> socket.socket:
    """One listening socket."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        made.bind((host, port))
        made.listen(BACKLOG)
    except OSError as error:
        made.close()
        raise _explained(error, host, port, key) from error
    return made


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether somebody could listen on the port now."""
    try:
        listener(host, port, "").close()
    except PortError:
        return False
    return True


def free_port(host: str = "127.0.0.1") -> int:
    """A port that is free now."""
    with listener(host, 0, "") as made:
        return int(made.getsockname()[1])


def holder_of(port: int) -> Holder | None:
    """Who listens on the port, as far as /proc lets this user see it (Linux)."""
    inodes = {
        fields[9]
        for table in ("tcp", "tcp6")
        for fields in _rows(Path("/proc/net") / table)
        if fields[3] == LISTEN and int(fields[1].rsplit(":", 1)[1], 16) == port
    }
    wanted = {f"socket:[{inode}]" for inode in inodes}
    if not wanted:
        return None
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it ended meanwhile, or is somebody else's
            if any(_target(fd) in wanted for fd in (process / "fd").iterdir()):
                return Holder(int(process.name), _command(process))
    return None


def _target(fd: Path) -> str:
    """What a descriptor refers to; it may be closed meanwhile."""
    try:
        return str(fd.readlink())
    except FileNotFoundError:
        return ""


def _rows(table: Path) -> list[list[str]]:
    try:
        return [line.split() for line in table.read_text().splitlines()[1:]]
    except OSError:
        return []


def _command(process: Path) -> str:
    words = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    return words if len(words) <= COMMAND_CHARS_MAX else words[: COMMAND_CHARS_MAX - 1] + "…"


def _explained(error: OSError, host: str, port: int, key: str) -> PortError:
    if error.errno == errno.EADDRINUSE:
        holder = holder_of(port)
        who = f"process {holder.pid} ({holder.command})" if holder else "another program"
        return PortError(
            "port_taken", f"port {port} is taken by {who}. Stop it, or choose another: {key}", retriable=True
        )
    if error.errno == errno.EACCES:
        return PortError("address_unusable", f"port {port} needs rights that this user has not: {key}")
    reason = error.strerror or str(error)
    return PortError("address_unusable", f"{host}:{port} can't be listened on: {reason}: {key}")
