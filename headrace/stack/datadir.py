"""The data directory of `headrace up`: takes a folder, gives the places in it, holds it against a second one.

headrace.json   {"format": 1, "kafka_port": N}   read before anything else is touched
lock            flock'ed while in use; the holder's pid, as text
kafka/ lake/ spool/ logs/ run/                   run/ is of one run: metrics, pid files
"""

from __future__ import annotations

import fcntl
import os
import shutil
from pathlib import Path
from typing import Final

import orjson

from headrace.errors import HeadraceError

FORMAT: Final = 1
FREE_BYTES_MIN: Final = 512 * 1024 * 1024  # below this a start is refused: Kafka ends itself on a full disk
FREE_BYTES_LOW: Final = 1024 * 1024 * 1024  # below this readiness says so
FOLDERS: Final = ("kafka", "lake", "spool", "logs", "run", "run/metrics")
STATE_BYTES_MAX: Final = 64 * 1024


class DataDirError(HeadraceError):
    """The folder can't be used: `data_in_use`, `data_newer`, `data_foreign`, `data_unusable`, `disk_full`."""


class DataDir:
    """One data directory, held by this process from `open` until `close` or its end."""

    def __init__(self, root: Path) -> None:
        """Touches nothing."""
        self.root = root.absolute()
        self._lock: int | None = None

    def open(self) -> None:
        """Create what is missing, refuse what is not ours, and hold the folder. Raises DataDirError."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            self._hold()
            marked = self._read()
            self._judge_disk()
            for name in FOLDERS:
                (self.root / name).mkdir(exist_ok=True)
            if not marked:
                self._mark()
        except OSError as error:
            raise DataDirError(
                "data_unusable", f"{self.root}: {error.strerror or error}; name another folder with --data"
            ) from error

    def close(self) -> None:
        """Let go of the folder."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def folder(self, name: str) -> Path:
        """A folder of the layout."""
        return self.root / name

    def _mark(self) -> None:
        """Say which format this is, atomically and synced."""
        fresh = self._file.with_suffix(".new")
        with fresh.open("wb") as file:
            file.write(orjson.dumps({"format": FORMAT}) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._file)

    def free_bytes(self) -> int:
        """Bytes that are free for us on the disk."""
        return shutil.disk_usage(self.root).free

    @property
    def _file(self) -> Path:
        return self.root / "headrace.json"

    def _hold(self) -> None:
        self._lock = os.open(self.root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self._lock, 32, 0).decode(errors="replace").strip() or "unknown"
            self.close()
            raise DataDirError(
                "data_in_use",
                f"{self.root} is in use by another `headrace up` (process {holder}). Use that one, stop it "
                f"(kill -INT {holder}), or name another folder with --data",
            ) from None
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, f"{os.getpid()}\n".encode(), 0)

    def _read(self) -> bool:
        """Whether the folder says its format, which is one that we know; False: it is new."""
        try:
            with self._file.open("rb") as file:
                state = orjson.loads(file.read(STATE_BYTES_MAX))
        except FileNotFoundError:
            self._refuse_foreign()
            return False
        except orjson.JSONDecodeError:
            state = None
        version = state.get("format") if isinstance(state, dict) else None
        if not isinstance(version, int):
            raise DataDirError(
                "data_foreign", f"{self._file} does not say which format this is; expected a data directory"
            )
        if version > FORMAT:
            raise DataDirError(
                "data_newer",
                f"{self.root} was written by a newer Headrace (format {version}; this one knows {FORMAT}). "
                "Use the newer Headrace, or name another folder with --data",
            )
        return True

    def _refuse_foreign(self) -> None:
        """A folder with other people's files in it is not ours to fill."""
        known = {*FOLDERS, "lock", "headrace.new"}
        others = sorted(entry.name for entry in self.root.iterdir() if entry.name not in known)
        if others:
            raise DataDirError(
                "data_foreign",
                f"{self.root} holds other files ({', '.join(others[:3])}) and no headrace.json; "
                "name an empty or a new folder with --data",
            )

    def _judge_disk(self) -> None:
        free = self.free_bytes()
        if free < FREE_BYTES_MIN:
            raise DataDirError(
                "disk_full",
                f"the disk of {self.root} is full: {free >> 20} MiB free, {FREE_BYTES_MIN >> 20} MiB needed. "
                "Free some space, or name a folder on another disk with --data",
                retriable=True,
            )
