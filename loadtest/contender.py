"""Who is measured: takes a command from contenders.toml, gives a running process and what it cost.

A contender is a black box: it is started, listens or lands, and is ended with SIGTERM.
"""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final

from loadtest.processes import cpu_seconds, family, memory_bytes

LISTED: Final = Path(__file__).with_name("contenders.toml")
END_SECONDS_MAX: Final = 20.0


class ContenderError(Exception):
    """It did not start, or ended by itself; the message holds its last words."""


@dataclass(frozen=True, slots=True)
class Contender:
    """One entry of contenders.toml; `files` (sinks): what it lands, as a glob below the lake."""

    name: str
    command: tuple[str, ...]
    config: str = ""
    files: str = ""


def listed(kind: str, path: Path = LISTED) -> dict[str, Contender]:
    """The contenders of a kind, `collectors` or `sinks`, by name."""
    found = tomllib.loads(path.read_text(encoding="utf-8")).get(kind, {})
    return {
        name: Contender(name, tuple(told["command"]), told.get("config", ""), told.get("files", ""))
        for name, told in found.items()
    }


class Running:
    """A contender's process, in a folder of its own; ends with the `with` block."""

    def __init__(self, contender: Contender, folder: Path, words: Mapping[str, str]) -> None:
        """`words` take the place of {kafka}, {topic} and so on."""
        self.contender = contender
        folder.mkdir(parents=True, exist_ok=True)
        self._log = folder / f"{contender.name}.log"
        config = folder / f"{contender.name}.toml"
        known = {
            **words,
            "config": str(config),
            "python": sys.executable,
            "bin": str(Path(sys.executable).parent),
        }
        config.write_text(contender.config.format_map(known))
        command = [word.format_map(known) for word in contender.command]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 - the command of contenders.toml
                command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=folder
            )

    def __enter__(self) -> Running:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(END_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    @property
    def cpu_seconds(self) -> float:
        """Of all its processes so far."""
        return cpu_seconds(family([self._process.pid]))

    @property
    def memory_bytes(self) -> int:
        """Resident, of all its processes."""
        return memory_bytes(family([self._process.pid]))

    def check(self) -> None:
        """ContenderError if it has ended."""
        if self._process.poll() is not None:
            last = " | ".join(self._log.read_text(errors="replace").splitlines()[-5:])
            raise ContenderError(f"{self.contender.name} ended with {self._process.returncode}: {last}")

    async def listening(self, port: int, seconds: float) -> None:
        """Suspends until something accepts connections at the port. ContenderError after `seconds`."""
        deadline = asyncio.get_running_loop().time() + seconds
        while True:
            self.check()
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError as error:
                if asyncio.get_running_loop().time() > deadline:
                    told = f"{self.contender.name} does not listen at port {port} after {seconds} s"
                    raise ContenderError(told) from error
                await asyncio.sleep(0.1)
            else:
                writer.close()
                return


def free_port() -> int:
    """A port of the loopback that nothing listens on now."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])
