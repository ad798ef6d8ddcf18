"""The request head: what is plain, what is left to llhttp, both twins alike, llhttp as their judge."""

from __future__ import annotations

import contextlib
from importlib import import_module
from types import ModuleType
from typing import Any

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from _native import head_names, head_py

TWINS = {"python": head_py}
with contextlib.suppress(ImportError):
    TWINS["cython"] = import_module("_native.head_c")
BOUNDS = (1024, 20, 2048)
HEAD = b"POST /v1/batch?a=%20b HTTP/1.1\r\nHost: a.example\r\nX-New:\t \xffv \t\r\ncontent-LENGTH: 5\r\n\r\n"
PLAIN = HEAD + b"hello"


@pytest.fixture(params=TWINS)
def twin(request: pytest.FixtureRequest) -> ModuleType:
    return TWINS[request.param]


class Judge:
    """What llhttp makes of the same bytes: of a head that it takes the parts as the twins tell them."""

    def __init__(self, data: bytes) -> None:
        self.url = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.body = b""
        self.began = self.whole = False
        self.refused = False
        parser = httptools.HttpRequestParser(self)
        try:
            parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self.refused = True
        except httptools.HttpParserError:
            self.refused = not self.whole  # what stands behind the request is another one's
        if self.began:
            self.plain = (parser.get_method(), parser.get_http_version()) == (b"POST", "1.1")
            self.plain = self.plain and (self.whole or parser.should_keep_alive())

    def on_url(self, url: bytes) -> None:
        if not self.whole:
            self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.whole:
            self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self.began = True

    def on_body(self, body: bytes) -> None:
        if not self.whole:
            self.body += body

    def on_message_complete(self) -> None:
        self.whole = True


def agrees(data: bytes, head: Any) -> None:
    """Whether llhttp takes what a twin took, with the same result."""
    path, query, headers, named, head_bytes, body_bytes = head
    judge = Judge(data)
    assert judge.began
    assert not judge.refused
    assert judge.plain
    assert judge.url in (path + b"?" + query, path if not query else b"")
    assert judge.headers == headers
    assert named == dict(headers)
    assert judge.body == data[head_bytes : head_bytes + body_bytes]
    assert judge.whole is (len(data) >= head_bytes + body_bytes)


def test_a_plain_head_is_taken_apart(twin: ModuleType) -> None:
    path, query, headers, named, head_bytes, body_bytes = twin.read_head(PLAIN, *BOUNDS)
    assert (path, query) == (b"/v1/batch", b"a=%20b")
    assert headers == [(b"host", b"a.example"), (b"x-new", b"\xffv \t"), (b"content-length", b"5")]
    assert named == dict(headers)
    assert PLAIN[head_bytes:] == b"hello"
    assert body_bytes == 5


def test_of_a_repeated_name_all_values_are_listed_and_the_last_is_named(twin: ModuleType) -> None:
    head = twin.read_head(PLAIN.replace(b"Host", b"X: 1\r\nx: 2\r\nHost"), *BOUNDS)
    assert head[2][:2] == [(b"x", b"1"), (b"x", b"2")]
    assert head[3][b"x"] == b"2"


def test_a_head_is_taken_when_it_is_whole_and_not_before(twin: ModuleType) -> None:
    for size in range(len(HEAD)):
        assert twin.read_head(HEAD[:size], *BOUNDS) is None
    assert twin.read_head(HEAD, *BOUNDS)[4:] == (len(HEAD), 5)


