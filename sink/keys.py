"""Names in the lake (PROTOCOL 1): takes topic, lane, sequence, hour, gives the keys of entries and files.

_headrace/commits/<topic>/<lane>/<sequence, 20 digits>.json
<topic>/date=YYYY-MM-DD/hour=HH/<lane>-<sequence>-<attempt>.parquet
headrace.quarantine/date=…/hour=…/<topic>-<lane>-<sequence>-<attempt>.parquet   the sink's, of any topic
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final, Literal, TypeAlias

from _native.record import TOPIC_QUARANTINE

SEQUENCE_DIGITS: Final = 20
CHECKPOINTS: Final = "_headrace/checkpoints/"

Table: TypeAlias = Literal["rows", "quarantine"]


def log_folder(topic: str, lane: int) -> str:
    """The prefix of a lane's entries."""
    return f"_headrace/commits/{topic}/{lane}/"


def entry_key(topic: str, lane: int, sequence: int) -> str:
    """Where entry `sequence` of a lane stands."""
    return f"{log_folder(topic, lane)}{sequence:0{SEQUENCE_DIGITS}d}.json"


def checkpoint_folder(topic: str, lane: int) -> str:
    """The prefix of a lane's checkpoints."""
    return f"{CHECKPOINTS}{topic}/{lane}/"


def checkpoint_key(topic: str, lane: int, sequence: int) -> str:
    """Where the checkpoint behind entry `sequence` of a lane stands."""
    return f"{checkpoint_folder(topic, lane)}{sequence:0{SEQUENCE_DIGITS}d}.json"


def file_key(topic: str, table: Table, hour: str, lane: int, sequence: int, attempt: str) -> str:
    """Where a file of entry `sequence` stands; `attempt` is random, so that no two uploads meet."""
    day, _, clock = hour.partition("T")
    root, name = (topic, "") if table == "rows" else (TOPIC_QUARANTINE, f"{topic}-")
    return f"{root}/date={day}/hour={clock}/{name}{lane}-{sequence}-{attempt}.parquet"


def hour_text(hour: int) -> str:
    """Hours since 1970 UTC as "2026-11-23T10"."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(hours=hour)
    return moment.isoformat(timespec="hours")[:13]


def sequence_of(key: str) -> int:
    """The sequence that a file's key bears. ValueError where it bears none."""
    return int(key.rpartition("/")[2].rsplit("-", 2)[1])
