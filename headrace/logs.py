"""Beside the journey: takes what our programs and their libraries log, gives one JSON line each.

`{"event": "file_landed", "level": "info", "timestamp": "…Z", …}`; events in the past tense with fields, never
payloads, keys or addresses of people. Libraries' own words stand under the event `library_logged`.
"""

from __future__ import annotations

import logging
import sys
from typing import Any, Final, TextIO

import orjson
import structlog
from structlog.typing import EventDict, Processor

LIBRARIES_LEVEL: Final = logging.WARNING
REPEATED_SECONDS: Final = (
    10.0  # a library says the same once in so long: while Kafka is away, a hundred times
)
MESSAGES_MAX: Final = 1000  # that are remembered for it


def log_json(stream: TextIO, **fields: object) -> None:
    """Send all that is logged from now on to the stream (text), with these fields on each line."""
    shared: list[Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        lambda _, __, event: {"event": event.pop("event", None), **fields, **event},
    ]
    structlog.configure(
        processors=[*shared, structlog.processors.JSONRenderer(serializer=_text)],
        logger_factory=structlog.PrintLoggerFactory(file=stream),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, _library],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(serializer=_text),
            ],
        )
    )
    handler.addFilter(Calm())
    logging.basicConfig(handlers=[handler], level=LIBRARIES_LEVEL, force=True)
    logging.captureWarnings(True)
    sys.excepthook = _uncaught


class Calm(logging.Filter):
    """Lets a library's message through once in REPEATED_SECONDS, with the number of those left out."""

    def __init__(self) -> None:
        """Nothing was said yet."""
        super().__init__()
        self._said: dict[tuple[str, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is written; gives it the number."""
        key = record.name, str(record.msg)
        began, left_out = self._said.get(key, (0.0, 0))
        if record.created - began < REPEATED_SECONDS:
            self._said[key] = began, left_out + 1
            return False
        if len(self._said) >= MESSAGES_MAX:
            self._said.clear()
        self._said[key] = record.created, 0
        record.left_out = left_out
        return True


def _library(_: Any, __: str, event: EventDict) -> EventDict:
    record = event.get("_record")
    text = event.get("event")
    return {
        **event,
        "event": "library_logged",
        "library": record.name if isinstance(record, logging.LogRecord) else None,
        "text": text,
        "repeated": getattr(record, "left_out", 0),
    }


def _uncaught(kind: type[BaseException], error: BaseException, trace: Any) -> None:
    structlog.get_logger().critical("program_failed", exc_info=(kind, error, trace))


def _text(event: Any, **_: Any) -> str:
    return orjson.dumps(event, default=repr).decode()