def test_known_names_are_the_same_objects() -> None:
    if "cython" in TWINS:
        for name in head_names.NAMES[len(head_names.SPECIAL) :]:
            data = PLAIN.replace(b"X-New", name.upper())
            assert TWINS["cython"].read_head(data, *BOUNDS)[2][1][0] is name


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"POST", b"GET"),
        (b"POST", b"post"),
        (b"POST ", b"POST  "),
        (b"POST", b"\r\nPOST"),
        (b"/v1/batch?a=%20b", b"*"),
        (b"/v1", b"//%76"),
        (b"/v1", b"/v1#"),
        (b"a=%20b", b"a#b"),
        (b"/v1", b"/\xc3\xa4"),
        (b"/v1", b"http://a.example/v1"),
        (b"HTTP/1.1", b"HTTP/1.0"),
        (b"HTTP/1.1", b"HTTP/2.0"),
        (b"HTTP/1.1\r\n", b"HTTP/1.1\n"),
        (b"HTTP/1.1", b"HTTP/1.1 "),
        (b"Host:", b"Host :"),
        (b"Host:", b" Host:"),
        (b"Host:", b":"),
        (b"Host:", b"H\xc3\xb6st:"),
        (b"Host:", b"H(st:"),
        (b"Host: a", b"Host: a\r\n folded"),
        (b"Host: a.example", b"Host:"),
        (b"Host: a.example", b"Host: \t "),
        (b"a.example", b"a\x00b"),
        (b"a.example", b"a\x7fb"),
        (b"a.example", b"a\rb"),
        (b"a.example\r\n", b"a.example\n"),
        (b"LENGTH: 5", b"LENGTH: +5"),
        (b"LENGTH: 5", b"LENGTH: 5 "),
        (b"LENGTH: 5", b"LENGTH: 5,5"),
        (b"LENGTH: 5", b"LENGTH: 0x5"),
        (b"LENGTH: 5", b"LENGTH: 5\r\nContent-Length: 5"),
        (b"LENGTH: 5", b"LENGTH: 0000000005"),
        (b"content-LENGTH: 5\r\n", b""),
        (b"X-New", b"Transfer-Encoding"),
        (b"X-New", b"Expect"),
        (b"X-New", b"Upgrade"),
        (b"X-New", b"Proxy-Connection"),
        (b"X-New", b"Connection"),
        (b"X-New:", b"Connection: close\r\nX:"),
        (b"X-New:", b"Connection: keep-alive, upgrade\r\nX:"),
        (b"X-New", b"x" * 65),
    ],
)
def test_what_is_not_plain_is_left_to_the_parser(twin: ModuleType, old: bytes, new: bytes) -> None:
    data = PLAIN.replace(old, new, 1)
    assert data != PLAIN
    assert twin.read_head(data, *BOUNDS) is None


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"X-New:", b"Connection: Keep-Alive\r\nX:"),
        (b"X-New", b"x" * 64),
        (b"LENGTH: 5", b"LENGTH: 000000005"),
        (b"/v1/batch?a=%20b", b"/"),
        (b"a=%20b", b""),
        (b"a=%20b", b"?\"<>\\^`{|}~'"),
        (b"/v1/batch", b"/\"<>\\^`{|}~'"),
    ],
)
def test_what_is_plain_though_it_looks_odd(twin: ModuleType, old: bytes, new: bytes) -> None:
    data = PLAIN.replace(old, new, 1)
    assert data != PLAIN
    head = twin.read_head(data, *BOUNDS)
    assert head is not None
    agrees(data, head)


@pytest.mark.parametrize("place", [0, 1, 2])
def test_g10_every_bound_has_both_sides(twin: ModuleType, place: int) -> None:
    _, _, headers, *_ = twin.read_head(PLAIN, *BOUNDS)
    size = sum(len(name) + len(value) + 4 for name, value in headers)
    bounds = [len(b"/v1/batch?a=%20b"), len(headers), size]
    assert twin.read_head(PLAIN, *bounds) is not None
    bounds[place] -= 1
    assert twin.read_head(PLAIN, *bounds) is None


PIECES = st.sampled_from(
    [
        b"\r\n",
        b"\r",
        b"\n",
        b" ",
        b"\t",
        b":",
        b"\x00",
        b"\x7f",
        b"\xff",
        b"?",
        b"#",
        b"%",
        b"/",
        b"0",
        b"5",
        b"Host: x",
        b"Content-Length: 3",
        b"content-length",
        b"Transfer-Encoding: chunked",
        b"Connection: close",
        b"connection: keep-alive",
        b"Upgrade: h2c",
        b"Expect: 100-continue",
        b"HTTP/1.1",
        b"POST ",
        b"\r\n\r\n",
    ]
)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A plain request with some pieces cut out, put in or put in place of others."""
    data = PLAIN
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(data)))
        gone = draw(st.integers(0, 6))
        data = data[:at] + draw(st.one_of(PIECES, st.binary(max_size=3))) + data[at + gone :]
    return data


@given(st.one_of(mutated(), st.binary(max_size=80)))
def test_twins_are_alike_and_take_nothing_that_the_parser_refuses_or_reads_otherwise(data: bytes) -> None:
    found = [twin.read_head(data, *BOUNDS) for twin in TWINS.values()]
    assert all(one == found[0] for one in found)
    if found[0] is not None:
        agrees(data, found[0])


TOKEN = rb"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,70}"
HEADERS = st.lists(
    st.tuples(
        st.one_of(st.sampled_from(head_names.NAMES), st.from_regex(TOKEN, fullmatch=True)),
        st.from_regex(rb"[\t -~\x80-\xff]{0,30}", fullmatch=True),
    ),
    max_size=8,
)


@given(HEADERS, st.from_regex(rb"/[!-~]{0,30}", fullmatch=True), st.binary(max_size=8))
def test_made_requests_are_read_as_the_parser_reads_them(
    headers: list[tuple[bytes, bytes]], target: bytes, body: bytes
) -> None:
    lines = b"".join(b"%s: %s\r\n" % pair for pair in headers)
    data = b"POST %s HTTP/1.1\r\n%sContent-Length: %d\r\n\r\n%s" % (target, lines, len(body), body)
    found = [twin.read_head(data, *BOUNDS) for twin in TWINS.values()]
    assert all(one == found[0] for one in found)
    if found[0] is not None:
        agrees(data, found[0])
