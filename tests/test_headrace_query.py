"""`headrace query`: views over a lake, what a filter touches, and definitions for other engines."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.local import LocalFileSystem
from lake_stand import FILLER, HOUR, TOPIC_ID, S3Stand, local_settings, make_lane, opened, run
from typer.testing import CliRunner, Result

from _native.columns import QUARANTINE, Fed
from _native.columns_layout import PROMOTED_KINDS, PromotedType
from headrace.cli import app
from headrace.errors import HeadraceError
from headrace.lake_tables import find_tables
from headrace.query import connect
from sink.settings import ColumnSettings, LakeSettings
from sink.table import ARROW_TYPES

NAMES = [column.name for column in QUARANTINE]
BASE_US = HOUR * 3_600_000_000


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def land(settings: LakeSettings, *hours: Sequence[dict[str, Any]]) -> None:
    """A commit for each hour; a row is its fields, the others are filled."""

    async def story() -> None:
        async with opened(settings) as store:
            lane = make_lane(store)
            await lane.take(TOPIC_ID, {0: 0})
            for hour, rows in enumerate(hours, HOUR):
                first = lane.position(0).next
                for offset, row in enumerate(rows, first):
                    told = {column.name: FILLER[column.kind] for column in QUARANTINE}
                    told |= {"kafka_offset": offset, "payload": b"{}", **row}
                    lane.table_of(hour, False).append([told[name] for name in NAMES])
                fed = Fed(first + len(rows), len(rows), 0, last_batch=(first, 1))
                fed.hours = {hour: len(rows)}
                lane.note(0, fed)
                await lane.commit(TOPIC_ID)

    run(story())


@pytest.fixture
def lake(tmp_path: Path) -> str:
    """Three hours; the id "b" comes again an hour later, "a" at once, and "a" from another source too."""
    land(
        local_settings(tmp_path),
        [
            {"event_id": b"a", "source": b"web", "event_type": b"page"},
            {"event_id": b"a", "source": b"web", "event_type": b"page"},
            {"event_id": b"a", "source": b"app", "event_type": b"screen"},
        ],
        [{"event_id": b"b", "source": b"web", "payload": '{"n":"é\\u00e9"}'.encode()}],
        [{"event_id": b"b", "source": b"web"}, {"event_id": b"c", "source": b"web", "user_id": None}],
    )
    return f"{tmp_path}/lake"


def headrace(*words: str) -> Result:
    return CliRunner().invoke(app, list(words))


def asked(lake: str, sql: str) -> list[dict[str, Any]]:
    got = headrace("query", "--lake", lake, sql, "--json")
    assert got.exit_code == 0, got.exception
    found = json.loads(got.stdout)
    assert isinstance(found, list)
    return found


def test_a_topic_is_a_view_with_the_hour_of_each_row(lake: str) -> None:
    sql = "select date, hour, count(*) as n from events group by all order by all"
    assert asked(lake, sql) == [
        {"date": "2023-11-14", "hour": 22, "n": 3},
        {"date": "2023-11-14", "hour": 23, "n": 1},
        {"date": "2023-11-15", "hour": 0, "n": 2},
    ]


def test_g4_the_once_view_keeps_the_first_of_each_id_of_a_source(lake: str) -> None:
    got = asked(lake, "select source, event_id, kafka_offset from events_once order by kafka_offset")
    assert [(row["source"], row["event_id"], row["kafka_offset"]) for row in got] == [
        ("web", "a", 0),
        ("app", "a", 2),
        ("web", "b", 3),
        ("web", "c", 5),
    ]


def test_rows_without_an_id_are_never_duplicates(tmp_path: Path) -> None:
    land(local_settings(tmp_path), [{"event_id": None}, {"event_id": None}])
    assert asked(f"{tmp_path}/lake", "select count(*) as n from events_once") == [{"n": 2}]


def test_values_come_out_as_they_are(lake: str) -> None:
    sql = "select payload, user_id, attributes, received_at, payload_bytes from events where event_id = 'b'"
    row = asked(lake, f"{sql} and hour = 23")[0]
    assert row["payload"] == '{"n":"é\\u00e9"}'
    assert row["attributes"] == {}
    assert row["received_at"] == "2023-11-14T22:00:00+00:00"
    assert row["payload_bytes"] is None
    assert asked(lake, "select 1e308*10 as x, 'b'::blob as y, 1 as x") == [{"x": None, "y": "Yg==", "x_2": 1}]
    assert asked(lake, "select 1 as x where false") == []


def test_csv_has_a_header_and_quotes_what_it_must(lake: str) -> None:
    got = headrace("query", "--lake", lake, "select payload, hour from events where hour = 23", "--csv")
    rows = list(csv.reader(StringIO(got.stdout)))
    assert rows == [["payload", "hour"], ['{"n":"é\\u00e9"}', "23"]]
    empty = headrace("query", "--lake", lake, "select payload from events where false", "--csv")
    assert empty.stdout == "payload\n"


class Watched(LocalFileSystem):
    """Files below watched://, as S3's are below s3://; tells which were opened."""

    protocol = ("s3",)
    opened: list[str] = []  # noqa: RUF012

    def _open(self, path: str, *words: Any, **more: Any) -> Any:
        self.opened.append(path)
        return super()._open(path, *words, **more)

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        return super()._strip_protocol(str(path).removeprefix("s3://"))


