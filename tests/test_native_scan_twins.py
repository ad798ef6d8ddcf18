"""The twins of the scan see the same in any bytes: values, reasons, positions; no read is out of bounds."""

from __future__ import annotations

import ctypes
import importlib.util
import json
import mmap
import platform
import sys
import tracemalloc
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scan_stand import DOCUMENTS, ODD, SEGMENT, SPEC, SPECS, observed, observed_members, observed_text

from _native import cells, scan_c, scan_plan, scan_py, wants_extensions
from _native.scan import TWIN

TWINS = pytest.mark.parametrize("twin", [scan_c, scan_py], ids=["cython", "python"])
# Every byte that some rule of RFC 8259 or RFC 3629 sets apart from its neighbours.
BYTES = (
    b'"\\/{}[]:, \t\n\r\x00\x1f\x7f0159-+.eEtrufalsnbgAF'
    b"\x80\x8f\x90\x9f\xa0\xbf\xc1\xc2\xe0\xed\xef\xf0\xf4\xf5\xff"
)
SPECIALS = [b'"', b"\\n", b"\\", b"\x1f", b"\x7f", "é".encode(), b"\xc3", "😀".encode(), b"\\u00e9"]
KEYS = ["id", "type", "data", "properties", "name", "batch", "events", "user", "a", "b", "x"]
TOKENS = [*"{}[],: \n", "1", "null", "é", *(f'"{key}"' for key in KEYS), '"\\u0061"', '"\\ud83d\\ude00"']
BODIES = (
    st.binary(max_size=80)
    | st.text(alphabet='{}[]",:0123.eE+-truefalsn\\ ud8\n', max_size=40).map(str.encode)
    | st.lists(st.sampled_from(TOKENS), max_size=24).map(lambda tokens: "".join(tokens).encode())
)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=40),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=20), inner, max_size=5)
    ),
    max_leaves=16,
)
CHANGES = st.lists(st.tuples(st.integers(0, 10_000), st.binary(max_size=3), st.integers(0, 3)), max_size=3)
FORMS = st.tuples(st.booleans(), st.sampled_from([None, 0, 3]))


def assert_alike(body: bytes, name: str = "usual", **bounds: int) -> None:
    results = [observed(twin, body, SPECS[name], **bounds) for twin in (scan_c, scan_py)]
    assert results[0] == results[1], (body, name, bounds)


def test_the_cython_twin_serves_where_it_is_built() -> None:
    assert ("cython" if wants_extensions() else "python") == TWIN
    assert {"x86_64": "sse2", "aarch64": "neon"}.get(platform.machine(), "plain") == scan_c.WAY


def test_the_python_twin_serves_with_a_warning_where_the_other_is_not_built(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "_native.scan_c", None)
    monkeypatch.delenv("HEADRACE_NO_EXTENSIONS", raising=False)
    source = importlib.util.find_spec("_native.scan")
    assert source
    assert source.loader
    module = importlib.util.module_from_spec(source)
    with pytest.warns(RuntimeWarning, match="scan_c is not built"):
        source.loader.exec_module(module)
    assert (module.TWIN, module.scan) == ("python", scan_py.scan)


@pytest.mark.parametrize("name", SPECS)
def test_the_twins_agree_on_every_document_and_every_prefix_of_it(name: str) -> None:
    for document in DOCUMENTS:
        for size in range(len(document) + 1):
            assert_alike(document[:size], name)


@pytest.mark.parametrize("name", ["usual", "odd"])
def test_the_twins_agree_on_every_document_with_one_byte_changed_lost_or_added(name: str) -> None:
    for document in DOCUMENTS:
        for at in range(len(document)):
            assert_alike(document[:at] + document[at + 1 :], name)
            for byte in BYTES if name == "usual" else BYTES[at % 5 :: 5]:
                assert_alike(document[:at] + bytes((byte,)) + document[at + 1 :], name)
            for byte in BYTES[at % 7 :: 7]:
                assert_alike(document[:at] + bytes((byte,)) + document[at:], name)


