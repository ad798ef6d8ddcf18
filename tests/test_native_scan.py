"""The scan: what counts as JSON, where events stand, which value fills a role."""

from __future__ import annotations

import json
import math
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scan_stand import SPEC, json_suite

from _native import scan_c, scan_py
from _native.cells import (
    ABSENT,
    ARRAY,
    EVENT,
    FALSE,
    ID,
    NAME,
    NUMBER,
    OBJECT,
    ROW,
    STRING,
    STRING_ESCAPED,
    TIME,
    TRUE,
    TYPE,
    USER,
    VALUE,
    Cell,
    Scan,
    ScanError,
    ScanSpec,
)

TWINS = {"python": scan_py, "cython": scan_c}
ONLY_BATCH = ScanSpec(roles={}, batch_keys=("batch",), single=False)
ONLY_OBJECT = ScanSpec(roles={})


@pytest.fixture(params=sorted(TWINS))
def twin(request: pytest.FixtureRequest) -> Any:
    return TWINS[request.param]


def cell(found: Scan, role: int, event: int = 0) -> Cell:
    first = event * ROW + role * 3
    start, end, kind = found.rows[first : first + 3]
    return start, end, kind


def lifted(twin: Any, body: bytes, role: int, event: int = 0) -> bytes | None:
    value: bytes | None = twin.text(body, cell(twin.scan(body, SPEC), role, event))
    return value


def refusal(twin: Any, body: bytes, spec: ScanSpec = SPEC, **bounds: int) -> tuple[str, int]:
    with pytest.raises(ScanError) as caught:
        twin.scan(body, spec, **bounds)
    return caught.value.reason, caught.value.position


def test_one_object_is_one_event_with_its_exact_slice(twin: Any) -> None:
    body = b' \n{"id":"a","type":"track", "n" : 1.50e+3}\t'
    found = twin.scan(body, SPEC)
    assert (found.count, len(found.rows), found.batched, found.envelope) == (1, ROW, False, {})
    start, end, kind = cell(found, EVENT)
    assert (body[start:end], kind) == (body.strip(), OBJECT)
    assert twin.text(body, cell(found, ID)) == b"a"
    assert cell(found, TIME) == (0, 0, ABSENT)


def test_bytes_bytearray_and_memoryview_give_the_same(twin: Any) -> None:
    body = b'[{"id":"a"},{"id":7}]'
    rows = twin.scan(body, SPEC).rows
    assert twin.scan(bytearray(body), SPEC).rows == rows
    assert twin.scan(memoryview(body), SPEC).rows == rows
    assert twin.text(memoryview(body), (8, 9, STRING)) == b"a"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"id":"a","messageId":"b"}', b"a"),
        (b'{"messageId":"b"}', b"b"),
        (b'{"id":null,"messageId":"b"}', b"b"),
        (b'{"id":"","messageId":"b"}', b"b"),
        (b'{"id":{},"messageId":"b"}', b"b"),
        (b'{"id":["x"],"messageId":"b"}', b"b"),
        (b'{"id":0,"messageId":"b"}', b"0"),
        (b'{"id":false,"messageId":"b"}', b"false"),
        (b'{"id":123456789012345678901234567890}', b"123456789012345678901234567890"),
        (b'{"id":"a","id":"b"}', b"b"),
        (b'{"id":"a","id":null}', None),
        (b'{"\\u0069d":"a"}', b"a"),
        (b'{"id":"a\\/\\u00e9\\ud83d\\ude00"}', "a/é😀".encode()),
        (b'{"id":"\\ud800x\\udc00"}', "\ufffdx\ufffd".encode()),
        (b'{"idx":"a","x":{"id":"b"},"y":[{"id":"c"}]}', None),
    ],
)
def test_a_role_takes_its_first_candidate_that_says_something(
    twin: Any, body: bytes, expected: bytes
) -> None:
    assert lifted(twin, body, ID) == expected


def test_paths_go_into_objects_and_a_repeated_parent_starts_anew(twin: Any) -> None:
    assert lifted(twin, b'{"properties":{"user":{"id":"u"},"name":"n"}}', USER) == b"u"
    assert lifted(twin, b'{"properties":{"name":"n"},"properties":{}}', NAME) is None
    assert lifted(twin, b'{"properties":{"name":"n"},"properties":7}', NAME) is None
    assert lifted(twin, b'{"properties":{"user":{"id":"u"}},"properties":{"user":{"id":"v"}}}', USER) == b"v"


@pytest.mark.parametrize("value", [b"null", b"{}", b"[1,{}]", b"true", b"1", b'"t"', b'""', b'{"a":[{}]}'])
def test_anything_counts_for_value(twin: Any, value: bytes) -> None:
    body = b'{"data": ' + value + b" }"
    start, end, kind = cell(twin.scan(body, SPEC), VALUE)
    quote = kind in (STRING, STRING_ESCAPED)
    assert body[start - quote : end + quote] == value


