"""Where a command looks: takes its options, the settings and a data directory, gives the lake and Kafka.

The first that says it goes: the option (`--lake`, `--kafka`), the settings (`--config`, HEADRACE__…), the
data directory of `headrace up` (`--data`, else `headrace-data` in the current folder).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import orjson
from pydantic import ValidationError

from headrace.errors import HeadraceError, SettingsError
from headrace.settings import KafkaSettings, Settings, load
from sink.settings import LakeSettings

DATA_DEFAULT: Final = Path("headrace-data")
RUN_FILE: Final = "run/ready.json"  # as --ready-file, of the run that is under way or was the last
STATE_FILE: Final = "headrace.json"
FILE_BYTES_MAX: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """What was found; ask `lake()` or `kafka()` for what a command can't do without."""

    settings: Settings
    data: Path | None
    lake_url: str
    kafka_servers: str
    collector_url: str = ""  # of the `headrace up` of the data directory, where that was meant

    def lake(self) -> LakeSettings:
        """The lake. HeadraceError `lake_unknown` where nothing names one."""
        if not self.lake_url:
            tried = f"{self.data or DATA_DEFAULT} is no data directory of `headrace up`"
            raise HeadraceError(
                "lake_unknown",
                f"no lake is named and {tried}; expected --lake URL, --config FILE or --data DIR",
            )
        told = {**self.settings.lake.model_dump(), "url": self.lake_url}
        try:
            return LakeSettings(**told)
        except ValidationError as error:
            raise SettingsError(
                "config_invalid",
                f"--lake {self.lake_url!r}: expected s3://bucket/prefix, file:///path or a folder",
            ) from error

    def kafka(self) -> KafkaSettings:
        """How to reach Kafka. HeadraceError `kafka_unknown` where nothing names it."""
        if not self.kafka_servers:
            raise HeadraceError(
                "kafka_unknown",
                "no Kafka is named, and no `headrace up` has left its address here; "
                "expected --kafka HOST:PORT, --config FILE or --data DIR",
            )
        return self.settings.kafka.model_copy(update={"bootstrap_servers": self.kafka_servers})


def find(
    config: Path | None = None, data: Path | None = None, lake: str | None = None, kafka: str | None = None
) -> Whereabouts:
    """Look in the order that the module names. SettingsError for a configuration that can't be used."""
    if data is not None and not data.is_dir():
        raise HeadraceError("data_missing", f"--data {data}: there is no such folder")
    root = data or (DATA_DEFAULT if DATA_DEFAULT.is_dir() else None)
    told = _told(root) if root else {}
    settings = load(config)
    return Whereabouts(
        settings,
        root,
        _as_url(lake) if lake else settings.lake.url or told.get("lake", ""),
        kafka or settings.kafka.bootstrap_servers or told.get("kafka", ""),
        told.get("collector_url", "") if data is not None or config is None else "",
    )


def _told(root: Path) -> dict[str, str]:
    """Lake and Kafka of a data directory: what the run wrote, else what the layout of the folder says."""
    run, state = _read(root / RUN_FILE), _read(root / STATE_FILE)
    told: dict[str, str] = {}
    if (root / "lake").is_dir():
        told["lake"] = _as_url(str(root / "lake"))
    if isinstance(state.get("kafka_port"), int):
        told["kafka"] = f"127.0.0.1:{state['kafka_port']}"
    named = ("lake", "kafka", "collector_url")
    return told | {name: run[name] for name in named if isinstance(run.get(name), str)}


def _read(path: Path) -> dict[str, Any]:
    """The JSON object in a small file; empty where there is none that can be read."""
    try:
        with path.open("rb") as file:
            found = orjson.loads(file.read(FILE_BYTES_MAX))
    except (OSError, orjson.JSONDecodeError):
        return {}
    return found if isinstance(found, dict) else {}


def _as_url(lake: str) -> str:
    """A lake's URL; a plain path is a folder."""
    if "://" in lake:
        return lake
    return f"file://{quote(str(Path(lake).expanduser().absolute()))}"
