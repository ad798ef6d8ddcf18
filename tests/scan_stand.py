"""What tests, fuzzer and benchmark of the scan share: specs, documents, all that can be seen of a twin."""

from __future__ import annotations

import ast
import random
import uuid
from functools import lru_cache
from pathlib import Path
from typing import Any

from _native.cells import (
    ANON,
    EVENT,
    ID,
    NAME,
    OBJECT,
    ROW,
    SENT,
    TIME,
    TYPE,
    USER,
    VALUE,
    Scan,
    ScanError,
    ScanSpec,
)

SPEC = ScanSpec(
    roles={
        ID: (("id",), ("messageId",)),
        TYPE: (("type",),),
        NAME: (("event",), ("properties", "name")),
        USER: (("userId",), ("properties", "user", "id")),
        VALUE: (("data",),),
    },
    batch_keys=("batch", "events"),
    array=True,
    ndjson=True,
    envelope=(("sent", ("sentAt",)), ("library", ("context", "library", "name"))),
)
SEGMENT = ScanSpec(
    roles={
        ID: (("messageId",),),
        TYPE: (("type",),),
        NAME: (("event",), ("name",)),
        USER: (("userId",),),
        ANON: (("anonymousId",),),
        TIME: (("timestamp",), ("originalTimestamp",)),
        SENT: (("sentAt",),),
    },
    batch_keys=("batch",),
    envelope=(("key", ("writeKey",)), ("sent", ("sentAt",)), ("context", ("context",))),
)
# Keys that begin, end and measure alike; a key on the way to another; keys beyond ASCII, empty, replaced.
ODD = ScanSpec(
    roles={
        ID: (("ab1c",), ("ab2c",), ("",), ("é",), ("\ufffd",)),
        TYPE: (("a", "b", "c"), ("a", "b"), ("a",)),
        VALUE: (("a",), ("id",)),
        USER: ((), ("batch", "x"), ("id",)),
    },
    batch_keys=("batch", "a"),
    single=False,
    ndjson=True,
    envelope=(("whole", ("batch",)), ("deep", ("batch", "x")), ("id", ("id",))),
)
BARE = ScanSpec(roles={}, array=True)
SPECS = {"usual": SPEC, "segment": SEGMENT, "odd": ODD, "bare": BARE}

DOCUMENTS: list[bytes] = [
    b"",
    b" ",
    b"{}",
    b"[]",
    b"0",
    b'""',
    b"null",
    b' {"id" : "a" , "type":"track"} ',
    b'{"id":"","messageId":"m-1","id":null}',
    b'{"\\u0069d":"escaped key","t\\u0079pe":1}',
    b'{"id":"\\ud83d\\ude00 \\ud800 \\\\ \\" \\/ \\b\\f\\n\\r\\t"}',
    '{"id":"é😀—ñ","type":"日本語テキスト","é":1}'.encode(),
    b'{"properties":{"name":"n","user":{"id":"u"}},"event":""}',
    b'{"properties":{"user":{"id":"u"}},"properties":{"user":{}}}',
    b'{"properties":[{"name":"n"}],"data":{"a":[1,2]}}',
    b'{"batch":[{"id":1},{"id":2}],"sentAt":"s","context":{"library":{"name":"x"}}}',
    b'{"events":[1],"batch":[2],"events":[3,4]}',
    b'{"batch":{"x":[1]},"events":7}',
    b'{"batch":[{"a":{"b":{"c":1}}}],"batch":{"x":2},"a":[true]}',
    b'{"batch":[],"batch":[{"batch":[1]}],"a":{"b":2}}',
    b'{"ab1c":1,"ab2c":2,"abc":3,"":4,"\\ufffd":5}',
    b'[{"id":1}, [{"id":2}], "x", 3, null, true, false]',
    b'{"id":1}\n{"id":2}\r\n \n[3]\n"four"\n',
    b'{"batch":[1]} {"batch":[2]} 3',
    b'"a" "b"',
    b"[1.5e+3,-0,0.1,-12E-2,1e5,10,9007199254740993]",
    b'[[[[{"a":[{"b":{}}]}]]]]',
    b'{"a":1,"b":[true,false,null,{"c":"d"}],"e":"f"}',
    b'{\n  "id": "pretty",\n  "data": {\n    "list": [\n      1,\n      2\n    ]\n  }\n}\n',
    b'{"messageId":"0123456789abcdef0123456789abcdef","userId":"exactly sixteen!","type":"fifteen letters"}',
    b'{"batch":[{"messageId":"m","type":"track","event":"E","anonymousId":"n","timestamp":"t"}]}',
    b"[1,1,1,1,1,1]",
]


