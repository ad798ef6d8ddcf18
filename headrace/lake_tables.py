"""The tables of a lake: takes where it is, gives each topic's columns and hours; reads a listing, one footer.

    LAKE/<topic>/date=YYYY-MM-DD/hour=HH/*.parquet

Columns are those that every table has, those that the settings promote, and those of the newest file, which
may have been promoted by other settings.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.implementations.local import LocalFileSystem
from fsspec.spec import AbstractFileSystem

from _native.columns_layout import PROMOTED_KINDS
from _native.record import TOPIC_DEFAULT, TOPIC_QUARANTINE
from headrace.errors import HeadraceError
from sink.settings import ColumnSettings, LakeSettings
from sink.table import ARROW_TYPES, LANDED_SCHEMA, QUARANTINE_SCHEMA

READ_BYTES: Final = 1 << 20  # of a request to S3


@dataclass(frozen=True, slots=True)
class LakeTable:
    """A topic as a table. `files` and `bytes` of all its files; hours as "2026-11-23T10"."""

    topic: str
    root: str
    columns: pa.Schema
    files: int = 0
    bytes: int = 0
    hour_first: str = ""
    hour_last: str = ""

    @property
    def pattern(self) -> str:
        """Every file of the table, for a reader that knows `*`."""
        return f"{self.root}/date=*/hour=*/*.parquet"


def open_files(lake: LakeSettings) -> AbstractFileSystem:
    """The lake as a file system; S3's keys come from the environment (AWS_*)."""
    if not lake.url.startswith("s3://"):
        return LocalFileSystem()
    from s3fs import S3FileSystem  # half a second to import: only where it is used

    config: dict[str, Any] = {"connect_timeout": lake.request_seconds_max}
    if lake.endpoint_url:
        config["s3"] = {"addressing_style": "path"}
    return S3FileSystem(
        skip_instance_cache=True,
        use_listings_cache=True,  # landed files never change, and a command sees one moment
        default_block_size=READ_BYTES,
        endpoint_url=lake.endpoint_url,
        client_kwargs={"region_name": lake.region} if lake.region else {},
        config_kwargs=config,
    )


def root_of(lake: LakeSettings) -> str:
    """Where the lake begins, as its readers name it: a path, or s3://bucket/prefix."""
    if lake.url.startswith("s3://"):
        return lake.url.rstrip("/")
    return unquote(lake.url.removeprefix("file://")).rstrip("/")


def find_tables(
    lake: LakeSettings, files: AbstractFileSystem, promoted: Mapping[str, Mapping[str, ColumnSettings]]
) -> list[LakeTable]:
    """Every topic that has landed, and the ones that always exist. HeadraceError where nothing can be listed.

    `promoted`: promoted columns by topic, from the settings.
    """
    root = root_of(lake)
    try:
        names = _folders(files, root)
        topics = {name for name in names if not name.startswith(("_", "."))} | set(promoted)
        topics |= {TOPIC_DEFAULT, TOPIC_QUARANTINE}
        return [_table(files, f"{root}/{topic}", topic, promoted.get(topic, {})) for topic in sorted(topics)]
    except (OSError, pa.ArrowException) as error:
        raise HeadraceError("lake_unreadable", f"{lake.url}: can't be read: {error}") from error


def _folders(files: AbstractFileSystem, root: str) -> set[str]:
    """What is there; empty where nothing has landed yet."""
    try:
        return {_name(path) for path in files.ls(root, detail=False)}
    except FileNotFoundError as error:
        if "bucket" in str(error):
            raise
        return set()


def _table(
    files: AbstractFileSystem, root: str, topic: str, promoted: Mapping[str, ColumnSettings]
) -> LakeTable:
    found = files.find(root, detail=True)
    landed = {path: one for path, one in found.items() if _is_landed(path.removeprefix(_bare(root)))}
    columns = QUARANTINE_SCHEMA if topic == TOPIC_QUARANTINE else LANDED_SCHEMA
    columns = _joined(
        columns, (pa.field(name, ARROW_TYPES[PROMOTED_KINDS[one.type]]) for name, one in promoted.items())
    )
    if not landed:
        return LakeTable(topic, root, columns)
    with files.open(max(landed, key=_hour)) as file:
        columns = _joined(columns, pq.read_schema(file))
    size = sum(int(one["size"]) for one in landed.values())
    hours = sorted({_hour(path) for path in landed})
    return LakeTable(topic, root, columns, len(landed), size, hours[0], hours[-1])


def _joined(schema: pa.Schema, more: Iterable[pa.Field]) -> pa.Schema:
    """Columns of both, each name once."""
    for column in more:
        if column.name not in schema.names:
            schema = schema.append(column)
    return schema


def _is_landed(tail: str) -> bool:
    """Whether it is `/date=…/hour=…/name.parquet`, as the readers' pattern says."""
    words = tail.split("/")
    named = len(words) == 4 and words[1].startswith("date=") and words[2].startswith("hour=")
    return named and words[3].endswith(".parquet")


def _bare(root: str) -> str:
    """The root as fsspec names what is below it."""
    return root.removeprefix("s3://")


def _name(path: str) -> str:
    return path.rstrip("/").rpartition("/")[2]


def _hour(path: str) -> str:
    """`…/date=2026-11-23/hour=10/…` as "2026-11-23T10"."""
    *_, day, clock, _ = path.split("/")
    return f"{day.removeprefix('date=')}T{clock.removeprefix('hour=')}"
