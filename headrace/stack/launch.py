"""Between supervisor and Kafka: becomes the JVM, after writing down who it is; run as a script, stdlib only.

    python -I -S launch.py PARENT PID_FILE PROGRAM ARGUMENT...

The process ignores SIGINT (Ctrl-C reaches the whole foreground process group; the supervisor stops its
children in order; the JVM keeps an ignored SIGINT ignored), gets SIGTERM when its parent ends (Linux:
PR_SET_PDEATHSIG survives exec; it means the thread that started it), writes the pid file and executes
PROGRAM: the pid stays.

    pid file: one line, "PID STARTED PARENT PARENT_STARTED"; STARTED is of any form without spaces
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys

PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
PARENT_GONE = 75  # exit code, EX_TEMPFAIL of sysexits.h


def started(pid: int) -> str | None:
    """What tells a process from a later one with its pid, None if it does not run (or only as a zombie)."""
    if sys.platform != "linux":
        command = ["ps", "-o", "lstart=", "-p", str(pid)]
        listed = subprocess.run(command, capture_output=True, check=False)  # noqa: S603
        return "_".join(listed.stdout.decode().split()) or None
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123 - pathlib would double the start-up time
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if fields[0] in (b"Z", b"X") else fields[19].decode()  # state; starttime, field 22 of proc(5)


def main(parent: int, pid_file: str, command: list[str]) -> None:
    """Write the pid file and become `command`. Never returns."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(PARENT_GONE)  # it ended before the line above could help
    with open(f"{pid_file}.new", "w") as file:  # noqa: PTH123
        file.write(f"{os.getpid()} {started(os.getpid())} {parent} {started(parent)}\n")
    os.replace(f"{pid_file}.new", pid_file)  # noqa: PTH105
    os.execv(command[0], command)  # noqa: S606


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3:])