def test_kinds_are_told_apart(twin: Any) -> None:
    body = b'[{"id":"a"},{"id":"\\n"},{"id":-1.5e3},{"id":true},{"id":false}]'
    found = twin.scan(body, SPEC)
    kinds = [cell(found, ID, event)[2] for event in range(5)]
    assert kinds == [STRING, STRING_ESCAPED, NUMBER, TRUE, FALSE]
    assert lifted(twin, body, ID, 1) == b"\n"
    assert lifted(twin, body, ID, 2) == b"-1.5e3"


@pytest.mark.parametrize(
    ("body", "ids", "batched"),
    [
        (b'{"batch":[{"id":1},{"id":2}],"sentAt":"s"}', [b"1", b"2"], True),
        (b'{"sentAt":"s","batch":[]}', [], True),
        (b'{"id":0,"events":[{"id":1}]}', [b"1"], True),
        (b'{"events":[{"id":1}],"batch":[{"id":2}]}', [b"2"], True),
        (b'{"events":[{"id":1}],"batch":5}', [b"1"], True),
        (b'{"batch":[{"id":1}],"batch":[{"id":2},{"id":3}]}', [b"2", b"3"], True),
        (b'{"batch":[{"id":1}],"batch":null,"id":9}', [b"9"], False),
        (b'{"batch":{"id":1},"id":9}', [b"9"], False),
        (b'[{"id":1}, {"id":2}]', [b"1", b"2"], True),
        (b"[]", [], True),
        (b'{"id":1}\n{"id":2}\r\n \n{"id":3}\n', [b"1", b"2", b"3"], True),
        (b'{"batch":[{"id":8}],"id":1} {"id":2}', [b"1", b"2"], True),
        (b'{"id":1}\n', [b"1"], False),
    ],
)
def test_events_are_found_where_the_spec_says(
    twin: Any, body: bytes, ids: list[bytes], batched: bool
) -> None:
    found = twin.scan(body, SPEC)
    assert found.batched is batched
    assert [twin.text(body, cell(found, ID, event)) for event in range(found.count)] == ids


def test_elements_that_are_no_objects_have_rows_too(twin: Any) -> None:
    for body in (b'[1,"a",[{"id":1}],null,{"id":2}]', b'1 "a"\n[{"id":1}] null {"id":2}'):
        found = twin.scan(body, SPEC)
        assert found.count == 5
        start, end, kind = cell(found, EVENT, 2)
        assert (body[start:end], kind) == (b'[{"id":1}]', ARRAY)
        assert [cell(found, ID, event)[2] for event in range(5)] == [ABSENT] * 4 + [NUMBER]


def test_the_envelope_holds_what_is_present(twin: Any) -> None:
    body = b'{"context":{"library":{"name":"x"}},"batch":[{"sentAt":"no"}]}'
    found = twin.scan(body, SPEC)
    assert list(found.envelope) == ["library"]
    assert twin.text(body, found.envelope["library"]) == b"x"
    assert twin.scan(b'[{"sentAt":"s"}]', SPEC).envelope == {}


@pytest.mark.parametrize(
    ("body", "spec", "expected"),
    [
        (b"", SPEC, ("empty_body", 0)),
        (b" \r\n\t", SPEC, ("empty_body", 4)),
        (b"\xef\xbb\xbf{}", SPEC, ("byte_order_mark", 0)),
        (b'{"a":"\xff"}', SPEC, ("invalid_utf8", 6)),
        (b'{"a":"\xed\xa0\x80"}', SPEC, ("invalid_utf8", 6)),
        (b'{"a":"\xc0\xaf"}', SPEC, ("invalid_utf8", 6)),
        (b'{"a":"\xf4\x90\x80\x80"}', SPEC, ("invalid_utf8", 6)),
        (b"5", SPEC, ("no_events", 0)),
        (b' "a"', SPEC, ("no_events", 2)),
        (b"[]", ONLY_OBJECT, ("no_events", 0)),
        (b"{}", ONLY_BATCH, ("no_events", 0)),
        (b'{"batch":null}', ONLY_BATCH, ("batch_not_array", 9)),
        (b'{"batch":[],"batch":{}}', ONLY_BATCH, ("batch_not_array", 20)),
        (b'{"batch":{}', ONLY_BATCH, ("invalid_json", 11)),
        (b"{} {}", ONLY_OBJECT, ("trailing_bytes", 3)),
        (b"{}{}", SPEC, ("trailing_bytes", 2)),
        (b"{} {}{}", SPEC, ("trailing_bytes", 5)),
        (b'{} "a"{}', SPEC, ("trailing_bytes", 6)),
        (b"{}\0", SPEC, ("trailing_bytes", 2)),
        (b"[{},]", SPEC, ("invalid_json", 4)),
        (b'{"a":1,}', SPEC, ("invalid_json", 7)),
        (b'{"a" 1}', SPEC, ("invalid_json", 5)),
        (b'{"a":}', SPEC, ("invalid_json", 5)),
        (b"{a:1}", SPEC, ("invalid_json", 1)),
        (b'{"a":01}', SPEC, ("invalid_json", 6)),
        (b'{"a":1.}', SPEC, ("invalid_json", 6)),
        (b'{"a":-}', SPEC, ("invalid_json", 5)),
        (b'{"a":+1}', SPEC, ("invalid_json", 5)),
        (b'{"a":NaN}', SPEC, ("invalid_json", 5)),
        (b'{"a":truex}', SPEC, ("invalid_json", 9)),
        (b'{"a":"\x1f"}', SPEC, ("invalid_json", 5)),
        (b'{"a":"\\x"}', SPEC, ("invalid_json", 5)),
        (b'{"a":"\\u12g4"}', SPEC, ("invalid_json", 5)),
        (b'{"a":"b', SPEC, ("invalid_json", 5)),
        (b"{", SPEC, ("invalid_json", 1)),
        (b"[", SPEC, ("invalid_json", 1)),
        (b"}", SPEC, ("invalid_json", 0)),
    ],
)
def test_a_refusal_names_reason_and_position(
    twin: Any, body: bytes, spec: ScanSpec, expected: tuple[str, int]
) -> None:
    assert refusal(twin, body, spec) == expected