@given(BODIES, st.sampled_from(sorted(SPECS)), st.integers(-1, 4), st.integers(-1, 3))
@settings(deadline=None, max_examples=200)
def test_the_twins_agree_on_any_bytes(body: bytes, name: str, depth_max: int, events_max: int) -> None:
    assert_alike(body, name)
    assert_alike(body, name, depth_max=depth_max, events_max=events_max)


@given(
    st.lists(VALUES, min_size=1, max_size=3),
    FORMS,
    st.sampled_from(sorted(SPECS)),
    CHANGES,
    st.integers(0, 4),
)
@settings(deadline=None, max_examples=200)
def test_the_twins_agree_on_json_and_on_json_with_bytes_exchanged(
    values: list[object],
    form: tuple[bool, int | None],
    name: str,
    changes: list[tuple[int, bytes, int]],
    bound: int,
) -> None:
    texts = [json.dumps(value, ensure_ascii=form[0], indent=form[1]) for value in values]
    body = "\n".join(texts).encode("utf-8", "replace")
    assert_alike(body, name)
    assert_alike(body, name, depth_max=bound, events_max=bound)
    for at, put, lost in changes:
        at %= len(body) + 1
        body = body[:at] + put + body[at + lost :]
        assert_alike(body, name)


@given(BODIES | st.sampled_from(DOCUMENTS), st.integers(-2, 60), st.integers(-2, 60), st.integers(-1, 9))
@settings(deadline=None, max_examples=200)
def test_the_twins_agree_on_text_and_members_of_any_bytes(
    body: bytes, start: int, end: int, kind: int
) -> None:
    for last in (end, len(body)):
        members = [observed_members(twin, body, start, last) for twin in (scan_c, scan_py)]
        assert members[0] == members[1]
        texts = [observed_text(twin, body, start, last, kind) for twin in (scan_c, scan_py)]
        assert texts[0] == texts[1]


def test_a_byte_that_ends_a_run_is_found_at_every_place_of_every_block() -> None:
    for before, at, after, special in product((0, 1, 7, 15), range(36), (0, 1, 14, 15, 16, 17), SPECIALS):
        assert_alike(b" " * before + b'["' + b"x" * at + special + b"y" * after + b'"]', "bare")


def test_white_space_of_every_length_is_passed_over() -> None:
    for blank, count in product((b" ", b"\n", b"\r", b"\t", b"\x0b", b" \n\t\r", b"  \x1f"), range(36)):
        space = (blank * count)[:count]
        assert_alike(space + b"[" + space + b"1" + space + b"," + space + b"{}" + space + b"]" + space)
        assert_alike(b'{"id"' + space + b":" + space + b'"a"' + space + b"}" + space + b"1")


@pytest.mark.parametrize("room", [0, 40])
def test_every_form_of_a_character_is_judged_alike(room: int) -> None:
    edges = (0x00, 0x22, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xFF)
    for first in range(0x7E, 0x100):
        rests = 3 if first in {0xED, 0xF0, 0xF1, 0xF4} else 2 if first >= 0xE0 else 1
        for rest in product(edges, repeat=rests):
            assert_alike(b'{"id":"' + bytes((first, *rest)) + b"x" * room + b'"}')
            assert_alike(b'{"id":"' + bytes((first, *rest[:-1])))


@pytest.mark.skipif(sys.platform != "linux", reason="needs mprotect")
def test_nothing_is_read_behind_the_body() -> None:
    page = mmap.PAGESIZE
    room = mmap.mmap(-1, 2 * page)
    address = ctypes.addressof(ctypes.c_char.from_buffer(room))
    protect = ctypes.CDLL(None, use_errno=True).mprotect
    protect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    assert protect(address + page, page, 0) == 0  # one byte too far ends the process
    for document in DOCUMENTS:
        for size in range(len(document) + 1):
            body = document[:size]
            room[page - size : page] = body
            view: Any = memoryview(room)[page - size : page]
            assert observed(scan_c, view, SPEC) == observed(scan_py, body, SPEC)
            assert observed_members(scan_c, view, 0, size) == observed_members(scan_py, body, 0, size)


