"""Columns lifted from the payload: what each type takes, what becomes null and flagged; both twins."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, get_args

import pytest
from columns_stand import HOUR, TWINS, Landing, batch_of, headers_of

from _native.columns import Promoted, PromotedType
from _native.record import Flags
from sink.table import wrap

TYPES: tuple[PromotedType, ...] = get_args(PromotedType)
NULLED = int(Flags.COLUMN_NULLED)


@pytest.fixture(params=list(TWINS), scope="module", autouse=True)
def twin(request: pytest.FixtureRequest) -> Iterator[str]:
    before, Landing.twin = Landing.twin, request.param
    yield request.param
    Landing.twin = before


def promoted(kind: PromotedType, path: str = "v") -> Promoted:
    return Promoted(f"as_{kind}", tuple(path.split(".")), kind)


def lifted(payload: bytes, *columns: Promoted) -> tuple[dict[str, Any], dict[str, int]]:
    landing = Landing(columns=columns)
    fed = landing.feed(batch_of([(b"k", payload, headers_of())]))
    assert (fed.rows, fed.quarantined) == (1, 0)
    (row,) = landing.rows()
    assert row["payload"] == payload.decode()
    assert bool(row["flags"] & NULLED) == bool(fed.nulled)
    return {column.name: row[column.name] for column in columns}, fed.nulled


def value_of(kind: PromotedType, written: str) -> Any:
    """What the column has; "wrong" where it is null and flagged."""
    found, nulled = lifted(b'{"v":%s}' % written.encode(), promoted(kind))
    value = found[f"as_{kind}"]
    assert nulled in ({}, {f"as_{kind}": 1})
    assert not nulled or value is None
    return "wrong" if nulled else value


@pytest.mark.parametrize(
    ("kind", "written", "expected"),
    [
        ("string", '"a"', "a"),
        ("string", '""', ""),
        ("string", r'"\u00e9\n\ud83d\ude00\ud800"', "é\n😀�"),
        ("string", "1", "wrong"),
        ("string", "{}", "wrong"),
        ("bool", "true", True),
        ("bool", "false", False),
        ("bool", "0", "wrong"),
        ("bool", '"true"', "wrong"),
        ("int64", "0", 0),
        ("int64", "-0", 0),
        ("int64", "9223372036854775807", (1 << 63) - 1),
        ("int64", "9223372036854775808", "wrong"),
        ("int64", "-9223372036854775808", -(1 << 63)),
        ("int64", "-9223372036854775809", "wrong"),
        ("int64", "18446744073709551617", "wrong"),
        ("int64", "10000000000000000000000", "wrong"),
        ("int64", "1.0", "wrong"),
        ("int64", "1e3", "wrong"),
        ("int64", '"1"', "wrong"),
        ("double", "1", 1.0),
        ("double", "-0.5e-3", -0.0005),
        ("double", "0.1", 0.1),
        ("double", "52.520006599999996", 52.520006599999996),
        ("double", "9007199254740993", 9007199254740992.0),
        ("double", "1.7976931348623157e308", 1.7976931348623157e308),
        ("double", "4.9e-324", 5e-324),
        ("double", "1e-400", 0.0),
        ("double", "1e309", "wrong"),
        ("double", "0." + "3" * 600, 1 / 3),
        ("double", '"1"', "wrong"),
        ("decimal", "19.99", Decimal("19.99")),
        ("decimal", '"19.99"', Decimal("19.99")),
        ("decimal", "-0.000000001", Decimal("-1e-9")),
        ("decimal", "0.0000000001", "wrong"),
        ("decimal", "0.0000000010", Decimal("1e-9")),
        ("decimal", "9" * 29 + ".999999999", Decimal("9" * 29 + ".999999999")),
        ("decimal", "1" + "0" * 29, "wrong"),
        ("decimal", "1e28", Decimal(10) ** 28),
        ("decimal", "1e29", "wrong"),
        ("decimal", "1200e-11", Decimal("12e-9")),
        ("decimal", "1e0000000000001", Decimal(10)),
        ("decimal", "1e1000000", "wrong"),
        ("decimal", "0e9999999999", Decimal(0)),
        ("decimal", '"1,5"', "wrong"),
        ("decimal", '"01"', "wrong"),
        ("decimal", '""', "wrong"),
        ("decimal", '" 1"', "wrong"),
        ("timestamp", '"2025-11-24T07:40:00.5+01:00"', datetime(2025, 11, 24, 6, 40, 0, 500_000, UTC)),
        ("timestamp", '"2025-11-24"', datetime(2025, 11, 24, tzinfo=UTC)),
        ("timestamp", '"2025-11-24\\u005407:40:00Z"', datetime(2025, 11, 24, 7, 40, tzinfo=UTC)),
        ("timestamp", "1763970000", datetime(2025, 11, 24, 7, 40, tzinfo=UTC)),
        ("timestamp", "1763970000123", datetime(2025, 11, 24, 7, 40, 0, 123_000, UTC)),
        ("timestamp", "-1", datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ("timestamp", "1.76397e9", datetime(2025, 11, 24, 7, 40, tzinfo=UTC)),
        ("timestamp", '"soon"', "wrong"),
        ("timestamp", "true", "wrong"),
        ("date", '"2024-02-29"', date(2024, 2, 29)),
        ("date", '"1969-12-31"', date(1969, 12, 31)),
        ("date", '"2023-02-29"', "wrong"),
        ("date", '"2023-02-28T00:00:00Z"', "wrong"),
        ("date", "20230228", "wrong"),
        ("json", '{"a": [1, "\\u00e9"]}', '{"a": [1, "\\u00e9"]}'),
        ("json", '"a\\n"', '"a\\n"'),
        ("json", "1.50", "1.50"),
        ("json", "false", "false"),
    ],
)
def test_a_value_becomes_its_type_or_is_null_and_flagged(
    kind: PromotedType, written: str, expected: Any
) -> None:
    assert value_of(kind, written) == expected


@pytest.mark.parametrize("kind", TYPES)
def test_what_is_absent_or_null_is_null_and_not_flagged(kind: PromotedType) -> None:
    for payload in (b"{}", b'{"v":null}', b'{"w":{"v":1}}', b'{"v":"a","v":null}'):
        assert lifted(payload, promoted(kind)) == ({f"as_{kind}": None}, {})


def test_a_path_leads_through_objects_and_the_last_of_two_keys_wins() -> None:
    columns = (promoted("int64", "a.b.c"), promoted("string", "a.b"), promoted("json", "a"))
    payload = b'{"a":{"b":{"c":1}},"x":2,"a" : {"b":{"c":7}} }'
    assert lifted(payload, *columns) == (
        {"as_int64": 7, "as_string": None, "as_json": '{"b":{"c":7}}'},
        {"as_string": 1},
    )
    assert lifted(b'{"a":[{"b":1}]}', promoted("int64", "a.b")) == ({"as_int64": None}, {})


@pytest.mark.parametrize(
    "payload",
    [b'{"v":1', b"[1]", b'"{"', b"7", b'{"v":1} x', b"\xef\xbb\xbf{}", b'{"v":' * 65 + b"1" + b"}" * 65],
)
def test_a_payload_that_is_no_json_object_lands_with_every_column_flagged(payload: bytes) -> None:
    found, nulled = lifted(payload, promoted("int64"), promoted("json", "w"))
    assert (found, nulled) == ({"as_int64": None, "as_json": None}, {"as_int64": 1, "as_json": 1})


def test_rows_without_payload_and_quarantine_rows_have_nothing_to_lift() -> None:
    landing = Landing(columns=(promoted("string"),))
    records = [
        (b"k", b"", headers_of(0)),
        (b"k", b"x", headers_of(1, content_type=b"text/plain")),
        (b"k", b'{"v":1}', []),
        (b"k", b'{"v":1}', headers_of(3)),
    ]
    fed = landing.feed(batch_of(records))
    assert (fed.rows, fed.quarantined, fed.nulled) == (3, 1, {"as_string": 1})
    assert [row["flags"] & NULLED for row in landing.rows()] == [0, 0, NULLED]
    assert "as_string" not in landing.rows(quarantine=True)[0]
    quarantine = Landing(quarantine_topic=True, columns=(promoted("string"),))
    assert quarantine.feed(batch_of(records)).nulled == {}


def test_counts_are_of_one_feed_and_of_every_row() -> None:
    landing = Landing(columns=(promoted("int64"), promoted("timestamp")))
    data = batch_of([(b"k", b'{"v":"%d"}' % n, headers_of(n)) for n in range(20)])
    for _ in range(2):
        assert landing.feed(data).nulled == {"as_int64": 20}


def test_promoted_columns_are_arrow_of_their_type() -> None:
    columns = [promoted(kind) for kind in TYPES]
    landing = Landing(columns=columns)
    landing.feed(batch_of([(b"k", b'{"v":1}', headers_of())]))
    schema = wrap(landing.tables[HOUR, False]).schema
    assert {name: str(schema.field(f"as_{name}").type) for name in TYPES} == {
        "string": "string",
        "bool": "bool",
        "int64": "int64",
        "double": "double",
        "decimal": "decimal128(38, 9)",
        "timestamp": "timestamp[us, tz=UTC]",
        "date": "date32[day]",
        "json": "string",
    }