@pytest.mark.parametrize("character", ["\x20", "\x7f", "\u2028", "😀"])
def test_characters_from_space_on_stand_as_they_are(twin: Any, character: str) -> None:
    assert lifted(twin, json.dumps({"id": character}, ensure_ascii=False).encode(), ID) == character.encode()


@pytest.mark.parametrize(("left", "right"), [(b"[", b"]"), (b'{"a":', b"}"), (b'{"batch":[{"a":', b"}]}")])
def test_depth_is_bounded_at_the_level_said(twin: Any, left: bytes, right: bytes) -> None:
    levels = 3 if b"batch" in left else 1
    inner = 64 - levels
    body = left + b"[" * inner + b"]" * inner + right
    assert twin.scan(body, SPEC).count == 1
    inner += 1
    body = left + b"[" * inner + b"]" * inner + right
    assert refusal(twin, body) == ("too_deep", len(left) + inner - 1)
    assert twin.scan(body, SPEC, depth_max=65).count == 1


@pytest.mark.parametrize("depth", [512, 513, 20_000])
@pytest.mark.parametrize(
    ("left", "right"), [(b"[", b"]"), (b'{"a":', b"}"), (b'{"id":', b"}"), (b'[{"":', b"}]")]
)
def test_any_depth_that_is_allowed_is_walked(twin: Any, left: bytes, right: bytes, depth: int) -> None:
    levels = depth * (1 if len(right) == 1 else 2)
    body = left * depth + b"1" + right * depth
    assert twin.scan(body, SPEC, depth_max=levels).count == 1
    assert refusal(twin, body, depth_max=levels - 1)[0] == "too_deep"
    assert refusal(twin, body[:-1], depth_max=levels) == ("invalid_json", len(body) - 1)
    assert refusal(twin, left * depth, depth_max=levels) == ("invalid_json", len(left) * depth)
    body = b'{"a":' + body + b"}"
    assert twin.members(body, 0, len(body)) == [
        (b"a", (5, len(body) - 1, OBJECT if left[0] == 123 else ARRAY))
    ]


def test_the_number_of_events_is_bounded(twin: Any) -> None:
    for body in (b"[1,1,1]", b"1 1 1", b'{"batch":[1,1,1]}'):
        assert twin.scan(body, SPEC, events_max=3).count == 3
        assert refusal(twin, body, events_max=2) == ("too_many_events", body.rindex(b"1"))


def test_members_are_listed_once_with_cells_of_the_body(twin: Any) -> None:
    body = b'  {"a":1, "\\u0062" : "x\\n","c":{"a":[]} , "a":"2" }'
    found = twin.members(body, 2, len(body))
    assert [key for key, _ in found] == [b"b", b"c", b"a"]
    cells = dict(found)
    assert body[slice(*cells[b"c"][:2])] == b'{"a":[]}'
    assert (twin.text(body, cells[b"b"]), twin.text(body, cells[b"a"])) == (b"x\n", b"2")
    assert twin.members(b"{ }", 0, 3) == []


def accepted_by_json(body: bytes) -> bool:
    """Whether Python's reader takes it, without what it takes beyond RFC 8259."""

    def refuse(_: str) -> None:
        raise ValueError

    try:
        json.loads(
            body.decode(), parse_constant=refuse, parse_float=lambda _: math.inf, parse_int=lambda _: 0
        )
    except ValueError:
        return False
    return True


