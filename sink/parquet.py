"""Parquet: takes the column buffers of one lane, hour and table, gives the bytes of one file and its ranges.

    format        Parquet 2.6 types, data pages version 1 (every reader has them), page index, zstd level 1
    encodings     dictionary where values repeat; DELTA_BINARY_PACKED for numbers and times;
                  DELTA_LENGTH_BYTE_ARRAY for ids that don't; plain text else
    footer        headrace.format, headrace.writer, headrace.offsets (JSON: Kafka partition ->
                  [first, next, rows]) and what the caller adds
    row order     as fetched: by offset within each Kafka partition

Source: the Apache Parquet format, Encodings.md and PageIndex.md.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from _native.columns import QUARANTINE, ColumnBuffers
from sink.table import wrap

FORMAT: Final = "1"
OWN_NAMES: Final = frozenset(column.name for column in QUARANTINE)
ZSTD_LEVEL: Final = 1
ROW_GROUP_ROWS_MAX: Final = 1 << 18
DICTIONARY: Final = (
    "event_type",
    "event_name",
    "source",
    "dialect",
    "user_id",
    "anonymous_id",
    "client_ip",
    "user_agent",
    "content_type",
    "ack",
    "flags",
    "collector",
    "kafka_incarnation",
    "kafka_partition",
    "attributes.key_value.key",
    "reason",
)
DELTA: Final = ("event_time", "received_at", "appended_at", "sequence", "kafka_offset", "position")
# Of ids that never repeat the lengths stand apart from the bytes: 2.6 bytes a row less, and faster.
DELTA_LENGTH: Final = ("event_id",)
# Of promoted columns by kind; doubles and decimals stay plain. A dictionary that grows too large is given up
# by the writer within the file.
DICTIONARY_KINDS: Final = ("text",)
DELTA_KINDS: Final = ("int64", "time", "date")
# Nobody filters by these; their smallest and largest values would fill page headers and footers.
NO_STATISTICS: Final = ("payload", "payload_bytes", "user_agent", "attributes")
PAGE_BYTES: Final = 1 << 20
BATCH_ROWS_MIN: Final = 64
BATCH_ROWS_MAX: Final = 1 << 13


@dataclass(frozen=True, slots=True)
class FileImage:
    """A Parquet file in memory; times in µs since 1970; spans: Kafka partition to first, next, rows."""

    data: pa.Buffer
    rows: int
    checksum: str
    """SHA-256 of `data`, hex."""
    received_us_min: int
    received_us_max: int
    spans: dict[int, tuple[int, int, int]]


def write(buffers: ColumnBuffers, *, footer: Mapping[str, str]) -> FileImage:
    """The rows as one Parquet file; CPU work, does not suspend. At least one row.

    `footer` is added to the file's metadata under `headrace.<key>`: topic, lane, sequence, the writer's
    settings.
    """
    assert buffers.received_us_min is not None, "a table without rows"
    assert buffers.received_us_max is not None
    table = wrap(buffers)
    names = table.column_names
    promoted = [column for column in buffers.layout if column.name not in OWN_NAMES]
    dictionary = [name for name in DICTIONARY if name.partition(".")[0] in names]
    dictionary += [column.name for column in promoted if column.kind in DICTIONARY_KINDS]
    delta = [name for name in DELTA if name in names]
    delta += [column.name for column in promoted if column.kind in DELTA_KINDS]
    out = pa.BufferOutputStream()
    pq.write_table(
        table.replace_schema_metadata(_metadata(buffers, footer)),
        out,
        row_group_size=ROW_GROUP_ROWS_MAX,
        compression="zstd",
        compression_level=ZSTD_LEVEL,
        use_dictionary=dictionary,
        column_encoding=dict.fromkeys(delta, "DELTA_BINARY_PACKED")
        | dict.fromkeys(DELTA_LENGTH, "DELTA_LENGTH_BYTE_ARRAY"),
        write_statistics=[name for name in names if name not in NO_STATISTICS],
        write_page_index=True,
        data_page_size=PAGE_BYTES,
        write_batch_size=_batch_rows(buffers),
        data_page_version="1.0",
        coerce_timestamps="us",
    )
    data = out.getvalue()
    checksum = hashlib.sha256(data).hexdigest()
    return FileImage(
        data, buffers.rows, checksum, buffers.received_us_min, buffers.received_us_max, dict(buffers.spans)
    )


def _batch_rows(buffers: ColumnBuffers) -> int:
    """Rows after which the writer looks whether a page is full: a page's worth of them."""
    return min(max(PAGE_BYTES * buffers.rows // buffers.nbytes, BATCH_ROWS_MIN), BATCH_ROWS_MAX)


def _metadata(buffers: ColumnBuffers, footer: Mapping[str, str]) -> dict[str, str]:
    spans = {str(partition): span for partition, span in sorted(buffers.spans.items())}
    own = {
        "headrace.format": FORMAT,
        "headrace.writer": f"headrace parquet-cpp-arrow {pa.__version__}",
        "headrace.offsets": orjson.dumps(spans).decode(),
    }
    return own | {f"headrace.{key}": value for key, value in footer.items()}