def test_a_filter_on_an_hour_opens_the_files_of_that_hour_alone(lake: str) -> None:
    files = Watched(skip_instance_cache=True)
    tables = find_tables(LakeSettings.model_construct(url=f"s3://{lake}"), files, {})
    assert {re.sub(r".*/(hour=\d+)/.*", r"\1", path) for path in files.opened} == {"hour=00"}  # the newest
    with connect(tables, files) as connection:
        files.opened.clear()
        for where in ("date = '2023-11-14' and hour = 23", "hour = '23'", "hour between 23 and 23"):
            sql = f"select payload from events where {where}"
            assert len(connection.execute(sql).fetchall()) == 1
        assert {re.sub(r".*/(hour=\d+)/.*", r"\1", path) for path in files.opened} == {"hour=23"}


def test_a_topic_without_rows_has_its_columns(lake: str) -> None:
    got = headrace("query", "--lake", lake, 'select reason, position, hour from "headrace.quarantine"')
    assert got.exit_code == 0, got.exception
    assert "reason" in got.stdout
    assert asked(lake, 'select count(*) as n from "headrace.quarantine"') == [{"n": 0}]


def test_a_lake_in_which_nothing_has_landed_answers_too(tmp_path: Path) -> None:
    assert asked(f"{tmp_path}/none", "select count(*) as n from events") == [{"n": 0}]
    got = headrace("query", "--lake", f"{tmp_path}/none")
    assert got.exit_code == 0, got.exception
    assert "headrace query" in got.stdout


def test_names_with_signs_of_patterns_and_quotes_are_taken_as_they_are(tmp_path: Path) -> None:
    folder = tmp_path / "it's [a] da?te=*"
    land(local_settings(folder), [{"event_id": b"a"}])
    assert asked(f"{folder}/lake", "select event_id, hour from events") == [{"event_id": "a", "hour": 22}]


def test_promoted_columns_of_the_settings_are_there_before_any_file_has_them(lake: str) -> None:
    files = LocalFileSystem()
    promoted = {"events": {"price": ColumnSettings(path="$.price", type="double")}}
    tables = find_tables(LakeSettings(url=f"file://{lake}"), files, promoted)
    with connect(tables, files) as connection:
        assert connection.execute("select distinct price from events").fetchall() == [(None,)]


