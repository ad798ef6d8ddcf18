"""From supervisor to child: takes the settings of one program, gives the JSON document on the child's stdin.

    {"settings": {...}, "kafka": {...}}

`settings` is IngestSettings (collector) or LandSettings (sink), `kafka` is KafkaSettings. Secrets stand in it
as they are: none is in argv or the environment, and the document is never written to a file or a log.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson
from pydantic import BaseModel, SecretStr, ValidationError

from headrace.errors import HeadraceError
from headrace.settings import KafkaSettings, Settings
from ingest.settings import IngestSettings
from sink.settings import LandSettings

DOCUMENT_BYTES_MAX: Final = 16 * 1024 * 1024
PARTS: Final[dict[str, type[BaseModel]]] = {"collector": IngestSettings, "sink": LandSettings}


class Handover(NamedTuple):
    """What a child is given; `settings` is the part of its role."""

    settings: Any
    kafka: KafkaSettings


def dump(role: str, settings: Settings) -> bytes:
    """The document for a child of this role, secrets included; HeadraceError where it is too large."""
    part = settings.ingest() if role == "collector" else settings.land()
    document = {  # what was not set stays unset: a limit of a source that is its default does not bind
        "settings": part.model_dump(exclude_unset=True),
        "kafka": settings.kafka.model_dump(exclude_unset=True),
    }
    data = orjson.dumps(document, default=_plain)
    if len(data) > DOCUMENT_BYTES_MAX:
        raise HeadraceError(
            "config_invalid", f"the settings take {len(data)} bytes; at most {DOCUMENT_BYTES_MAX}"
        )
    return data


def load(role: str, data: bytes) -> Handover:
    """The document as models again. HeadraceError where it is cut short or of another version."""
    try:
        document = orjson.loads(data)
        return Handover(
            PARTS[role].model_validate(document["settings"]), KafkaSettings.model_validate(document["kafka"])
        )
    except (orjson.JSONDecodeError, KeyError, TypeError, ValidationError) as error:
        raise HeadraceError(
            "handover_invalid", f"the settings on stdin are not those of a {role}: {type(error).__name__}"
        ) from None  # the error itself would show values, and with them secrets


def _plain(value: Any) -> str:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no place in the settings")