def sessions(count: int, seed: int) -> list[dict[str, object]]:
    """Events of a shop as an SDK of Segment sends them, 411 bytes each on average without white space."""
    chance = random.Random(seed)
    return [
        {
            "messageId": str(uuid.UUID(int=chance.getrandbits(128))),
            "type": chance.choice(["track", "track", "track", "page", "identify"]),
            "event": chance.choice(["Product Viewed", "Product Added", "Order Completed", "Search"]),
            "userId": f"user-{chance.randrange(10_000)}",
            "anonymousId": str(uuid.UUID(int=chance.getrandbits(128))),
            "timestamp": f"2026-11-23T10:{chance.randrange(60):02}:{chance.randrange(60):02}.123Z",
            "properties": {
                "price": chance.randrange(50_000) / 100,
                "currency": chance.choice(["EUR", "USD", "JPY"]),
                "sku": f"SKU-{chance.randrange(10**6):06}",
                "name": chance.choice(["Café crème", "Blue shoes", 'Lamp 20" \u2014 oak', "Mug"]),
                "position": chance.randrange(30),
            },
            "context": {
                "locale": chance.choice(["de-DE", "en-US", "ja-JP"]),
                "ip": f"203.0.113.{chance.randrange(256)}",
                "page": {"url": f"https://shop.example/p/{chance.randrange(10**6)}", "referrer": None},
            },
        }
        for _ in range(count)
    ]


def observed(twin: Any, body: bytes, spec: ScanSpec, **bounds: int) -> object:
    """All that a caller of scan(), text() and members() can see of a body."""
    try:
        found = twin.scan(body, spec, **bounds)
    except ScanError as error:
        return error.reason, error.position, str(error)
    return seen(twin, body, found)


def seen(twin: Any, body: bytes, found: Scan) -> object:
    assert found.rows.typecode == "i"
    assert len(found.rows) == found.count * ROW
    rows = found.rows.tolist()
    cells = [tuple(rows[first : first + 3]) for first in range(0, len(rows), 3)]
    texts = [twin.text(body, cell) for cell in [*cells, *found.envelope.values()]]
    events = cells[EVENT :: ROW // 3]
    listed = [twin.members(body, start, end) for start, end, kind in events if kind == OBJECT]
    return found.count, cells, found.envelope, list(found.envelope), found.batched, texts, listed


def observed_members(twin: Any, body: bytes, start: int, end: int) -> object:
    try:
        return twin.members(body, start, end)
    except ScanError as error:
        return error.reason, error.position
    except ValueError as error:
        return str(error)


def observed_text(twin: Any, body: bytes, start: int, end: int, kind: int) -> object:
    try:
        return twin.text(body, (start, end, kind))
    except ValueError as error:
        return str(error)


@lru_cache
def json_suite() -> dict[str, bytes]:
    """The cases of JSONTestSuite by name; `json_suite.tsv` says whose they are."""
    cases = {}
    for line in (Path(__file__).parent / "json_suite.tsv").read_text().splitlines():
        if not line.startswith("#"):
            name, count, unit, rest = line.split("\t")
            cases[name] = int(count) * ast.literal_eval(unit) + ast.literal_eval(rest)
    return cases
