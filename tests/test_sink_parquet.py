"""What readers of the lake see of a file (DuckDB, Polars, pyarrow), and what docs/TABLE.md promises."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import polars
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest

from _native.columns import LANDED, QUARANTINE, ColumnBuffers
from _native.record import Flags
from sink.parquet import FileImage, write
from sink.table import LANDED_SCHEMA, QUARANTINE_SCHEMA, wrap

NOW_US = 1_763_970_000_123_456
PAYLOADS = [
    '{"a":"\\u00e9 é 😀"}',
    '{"slash":"\\/","n":123456789012345678901234567890}',
    '"\0 NUL and \u2028 and \U0010ffff"',
    "{" + " " * 9000 + "}",
]
TABLE_MD = Path(__file__).parents[1] / "docs" / "TABLE.md"


def row_of(number: int, columns: Sequence[Any] = LANDED, **values: Any) -> list[Any]:
    row = {
        "event_id": b"id-%d" % number,
        "payload": PAYLOADS[number % len(PAYLOADS)].encode(),
        "event_time": NOW_US if number % 3 else None,
        "received_at": NOW_US + number,
        "appended_at": NOW_US + number,
        "attributes": [(b"k", b"v%d" % number)] * (number % 2),
        "flags": 0,
        "sequence": number,
        "kafka_incarnation": 0,
        "kafka_partition": number % 2,
        "kafka_offset": number // 2,
        **values,
    }
    return [row.get(column.name) for column in columns]


def buffers_of(count: int, *, quarantine: bool = False) -> ColumnBuffers:
    buffers = ColumnBuffers(quarantine=quarantine)
    for number in range(count):
        more = {"reason": b"corrupt_batch", "position": number} if quarantine else {}
        buffers.append(row_of(number, QUARANTINE if quarantine else LANDED, **more))
    return buffers


def landed(tmp_path: Path, image: FileImage) -> str:
    """The file where the lake would have it; gives the pattern that readers list."""
    folder = tmp_path / "events" / "date=2025-11-24" / "hour=07"
    folder.mkdir(parents=True)
    (folder / "0-0-x.parquet").write_bytes(image.data)
    return f"{tmp_path}/events/date=*/hour=*/*.parquet"


def test_buffers_are_wrapped_without_copying() -> None:
    buffers = buffers_of(20)
    before = pa.total_allocated_bytes()
    table = wrap(buffers)
    assert pa.total_allocated_bytes() == before
    table.validate(full=True)
    assert (table.schema, table.num_rows) == (LANDED_SCHEMA, 20)
    with pytest.raises(BufferError):
        buffers.append(row_of(20))


def test_an_image_says_what_the_file_holds() -> None:
    image = write(buffers_of(21), footer={"topic": "events", "lane": "0"})
    assert image.checksum == hashlib.sha256(image.data).hexdigest()
    assert (image.rows, image.received_us_min, image.received_us_max) == (21, NOW_US, NOW_US + 20)
    assert image.spans == {0: (0, 11, 11), 1: (0, 10, 10)}
    file = pq.ParquetFile(pa.BufferReader(image.data))
    metadata = {key.decode(): value.decode() for key, value in file.metadata.metadata.items()}
    assert (metadata["headrace.format"], metadata["headrace.topic"]) == ("1", "events")
    assert metadata["headrace.lane"] == "0"
    assert metadata["headrace.writer"].startswith("headrace")
    assert json.loads(metadata["headrace.offsets"]) == {"0": [0, 11, 11], "1": [0, 10, 10]}


def test_the_same_rows_make_the_same_bytes() -> None:
    assert write(buffers_of(30), footer={}).checksum == write(buffers_of(30), footer={}).checksum


def test_columns_are_encoded_as_the_docs_say() -> None:
    file = pq.ParquetFile(pa.BufferReader(write(buffers_of(100), footer={}).data))
    group = file.metadata.row_group(0)
    chunks = {group.column(at).path_in_schema: group.column(at) for at in range(group.num_columns)}
    for name in ("event_time", "received_at", "appended_at", "sequence", "kafka_offset"):
        assert "DELTA_BINARY_PACKED" in chunks[name].encodings, name
    assert "RLE_DICTIONARY" in chunks["event_type"].encodings
    assert "RLE_DICTIONARY" in chunks["user_id"].encodings
    assert "DELTA_LENGTH_BYTE_ARRAY" in chunks["event_id"].encodings
    assert not chunks["payload"].is_stats_set
    assert chunks["event_id"].is_stats_set
    assert "RLE_DICTIONARY" not in chunks["payload"].encodings
    assert {chunk.compression for chunk in chunks.values()} == {"ZSTD"}
    assert all(chunk.has_offset_index and chunk.has_column_index for chunk in (chunks["received_at"],))


def test_duckdb_reads_every_byte_back_in_order(tmp_path: Path) -> None:
    listing = landed(tmp_path, write(buffers_of(40), footer={}))
    sql = f"select * from read_parquet('{listing}', hive_partitioning=true)"
    with duckdb.connect() as connection:
        connection.sql("set timezone = 'UTC'")
        relation = connection.sql(sql)
        assert relation.columns == [*(column.name for column in LANDED), "date", "hour"]
        types = dict(zip(relation.columns, map(str, relation.types), strict=True))
        assert types["received_at"] == "TIMESTAMP WITH TIME ZONE"
        assert types["attributes"] == "MAP(VARCHAR, VARCHAR)"
        query = f"select payload, event_id, epoch_us(received_at), attributes['k'] from ({sql})"
        rows = connection.sql(query).fetchall()
        nulls = connection.sql(f"select count(*) from ({sql}) where event_time is null").fetchall()
    assert [row[0] for row in rows] == [PAYLOADS[number % 4] for number in range(40)]
    assert [row[1:3] for row in rows] == [(f"id-{number}", NOW_US + number) for number in range(40)]
    assert [row[3] for row in rows] == [f"v{number}" if number % 2 else None for number in range(40)]
    assert nulls == [(14,)]


def test_polars_and_pyarrow_read_the_same(tmp_path: Path) -> None:
    listing = landed(tmp_path, write(buffers_of(40), footer={}))
    frame = polars.read_parquet(listing, hive_partitioning=True)
    assert frame["payload"].to_list() == [PAYLOADS[number % 4] for number in range(40)]
    assert frame["received_at"][0] == datetime(2025, 11, 24, 7, 40, 0, 123456, UTC)
    assert frame["kafka_offset"].to_list() == [number // 2 for number in range(40)]
    folder = pyarrow.dataset.dataset(f"{tmp_path}/events", partitioning="hive")
    assert folder.to_table(columns=LANDED_SCHEMA.names) == wrap(buffers_of(40))


def test_the_quarantine_table_has_reason_and_position(tmp_path: Path) -> None:
    listing = landed(tmp_path, write(buffers_of(3, quarantine=True), footer={}))
    with duckdb.connect() as connection:
        rows = connection.sql(f"select reason, position from read_parquet('{listing}')").fetchall()
    assert rows == [("corrupt_batch", 0), ("corrupt_batch", 1), ("corrupt_batch", 2)]
    assert QUARANTINE_SCHEMA.names == [column.name for column in QUARANTINE]


def test_the_table_page_names_every_column_with_its_type_and_every_flag() -> None:
    page = TABLE_MD.read_text()
    for field in QUARANTINE_SCHEMA:
        told = {"timestamp[us, tz=UTC]": "timestamp", "map<string, string>": "map"}
        kind = told.get(str(field.type), str(field.type))
        assert f"| `{field.name}` | {kind} |" in page, field.name
    for flag in Flags:
        assert f"| {flag.value.bit_length() - 1} | {flag.value} | `{flag.name}` |" in page, flag.name
