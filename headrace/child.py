"""One child of a supervisor: takes settings on stdin, a socket and a status pipe, runs one program.

`python -m headrace.child ROLE [--fd N] [--status-fd N] [--supervisor PID]`, ROLE collector or sink. Logs are
JSON lines on stderr. It stops on SIGTERM; SIGINT is the supervisor's. Exit code 2: what a person can mend.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import signal
import socket
import sys
from collections.abc import Iterator
from typing import Any, Final, NoReturn

import structlog

from _native import wants_extensions
from headrace import handover
from headrace.errors import HeadraceError
from headrace.kafka_client import client_options
from headrace.logs import log_json
from ingest.errors import IngestError
from sink.errors import SinkError

EXIT_MENDABLE: Final = 2
PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h


def main() -> None:
    """Run one role until SIGTERM."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    words = argparse.ArgumentParser(prog="headrace.child", description=__doc__)
    words.add_argument("role", choices=tuple(handover.PARTS))
    words.add_argument("--fd", type=int, help="listening socket of a collector")
    words.add_argument("--status-fd", type=int, help="pipe for status lines")
    words.add_argument("--supervisor", type=int, help="the process whose end ends this one")
    given = words.parse_args()
    if given.supervisor is not None:
        tie(given.supervisor)
    log_json(sys.stderr, role=given.role)
    try:
        run(given.role, given.fd, given.status_fd)
    except (HeadraceError, IngestError, SinkError) as error:
        refused([error])
    except BaseExceptionGroup as group:
        mendable, rest = group.split((HeadraceError, IngestError, SinkError))
        if mendable is None or rest is not None:
            raise
        refused(list(leaves(mendable)))


def tie(supervisor: int) -> None:
    """End at once when the supervisor is gone, however it went (Linux): nobody would stop or restart us.

    SIGKILL, because it is certain: what was answered is durable, and a lane's lease is not held by anyone.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != supervisor:
        raise SystemExit(EXIT_MENDABLE)  # it went before the line above could help


def run(role: str, fd: int | None, status_fd: int | None) -> None:
    """Read the settings and serve. Programs are imported here: metrics find their folder by then."""
    given = handover.load(role, sys.stdin.buffer.read(handover.DOCUMENT_BYTES_MAX + 1))
    options = client_options(given.kafka)
    if role == "collector":
        from ingest import worker

        refuse_slow_twins()
        if fd is None:
            raise HeadraceError("handover_invalid", "a collector needs --fd, its listening socket")
        worker.serve(given.settings, options, socket.socket(fileno=fd), status_fd)
    else:
        from sink import program

        refuse_slow_twins()
        program.serve(given.settings, options, status_fd)


def refuse_slow_twins() -> None:
    """A twin that was not built is a mistake of the installation, unless Python was asked for."""
    slow = sorted(
        name
        for name, module in list(sys.modules.items())
        if name.startswith("_native.") and getattr(module, "TWIN", None) == "python"
    )
    if slow and wants_extensions():
        raise HeadraceError(
            "not_built",
            f"{', '.join(slow)}: the Cython twin is not built. Build it (make setup, or install a wheel), "
            "or set HEADRACE_NO_EXTENSIONS=1 to run on the slow Python twins",
        )


def refused(errors: list[Any]) -> NoReturn:
    """Say what a person can mend, and end."""
    for error in errors:
        structlog.get_logger().error("program_refused", code=error.code, text=str(error))
    raise SystemExit(EXIT_MENDABLE) from None


def leaves(group: BaseExceptionGroup[Any]) -> Iterator[BaseException]:
    """The single errors of a group, however deep."""
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from leaves(error)
        else:
            yield error


if __name__ == "__main__":
    main()
