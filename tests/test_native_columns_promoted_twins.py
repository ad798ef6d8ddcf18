"""Promoted columns: the Cython twin against its specification, on any payload."""

from __future__ import annotations

import json
from typing import Any, get_args

import pytest
from columns_stand import TWINS, Landing, batch_of, headers_of, seen
from hypothesis import given, settings
from hypothesis import strategies as st

from _native.columns import Promoted, PromotedType


def objects(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(st.sampled_from(["v", "é", "w"]), inner, max_size=3)


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**21), 10**21),
    st.floats(allow_nan=False),
    st.text(max_size=8),
    st.decimals(allow_nan=False, allow_infinity=False, places=10).map(str),
    st.dates().map(str),
    st.datetimes().map(lambda one: one.isoformat()),
)
JSON = st.recursive(
    SCALARS, lambda inner: st.one_of(st.lists(inner, max_size=2), objects(inner)), max_leaves=8
)
NUMBERS = st.from_regex(r"\A-?(0|[1-9][0-9]{0,40})(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,7})?\Z", fullmatch=True)
TYPES: tuple[PromotedType, ...] = get_args(PromotedType)


def columns_of(*kinds: PromotedType) -> list[Promoted]:
    places = (("as", ("v",)), ("deep", ("é", "v")))
    return [Promoted(f"{where}_{kind}", path, kind) for kind in kinds for where, path in places]


# Together, and each type alone: a column that is left to the specification takes its row with it.
COLUMNS = st.sampled_from([columns_of(*TYPES), *(columns_of(kind) for kind in TYPES)])


def compare(payloads: list[bytes], columns: list[Promoted]) -> None:
    made = []
    for name in TWINS:
        landing = Landing(twin=name, columns=columns)
        fed = landing.feed(batch_of([(b"k", payload, headers_of(n)) for n, payload in enumerate(payloads)]))
        made.append((fed, seen(landing)))
    assert made[0] == made[1]


@settings(max_examples=80, deadline=None)
@given(st.lists(objects(JSON), min_size=1, max_size=4), st.booleans(), COLUMNS)
def test_the_twins_lift_the_same_of_any_json(
    values: list[Any], ascii_only: bool, columns: list[Promoted]
) -> None:
    compare(
        [json.dumps(value, ensure_ascii=ascii_only).encode("utf-8", "replace") for value in values], columns
    )


@settings(max_examples=80, deadline=None)
@given(st.lists(NUMBERS, min_size=1, max_size=4), st.booleans(), COLUMNS)
def test_the_twins_read_the_same_numbers(written: list[str], quoted: bool, columns: list[Promoted]) -> None:
    mark = '"' if quoted else ""
    compare([f'{{"v":{mark}{one}{mark}}}'.encode() for one in written], columns)


@settings(max_examples=80, deadline=None)
@given(
    objects(JSON),
    st.lists(st.tuples(st.integers(0, 300), st.integers(0, 255)), min_size=1, max_size=3),
    COLUMNS,
)
def test_the_twins_lift_the_same_of_mutated_payloads(
    value: Any, edits: list[tuple[int, int]], columns: list[Promoted]
) -> None:
    payload = bytearray(json.dumps(value).encode())
    for at, byte in edits:
        payload[at % len(payload)] = byte
    compare([bytes(payload), b'{"v":1}'], columns)


@given(st.binary(max_size=30), COLUMNS)
def test_the_twins_lift_the_same_of_any_string(raw: bytes, columns: list[Promoted]) -> None:
    compare([b'{"v":"%s"}' % raw, b'{"\\u00e9":{"v":%s}}' % raw, raw], columns)


@pytest.mark.parametrize("kind", TYPES)
def test_the_twins_read_the_same_numbers_around_each_bound(kind: PromotedType) -> None:
    bounds = ((1 << 53, 0), (1 << 53, 1), (1 << 63, -1), (1 << 63, 0), (-(1 << 63), 0), (-(1 << 63), -1))
    whole = ["0", "1", "-1", "9" * 15, "1" * 18, "1" * 19, "1" * 38, "1" * 39, "9" * 29, "9" * 30]
    whole += [str(bound + change) for bound, change in bounds]
    exponents = (-24, -23, -22, -10, -9, 0, 8, 9, 22, 23, 28, 29, 37, 38, 308, 309)
    powers = ["", *(f"e{exponent}" for exponent in exponents)]
    payloads = []
    for one in whole:
        for fraction in ("", ".5", "." + "0" * 8 + "1", "." + "0" * 9 + "1", "." + "3" * 18):
            payloads += [f'{{"v":{one}{fraction}{power}}}'.encode() for power in powers]
    compare(payloads, columns_of(kind))
    compare([payload.replace(b":", b':"').replace(b"}", b'"}') for payload in payloads], columns_of(kind))
