"""Promoted columns from the settings to the file: names that are refused, types that readers see."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pytest
from columns_stand import HOUR, batch_of, headers_of
from lake_stand import THREADS, TOPIC_ID, local_settings, opened, run
from pydantic import ValidationError

from _native.columns import Decoder
from headrace.errors import SettingsError
from headrace.settings import load
from sink.lane import Lane
from sink.settings import ColumnSettings, TableSettings

PAYLOADS = (
    b'{"p":{"price":1.5,"paid":"1.3","sku":"A","n":3,"ok":true,"at":"2025-11-24","day":"2025-11-24","x":[]}}',
    b'{"p":{"price":"cheap","n":9223372036854775808}}',
    b"{}",
)
COLUMNS: dict[str, Any] = {
    "price": {"path": "$.p.price", "type": "double"},
    "paid": {"path": "$.p.paid", "type": "decimal"},
    "sku": {"path": "$.p.sku", "type": "string"},
    "n": {"path": "$.p.n", "type": "int64"},
    "ok": {"path": "$.p.ok", "type": "bool"},
    "moment": {"path": "$.p.at", "type": "timestamp"},
    "day": {"path": "$.p.day", "type": "date"},
    "x": {"path": "$.p.x", "type": "json"},
}


def table_of(columns: dict[str, Any]) -> TableSettings:
    return TableSettings.model_validate({"columns": columns})


def test_promoted_columns_land_with_their_types(tmp_path: Path) -> None:
    table = table_of(COLUMNS)
    data = batch_of([(b"k", payload, headers_of(n)) for n, payload in enumerate(PAYLOADS)])

    async def land() -> dict[str, int]:
        async with opened(local_settings(tmp_path)) as store:
            lane = Lane(
                store,
                "events",
                0,
                1,
                grace_us=300_000_000,
                writer="one",
                now_us=lambda: 7,
                threads=THREADS,
                columns=table.promoted,
            )
            decoder = Decoder(
                lane.table_of, grace_us=300_000_000, record_bytes_max=1 << 20, columns=table.promoted
            )
            await lane.take(TOPIC_ID, {0: 0})
            fed = decoder.feed(0, 0, 0, data, [])
            lane.note(0, fed)
            await lane.commit(TOPIC_ID)
            return fed.nulled

    assert run(land()) == {"price": 1, "n": 1}
    listing = f"{tmp_path}/lake/events/date=*/hour=*/*.parquet"
    names = ", ".join(COLUMNS)
    with duckdb.connect() as connection:
        relation = connection.sql(
            f"select {names}, flags & 262144 from read_parquet('{listing}') order by kafka_offset"
        )
        types = list(map(str, relation.types))[:-1]
        rows = relation.fetchall()
    wanted = "DOUBLE DECIMAL(38,9) VARCHAR BIGINT BOOLEAN TIMESTAMP_WITH_TIME_ZONE DATE VARCHAR"
    assert types == [one.replace("_", " ") for one in wanted.split()]
    assert [str(value) for value in rows[0][:5]] == ["1.5", "1.300000000", "A", "3", "True"]
    assert (str(rows[0][6]), rows[0][7], rows[0][8]) == ("2025-11-24", "[]", 0)
    assert rows[1] == (*[None] * 8, 262144)
    assert rows[2] == (*[None] * 8, 0)
    assert HOUR == 489991


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("payload", "a landed column"),
        ("Payload", "a landed column"),
        ("kafka_offset", "a landed column"),
        ("date", "path"),
        ("HOUR", "path"),
        ("1st", "pattern"),
        ("a b", "pattern"),
        ("", "pattern"),
    ],
)
def test_a_name_that_would_collide_is_refused_and_told(name: str, told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        table_of({name: {"path": "$.a", "type": "string"}})


def test_names_that_differ_by_case_alone_are_refused() -> None:
    one = {"path": "$.a", "type": "string"}
    with pytest.raises(ValidationError, match="upper case"):
        table_of({"price": one, "Price": one})


def test_bounds_of_columns_and_paths() -> None:
    one = ColumnSettings(path="$.a", type="json")
    assert len(table_of({f"c{n}": one for n in range(256)}).promoted) == 256
    with pytest.raises(ValidationError):
        table_of({f"c{n}": one for n in range(257)})
    assert ColumnSettings(path="$" + ".a" * 32, type="json")
    with pytest.raises(ValidationError, match="32 keys"):
        ColumnSettings(path="$" + ".a" * 33, type="json")
    assert ColumnSettings(path="$." + "é" * 127, type="json")
    with pytest.raises(ValidationError, match="255 bytes"):
        ColumnSettings(path="$." + "é" * 128, type="json")


def test_the_quarantine_has_no_promoted_columns(tmp_path: Path) -> None:
    path = tmp_path / "headrace.toml"
    path.write_text('[topics."headrace.quarantine".columns]\nprice = { path = "$.a", type = "int64" }\n')
    with pytest.raises(SettingsError, match="expected none"):
        load(path)
