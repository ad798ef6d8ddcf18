"""What children say: takes their output, keeps it in a bounded log file, remembers how it ended."""

from __future__ import annotations

import io
from collections import deque
from pathlib import Path
from typing import BinaryIO, Final

import orjson

FILE_BYTES_MAX: Final = 16 * 1024 * 1024  # then it becomes NAME.1, which replaces the one before
LINES_KEPT: Final = 20
LINE_CHARS_MAX: Final = 300
GRAVE: Final = ("error", "critical")


class LogFile:
    """One log file; at most 2 × FILE_BYTES_MAX on disk. A full disk loses lines, and counts them."""

    def __init__(self, path: Path, *, bytes_max: int = FILE_BYTES_MAX) -> None:
        """Opens on the first write."""
        self.path = path
        self.writes_lost = 0
        self._bytes_max = bytes_max
        self._file: BinaryIO | None = None
        self._lines: deque[bytes] = deque(maxlen=LINES_KEPT)

    def write(self, data: bytes) -> None:
        """Add output, whole lines or not."""
        self._lines.extend(data.splitlines())
        try:
            if self._file is None:
                self._file = self.path.open("ab", buffering=0)
            if self._file.tell() + len(data) > self._bytes_max and self._file.tell():
                self._turn()
            self._file.write(data)
        except OSError:
            self.writes_lost += 1  # the disk is full, or the folder is gone: the child must not wait for it

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def last_words(self) -> str:
        """What was said last that explains an end: the text of the last error, else the last line."""
        said = ""
        for line in self._lines:
            said = _grave(line) or said
        if not said and self._lines:
            said = self._lines[-1].decode(errors="replace").strip()
        return said[:LINE_CHARS_MAX]

    def forget(self) -> None:
        """A new process begins: what was said so far explains nothing any more."""
        self._lines.clear()

    def _turn(self) -> None:
        self.close()
        self.path.replace(self.path.with_name(self.path.name + ".1"))
        self._file = self.path.open("ab", buffering=0)


class LogStream(io.TextIOBase):
    """The same for the supervisor's own log, which writes text."""

    def __init__(self, file: LogFile) -> None:
        """Takes the file; does not close it."""
        super().__init__()
        self._log = file

    def write(self, text: str) -> int:
        """Add text."""
        self._log.write(text.encode())
        return len(text)


def _grave(line: bytes) -> str:
    """The text of an error line of ours (headrace.logs), else nothing."""
    if not line.startswith(b"{"):
        return ""
    try:
        event = orjson.loads(line)
    except orjson.JSONDecodeError:
        return ""
    if event.get("level") not in GRAVE:
        return ""
    trace = str(event.get("exception") or "").strip().splitlines()
    return str(event.get("text") or (trace[-1] if trace else "") or event.get("event") or "")
