"""The sink as a process for tests: settings as one JSON document on stdin, a lake that may kill it.

The composition root of production is `headrace.child`; this one can put a store in between whose caller is
killed at its nth change, before or after it is done, and can hold a change for a while.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import structlog

import sink.program
from sink.settings import LandSettings
from sink.store import open_store

CHANGES = ("create_once", "settle", "upload", "complete", "abort", "delete")


class KillingStore:
    """A store below which the process is killed by SIGKILL: at the nth call of one operation on the topic."""

    def __init__(self, store: Any, operation: str, nth: int, done: bool) -> None:
        self._store = store
        self._operation = operation
        self._nth = nth
        self._done = done
        self._calls = 0

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)
        if name != self._operation:
            return method

        async def change(*args: Any) -> Any:
            key = getattr(args[0], "key", args[0])
            if "probe" not in key and not key.startswith(("_headrace/lake", "_headrace/topics")):
                self._calls += 1
            if self._calls != self._nth:
                return await method(*args)
            if self._done:
                await method(*args)
            os.kill(os.getpid(), signal.SIGKILL)
            return await asyncio.sleep(60)

        return change


def main() -> None:
    told = json.load(sys.stdin)
    log = Path(told["log"]).open("a", buffering=1)  # noqa: SIM115 - open as long as the process lives
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.WriteLoggerFactory(log),
    )
    if told["kill"]:
        kill: Any = told["kill"]
        vars(sink.program)["open_store"] = lambda lake: KillingStore(open_store(lake), *kill)
    settings = LandSettings.model_validate(told["settings"])
    sink.program.serve(settings, told["client_options"], told["status_fd"])


if __name__ == "__main__":
    main()
