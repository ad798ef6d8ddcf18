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
QUIET: Final = (
    "aiokafka.conn",
    "aiokafka.cluster",
)  # one warning a second while Kafka is away: we say it once


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
    logging.basicConfig(handlers=[handler], level=LIBRARIES_LEVEL, force=True)
    logging.captureWarnings(True)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    sys.excepthook = _uncaught


def _library(_: Any, __: str, event: EventDict) -> EventDict:
    record = event.get("_record")
    text = event.get("event")
    return {
        **event,
        "event": "library_logged",
        "library": record.name if isinstance(record, logging.LogRecord) else None,
        "text": text,
    }


def _uncaught(kind: type[BaseException], error: BaseException, trace: Any) -> None:
    structlog.get_logger().critical("program_failed", exc_info=(kind, error, trace))


def _text(event: Any, **_: Any) -> str:
    return orjson.dumps(event, default=repr).decode()
