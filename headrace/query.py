"""`headrace query`: takes SQL and the tables of a lake, gives rows, by DuckDB in this process.

Each topic is a view, and `<topic>_once` the same without duplicates: of rows of one source with one event id
the first that Kafka appended stays. Columns are named beforehand, so that no file is opened to learn them;
`date` and `hour` are taken from the file's name, and a filter on them leaves the other files alone. No DuckDB
extension is downloaded: S3 is read through s3fs.
"""

from __future__ import annotations

import csv
import json
import sys
from base64 import b64encode
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from math import isfinite
from tempfile import gettempdir
from typing import TYPE_CHECKING, Any, Final

from fsspec.spec import AbstractFileSystem
from rich.console import Console
from rich.table import Table

from headrace.ddl import duckdb_type, literal, quoted
from headrace.errors import HeadraceError
from headrace.lake_tables import LakeTable

if TYPE_CHECKING:
    import duckdb

ONCE: Final = "_once"
FRAME_COLUMNS: Final = 8  # what DuckDB draws around a table of one column, and a little
CELL_COLUMNS_MIN: Final = 30  # a time to the microsecond
BATCH_ROWS: Final = 10_000
COUNTED_FILES_MAX: Final = 5000  # beyond, counting would read too many footers for a look
PLACE: Final = r"/date=([^/]+)/hour=([0-9]+)/[^/]*$"


@contextmanager
def connect(tables: Sequence[LakeTable], files: AbstractFileSystem) -> Iterator[duckdb.DuckDBPyConnection]:
    """DuckDB with a view per table. HeadraceError `query_failed` for what DuckDB refuses inside."""
    try:
        import duckdb
    except ImportError as error:
        raise HeadraceError(
            "extra_missing", "DuckDB is not installed: pip install 'headrace[query]'"
        ) from error
    settings: dict[str, str | bool | int | float | list[str]] = {
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
        "temp_directory": gettempdir(),
    }
    connection = duckdb.connect(config=settings)
    try:
        connection.execute("set TimeZone = 'UTC'")
        if "s3" in files.protocol:
            connection.register_filesystem(files)
        for statement in views(tables):
            connection.execute(statement)
        yield connection
    except duckdb.Error as error:
        raise HeadraceError("query_failed", str(error)) from error
    finally:
        connection.close()


def views(tables: Sequence[LakeTable]) -> Iterator[str]:
    """SQL that makes the views."""
    names = {table.topic for table in tables}
    for table in tables:
        yield f"create view {quoted(table.topic)} as {_source(table) if table.files else _nothing(table)}"
        if table.topic + ONCE not in names and not table.topic.startswith("headrace."):
            yield f"create view {quoted(table.topic + ONCE)} as {_once(table.topic)}"


def _source(table: LakeTable) -> str:
    told = ", ".join(
        f"{literal(column.name)}: {{name: {literal(column.name)}, type: {literal(duckdb_type(column.type))},"
        " default_value: null}"
        for column in table.columns
    )
    # A bracketed character stands for itself in a pattern, so the folder's own name is taken as it is.
    root = "".join(f"[{sign}]" if sign in "*?[" else sign for sign in table.root)
    pattern = literal(f"{root}/date=*/hour=*/*.parquet")
    place = literal(PLACE)
    placed = (
        f"cast(regexp_extract(filename, {place}, 1) as date) as date,"
        f" cast(regexp_extract(filename, {place}, 2) as integer) as hour"
    )
    source = f"read_parquet({pattern}, filename = true, schema = map {{{told}}})"
    return f"from {source} select * exclude (filename), {placed}"


def _nothing(table: LakeTable) -> str:
    """The table's columns, and no row."""
    told = [f"cast(null as {duckdb_type(column.type)}) as {quoted(column.name)}" for column in table.columns]
    return f"select {', '.join(told)}, cast(null as date) as date, cast(null as integer) as hour where false"


def _once(topic: str) -> str:
    """All rows but later ones with the id of an earlier one; rows without id stay.

    The inner query reads a few narrow columns of all hours, as a duplicate may stand in another hour; the
    outer one only what is asked for.
    """
    identity = "kafka_incarnation, kafka_partition, kafka_offset"
    same = f"partition by source, event_id order by appended_at, {identity}"
    numbered = (
        f"select {identity}, row_number() over ({same}) as copy"  # noqa: S608 - names are quoted
        f" from {quoted(topic)} where event_id is not null"
    )
    later = f"(from ({numbered}) select {identity} where copy > 1)"
    return f"from {quoted(topic)} anti join {later} using ({identity})"