def test_promoted_columns_of_every_type_are_read_and_are_null_in_older_files(lake: str) -> None:
    values: dict[PromotedType, tuple[Any, Any]] = {
        "string": ("x", "x"),
        "bool": (True, True),
        "int64": (7, 7),
        "double": (1.5, 1.5),
        "decimal": (Decimal("12.5"), "12.500000000"),
        "timestamp": (datetime(2026, 11, 23, tzinfo=UTC), "2026-11-23T00:00:00+00:00"),
        "date": (date(2026, 11, 23), "2026-11-23"),
        "json": ('{"a":1}', '{"a":1}'),
    }
    assert set(values) == set(PROMOTED_KINDS)
    types = {name: ARROW_TYPES[PROMOTED_KINDS[name]] for name in values}
    columns = {f"p_{name}": pa.array([value], types[name]) for name, (value, _) in values.items()}
    newest = Path(lake) / "events/date=2026-11-24/hour=07"
    newest.mkdir(parents=True)
    pq.write_table(pa.table({"event_id": ["new"], "kafka_offset": [1], **columns}), newest / "0-9-a.parquet")
    names = ", ".join(columns)
    new, old = asked(lake, f"select {names} from events where event_id in ('new', 'c') order by date desc")
    assert new == {f"p_{name}": told for name, (_, told) in values.items()}
    assert old == dict.fromkeys(columns)


def test_without_sql_the_tables_are_named_with_a_question_to_copy(lake: str) -> None:
    got = headrace("query", "--lake", lake)
    assert re.search(r"events\s*│\s*6 │\s*3 │", got.stdout)
    assert "2023-11-15T00" in got.stdout
    typed = re.search(r'headrace query --lake \S+ "(.*)"', got.stdout)
    assert typed is not None
    assert len(asked(lake, typed[1])) == 1


def test_one_wide_column_is_shown_as_far_as_it_goes(lake: str) -> None:
    got = headrace("query", "--lake", lake, "select repeat('wide ', 100) as text")
    assert "wide wide wide" in got.stdout


def test_a_mistake_in_sql_says_what_is_meant(lake: str) -> None:
    got = headrace("query", "--lake", lake, "select evnt_id from events")
    assert isinstance(got.exception, HeadraceError)
    assert "event_id" in str(got.exception)


def test_s3_is_read_without_an_extension_of_duckdb(monkeypatch: pytest.MonkeyPatch) -> None:
    stand = S3Stand(monkeypatch)
    try:
        settings = stand.settings()
        land(settings, [{"event_id": b"a"}], [{"event_id": b"a"}])
        monkeypatch.setenv("HEADRACE__LAKE__ENDPOINT_URL", str(settings.endpoint_url))
        assert asked(settings.url, "select count(*) as n from events") == [{"n": 2}]
        assert asked(settings.url, "select count(*) as n from events_once where hour = 22") == [{"n": 1}]
        missing = headrace("query", "--lake", "s3://no-such-bucket/x", "select 1")
        assert isinstance(missing.exception, HeadraceError)
        assert "bucket" in str(missing.exception)
    finally:
        stand.stop()


def test_the_definitions_for_duckdb_can_be_run(lake: str) -> None:
    got = headrace("query", "--lake", lake, "--ddl", "duckdb")
    with duckdb.connect() as connection:
        connection.execute(got.stdout)
        assert connection.execute("select count(*) from events where hour = 22").fetchall() == [(3,)]
        assert connection.execute('select count(*) from "headrace.quarantine"').fetchall() == [(0,)]


@pytest.mark.parametrize("engine", ["spark", "athena"])
def test_the_definitions_for_other_engines_name_every_column_once(lake: str, engine: str) -> None:
    got = headrace("query", "--lake", lake, "--ddl", engine)
    assert got.exit_code == 0
    definition = got.stdout.partition(";")[0]
    partitions = 2 if engine == "spark" else 0  # Athena names them with their types in PARTITIONED BY alone
    columns = re.findall(r"^  `(\w+)` [\w<>,]+,?$", definition, re.M)
    assert columns == [*NAMES[:-2], *["date", "hour"][:partitions]]
    assert "PARTITIONED BY (`date`" in definition
    assert f"{lake}/events" in definition
