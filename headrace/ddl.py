"""Table definitions for other engines: takes the tables of a lake, gives SQL for DuckDB, Spark and Athena.

Sources: DuckDB documentation, "Hive Partitioning"; Spark SQL reference, "CREATE DATASOURCE TABLE"; Amazon
Athena user guide, "Partition projection".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, Literal, TypeAlias

import pyarrow as pa

from headrace.lake_tables import LakeTable
from sink.settings import LakeSettings

Engine: TypeAlias = Literal["duckdb", "spark", "athena"]

TEXT_MAP: Final = pa.map_(pa.utf8(), pa.utf8())
TIME: Final = pa.timestamp("us", tz="UTC")
DUCKDB_TYPES: Final[dict[pa.DataType, str]] = {
    pa.utf8(): "VARCHAR",
    pa.binary(): "BLOB",
    pa.int32(): "INTEGER",
    pa.int64(): "BIGINT",
    pa.bool_(): "BOOLEAN",
    pa.float64(): "DOUBLE",
    pa.date32(): "DATE",
    TIME: "TIMESTAMP WITH TIME ZONE",
    TEXT_MAP: "MAP(VARCHAR, VARCHAR)",
}
HIVE_TYPES: Final[dict[pa.DataType, str]] = {
    pa.utf8(): "string",
    pa.binary(): "binary",
    pa.int32(): "int",
    pa.int64(): "bigint",
    pa.bool_(): "boolean",
    pa.float64(): "double",
    pa.date32(): "date",
    TIME: "timestamp",
    TEXT_MAP: "map<string,string>",
}


def define(engine: Engine, lake: LakeSettings, tables: Iterable[LakeTable]) -> str:
    """SQL that makes all the tables known to an engine, ready to be pasted."""
    head = _duckdb_secret(lake) if engine == "duckdb" else ""
    return head + "\n".join(DEFINITIONS[engine](table) for table in tables)


def duckdb_type(kind: pa.DataType) -> str:
    """The column's type in DuckDB."""
    if pa.types.is_decimal(kind):
        return f"DECIMAL({kind.precision},{kind.scale})"
    return DUCKDB_TYPES.get(_plain(kind), "VARCHAR")


def hive_type(kind: pa.DataType) -> str:
    """The column's type in Spark and Athena."""
    if pa.types.is_decimal(kind):
        return f"decimal({kind.precision},{kind.scale})"
    return HIVE_TYPES.get(_plain(kind), "string")


def quoted(name: str) -> str:
    """A name in SQL, whatever is in it."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A text in SQL."""
    return "'" + text.replace("'", "''") + "'"


def _plain(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _duckdb_secret(lake: LakeSettings) -> str:
    if not lake.url.startswith("s3://"):
        return ""
    told = ["type s3", "provider credential_chain"]
    if lake.region:
        told.append(f"region {literal(lake.region)}")
    if lake.endpoint_url:
        scheme, _, host = lake.endpoint_url.partition("://")
        told += [f"endpoint {literal(host)}", "url_style 'path'", f"use_ssl {str(scheme == 'https').lower()}"]
    return f"install httpfs; load httpfs; install aws; load aws;\ncreate secret ({', '.join(told)});\n"


def _duckdb(table: LakeTable) -> str:
    if not table.files:
        nothing = ", ".join(
            f"cast(null as {duckdb_type(column.type)}) as {quoted(column.name)}" for column in table.columns
        )
        return (
            f"-- nothing has landed yet\ncreate view {quoted(table.topic)} as select {nothing} where false;\n"
        )
    options = "hive_partitioning = true, hive_types = {'date': date, 'hour': integer}, union_by_name = true"
    source = f"read_parquet({literal(table.pattern)}, {options})"
    return f"create or replace view {quoted(table.topic)} as\n  from {source};\n"


def _spark(table: LakeTable) -> str:
    name = _hive_name(table)
    where = (
        table.root.replace("s3://", "s3a://", 1) if table.root.startswith("s3://") else f"file://{table.root}"
    )
    return (
        f"CREATE TABLE IF NOT EXISTS {name} (\n{_hive_columns(table, 'DATE', 'INT')}\n)\nUSING parquet\n"
        f"PARTITIONED BY (`date`, `hour`)\nLOCATION {literal(where)};\nMSCK REPAIR TABLE {name};\n"
    )


def _athena(table: LakeTable) -> str:
    begins = (table.hour_first or "2026-01-01")[:10]
    properties = {
        "projection.enabled": "true",
        "projection.date.type": "date",
        "projection.date.format": "yyyy-MM-dd",
        "projection.date.range": f"{begins},NOW+1DAYS",
        "projection.hour.type": "integer",
        "projection.hour.range": "0,23",
        "projection.hour.digits": "2",
        "storage.location.template": f"{table.root}/date=${{date}}/hour=${{hour}}/",
    }
    told = ",\n".join(f"  {literal(key)} = {literal(value)}" for key, value in properties.items())
    return (
        f"CREATE EXTERNAL TABLE IF NOT EXISTS {_hive_name(table)} (\n{_hive_columns(table)}\n)\n"
        f"PARTITIONED BY (`date` string, `hour` int)\nSTORED AS PARQUET\n"
        f"LOCATION {literal(table.root + '/')}\nTBLPROPERTIES (\n{told}\n);\n"
    )


def _hive_columns(table: LakeTable, *partition_types: str) -> str:
    lines = [f"  `{column.name}` {hive_type(column.type)}" for column in table.columns]
    lines += [f"  `{name}` {kind}" for name, kind in zip(("date", "hour"), partition_types, strict=False)]
    return ",\n".join(lines)


def _hive_name(table: LakeTable) -> str:
    """Dots stand between schema and table there."""
    return f"`{table.topic.replace('.', '_').replace('-', '_')}`"


DEFINITIONS: Final[dict[Engine, Callable[[LakeTable], str]]] = {
    "duckdb": _duckdb,
    "spark": _spark,
    "athena": _athena,
}