def print_table(connection: duckdb.DuckDBPyConnection, sql: str, width: int, rows_max: int) -> None:
    """The result as a person reads it; columns that don't fit are left out in the middle."""
    result = connection.sql(sql)
    if result is not None:
        cell_width = min(width - FRAME_COLUMNS, max(CELL_COLUMNS_MIN, width // max(1, len(result.columns))))
        result.show(max_width=width, max_rows=rows_max, max_col_width=cell_width)


def print_json(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    """The result as one JSON array, an object per row and line."""
    between = "[\n"
    for names, rows in _batches(connection, sql):
        for row in rows:
            told = dict(zip(names, map(_plain, row), strict=True))
            sys.stdout.write(between + json.dumps(told, ensure_ascii=False, default=str))
            between = ",\n"
    sys.stdout.write("[]\n" if between == "[\n" else "\n]\n")


def print_csv(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    """The result as CSV with a header (RFC 4180)."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    header = True
    for names, rows in _batches(connection, sql):
        if header:
            writer.writerow(names)
            header = False
        writer.writerows([_cell(value) for value in row] for row in rows)


def _batches(
    connection: duckdb.DuckDBPyConnection, sql: str
) -> Iterator[tuple[list[str], list[tuple[Any, ...]]]]:
    """Names (each once) and rows, BATCH_ROWS at a time; at least one batch, which may be empty."""
    result = connection.execute(sql)
    names: list[str] = []
    for told in result.description or ():
        name = str(told[0])
        names.append(name if name not in names else f"{name}_{len(names)}")
    while True:
        rows = result.fetchmany(BATCH_ROWS)
        yield names, rows
        if len(rows) < BATCH_ROWS:
            return


def _plain(value: Any) -> Any:
    """A value as JSON has it: times in RFC 3339, decimals as text, bytes in base64, NaN as null."""
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, bytes | bytearray | memoryview):
        return b64encode(value).decode()
    if isinstance(value, float) and not isfinite(value):
        return None
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value


def _cell(value: Any) -> Any:
    plain = _plain(value)
    if isinstance(plain, dict | list):
        return json.dumps(plain, ensure_ascii=False, default=str)
    return plain


def show_tables(
    connection: duckdb.DuckDBPyConnection,
    tables: Sequence[LakeTable],
    url: str,
    console: Console,
    command: str,
) -> None:
    """What there is to ask, and a first question to copy; `command`: how this one is typed."""
    table = Table("table", title=url, title_justify="left")
    for name in ("rows", "files", "size", "first hour", "last hour"):
        table.add_column(name, justify="right")
    for one in tables:
        rows = "-"
        if one.files <= COUNTED_FILES_MAX:
            found = connection.execute(f"select count(*) from {quoted(one.topic)}").fetchone()  # noqa: S608
            rows = f"{found[0]:,}" if found else "-"
        size = f"{one.bytes / 1e6:,.1f} MB"
        table.add_row(sql_name(one.topic), rows, f"{one.files:,}", size, one.hour_first, one.hour_last)
    console.print(table)
    landed = [one for one in tables if one.files and not one.topic.startswith("headrace.")]
    one = max(landed, key=lambda one: one.hour_last, default=tables[0])
    day, _, clock = one.hour_last.partition("T")
    where = f"where date = '{day}' and hour = {int(clock)} " if clock else ""
    sql = (
        f"select event_type, count(*) from {sql_name(one.topic)} {where}"  # noqa: S608 - printed only
        "group by all order by 2 desc"
    )
    console.print(
        f"Each topic also as {sql_name(one.topic + ONCE)}: without repeats of one event id.\n",
        highlight=False,
    )
    typed = sql.replace('"', '\\"')
    console.print(f'{command} "{typed}"', soft_wrap=True, highlight=False, markup=False)


def sql_name(topic: str) -> str:
    """The topic as it must be written in SQL."""
    return topic if topic.replace("_", "a").isalnum() and not topic[0].isdigit() else quoted(topic)