def accepted_by_orjson(body: bytes) -> bool:
    try:
        orjson.loads(body)
    except orjson.JSONDecodeError as error:
        return str(error).startswith("number is infinity")  # beyond a double, but JSON
    return True


def accepted(twin: Any, body: bytes) -> bool:
    spec = ScanSpec(roles=SPEC.roles, array=True)
    try:
        twin.scan(body, spec, depth_max=500)
    except ScanError as error:
        return error.reason == "no_events"
    return True


ACCEPTED_BY_CHOICE = ("i_number_", "i_object_key_lone", "i_string_1st", "i_string_in", "i_string_lone_second")
REFUSED_BY_CHOICE = {  # not UTF-8, or with a byte order mark
    "i_string_UTF-16LE_with_BOM": "invalid_utf8",
    "i_string_UTF-8_invalid_sequence": "invalid_utf8",
    "i_string_UTF8_surrogate_U+D800": "invalid_utf8",
    "i_string_invalid_utf-8": "invalid_utf8",
    "i_string_iso_latin_1": "invalid_utf8",
    "i_string_lone_utf8_continuation_byte": "invalid_utf8",
    "i_string_not_in_unicode_range": "invalid_utf8",
    "i_string_overlong_sequence_2_bytes": "invalid_utf8",
    "i_string_overlong_sequence_6_bytes": "invalid_utf8",
    "i_string_overlong_sequence_6_bytes_null": "invalid_utf8",
    "i_string_truncated-utf-8": "invalid_utf8",
    "i_string_utf16BE_no_BOM": "invalid_utf8",
    "i_string_utf16LE_no_BOM": "invalid_utf8",
    "i_structure_UTF-8_BOM_empty_object": "byte_order_mark",
}


def expected_of_suite(name: str) -> bool:
    if name in REFUSED_BY_CHOICE:
        return False
    assert name.startswith(("y_", "n_", "i_structure_500", *ACCEPTED_BY_CHOICE)), name
    return not name.startswith("n_")


def test_the_public_conformance_suite_is_judged_as_it_says(twin: Any) -> None:
    cases = json_suite()
    assert len(cases) == 318
    assert [name for name, body in cases.items() if accepted(twin, body) != expected_of_suite(name)] == []
    assert {name: refusal(twin, cases[name])[0] for name in REFUSED_BY_CHOICE} == REFUSED_BY_CHOICE
    assert refusal(twin, cases["i_structure_500_nested_arrays"]) == ("too_deep", 64)


DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["id", "type", "data", "properties", "name"]) | st.text(), inner, max_size=4
        )
    ),
    max_leaves=12,
)


@given(
    body=st.binary(max_size=40)
    | st.text(alphabet='{}[]",:0123.eE+-truefalsn\\ ud8', max_size=20).map(str.encode)
)
@settings(deadline=None)
def test_any_bytes_are_json_exactly_when_the_reader_of_python_says_so(body: bytes) -> None:
    for twin in TWINS.values():
        assert accepted(twin, body) == accepted_by_json(body)


@given(
    document=DOCUMENTS,
    ascii_only=st.booleans(),
    at=st.integers(0, 400),
    byte=st.integers(0, 255),
    cut=st.booleans(),
)
@settings(deadline=None)
def test_documents_with_one_byte_changed_or_lost_are_judged_alike(
    document: object, ascii_only: bool, at: int, byte: int, cut: bool
) -> None:
    body = json.dumps(document, ensure_ascii=ascii_only).encode("utf-8", "replace")
    for twin in TWINS.values():
        assert accepted(twin, body)
        at %= len(body)
        changed = body[:at] + (b"" if cut else bytes([byte])) + body[at + 1 :]
        assert accepted(twin, changed) == accepted_by_json(changed)
        if b"\\u" not in changed:  # orjson refuses lone surrogates
            assert accepted(twin, changed) == accepted_by_orjson(changed)


@given(
    events=st.lists(
        st.dictionaries(st.sampled_from(["id", "type", "é", 'q"']), st.text(min_size=1)), max_size=5
    )
)
@settings(deadline=None)
def test_every_lifted_value_is_what_the_reader_of_python_reads(events: list[dict[str, str]]) -> None:
    body = json.dumps({"batch": events}, ensure_ascii=len(events) % 2 == 0).encode("utf-8", "replace")
    for twin in TWINS.values():
        found = twin.scan(body, SPEC)
        assert found.count == len(events)
        for event, expected in enumerate(json.loads(body)["batch"]):
            start, end, _ = cell(found, EVENT, event)
            assert json.loads(body[start:end]) == expected
            for role, key in ((ID, "id"), (TYPE, "type")):
                value = twin.text(body, cell(found, role, event))
                assert value == (expected[key].encode() if key in expected else None)
