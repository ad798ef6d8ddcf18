"""Between rounds and door: what became of one request's records, told once all their batches are known.

A future of asyncio would cost a request three more objects and a turn of the loop: this one calls back at
once, as soon as `ingest.rounds` says so. It may be awaited as well.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator

import structlog

from ingest.errors import ProduceError

log = structlog.get_logger()


class Outcome:
    """Done when all batches that a request touched are in the log, or one of them is known not to be."""

    __slots__ = ("_error", "_left", "_told")

    def __init__(self, batches: int) -> None:
        """`batches`: how many must be in the log."""
        self._left = batches
        self._error: ProduceError | None = None
        self._told: Callable[[Outcome], object] | None = None

    def done(self) -> bool:
        """Whether it is known."""
        return self._left <= 0

    def exception(self) -> ProduceError | None:
        """Why they are not in the log; None where they are. Ask when it is done."""
        return self._error

    def add_done_callback(self, told: Callable[[Outcome], object]) -> None:
        """Have this called when it is done, now if it is. There is one waiter: the request."""
        self._told = told
        if self._left <= 0:
            self.tell()

    def cancel(self) -> None:
        """The request is gone: nobody is told."""
        self._told = None

    def settle(self, error: ProduceError | None) -> bool:
        """One batch is in the log, or not; whether that makes it done. `tell` is for the caller to call."""
        if self._left <= 0:
            return False
        self._left -= 1
        if error is not None:
            self._left, self._error = 0, error
        return self._left == 0

    def tell(self) -> None:
        """Call whoever waits; what fails there is nobody else's, and is logged without a client's bytes."""
        told, self._told = self._told, None
        if told is None:
            return
        try:
            told(self)
        except Exception as error:  # noqa: BLE001 - one request must not hold back the others of its round
            log.error("answer_failed", error=type(error).__name__)

    def __await__(self) -> Generator[None, None, None]:
        """Wait until it is done. Raises ProduceError."""
        if self._left > 0:
            waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._told = lambda _: None if waiting.done() else waiting.set_result(None)
            yield from waiting
        if (error := self._error) is not None:
            raise ProduceError(error.code, str(error), retriable=error.retriable)