@TWINS
def test_what_is_not_bytes_is_a_type_error_and_what_is_too_large_a_value_error(twin: Any) -> None:
    for wrong in (None, "text", 7):
        with pytest.raises(TypeError):
            twin.scan(wrong, SPEC)
    room = mmap.mmap(-1, cells.BODY_BYTES_MAX + 1, prot=mmap.PROT_READ)
    with memoryview(room) as view, pytest.raises(ValueError, match="at most"):
        twin.scan(view, SPEC)
    room.close()


@TWINS
def test_a_spec_out_of_bounds_is_refused(twin: Any) -> None:
    path, key = ("k",) * scan_plan.PATH_KEYS_MAX, "k" * scan_plan.KEY_BYTES_MAX
    body = (b'{"k":' * len(path)) + b"7" + b"}" * len(path)
    found = twin.scan(body, cells.ScanSpec(roles={1: (path,)}))
    assert twin.text(body, tuple(found.rows[3:6])) == b"7"
    body = json.dumps({key: "v"}).encode()
    found = twin.scan(body, cells.ScanSpec(roles={1: ((key,),)}))
    assert twin.text(body, tuple(found.rows[3:6])) == b"v"
    for roles in ({1: ((*path, "k"),)}, {1: ((key + "k",),)}, {0: (("k",),)}, {9: (("k",),)}):
        with pytest.raises(ValueError, match="expected a"):
            twin.scan(b"{}", cells.ScanSpec(roles=roles))
    with pytest.raises(ValueError, match="expected a key"):
        twin.scan(b"{}", cells.ScanSpec(roles={}, batch_keys=(key + "k",)))


def test_more_keys_than_buckets_are_all_told_apart() -> None:
    keys = [f"key-{number:03d}-end" for number in range(300)] + ["".join("k" * n) for n in range(200)]
    for first in range(0, len(keys), 50):
        paths = tuple((key,) for key in keys[first : first + 50])
        spec = cells.ScanSpec(roles={1: paths, 2: paths[::-1]})
        for key in keys:
            body = json.dumps({key: "v"}).encode()
            assert observed(scan_c, body, spec) == observed(scan_py, body, spec)


def test_the_kinds_in_c_are_those_of_the_cells() -> None:
    body = b'["a","\\n",1,true,false,null,{},[]]'
    kinds = scan_c.scan(body, SPEC).rows.tolist()[2 :: cells.ROW]
    assert kinds == list(range(cells.STRING, cells.ARRAY + 1))


def test_a_body_that_is_scanned_without_the_lock_gives_the_same() -> None:
    events = [{"id": str(number), "data": {"é": [number]}} for number in range(2_500)]
    body = json.dumps({"batch": events}, ensure_ascii=False).encode()
    assert len(body) > 65_536
    assert_alike(body)
    assert_alike(body[:-1])
    assert_alike(body, events_max=2_499)


def blocks_kept(events: int) -> int:
    body = json.dumps({"batch": [{"messageId": "m", "type": str(n)} for n in range(events)]}).encode()
    scan_c.scan(body, SEGMENT)
    before = sys.getallocatedblocks()
    found = scan_c.scan(body, SEGMENT)
    kept = sys.getallocatedblocks() - before
    assert found.count == events
    return kept


def test_no_python_object_is_made_per_event() -> None:
    assert blocks_kept(3_000) == blocks_kept(300)


def test_refusals_and_answers_leave_no_memory_behind() -> None:
    many = b'{"batch":[' + b"1," * 900
    bodies = [*DOCUMENTS, b"[" * 900 + b"]" * 900, many + b"2],", many + b"2]}"]

    def rounds(count: int) -> None:
        for _ in range(count):
            for body, spec in product(bodies, (SPEC, ODD)):
                observed(scan_c, body, spec, depth_max=1_000)
                observed_members(scan_c, body, 0, len(body))

    rounds(1)
    tracemalloc.start()
    try:
        rounds(3)  # lists and caches of the interpreter grow at first
        first, _ = tracemalloc.get_traced_memory()
        rounds(2)
        last, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert last - first < 2_000
