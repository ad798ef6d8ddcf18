"""What decoding costs: both twins over the same batches, and the way to the Parquet file.

    pytest tests/bench/test_bench_columns.py --benchmark-only

measures 411-byte events with 16 headers in batches of 1000, zstd as a collector sends them, in CPU time of
all threads; without the option each runs once, as a test. `ns_per_event` is of the fastest round.
"""

from __future__ import annotations

import json
import random
import struct
import time
from typing import Any, Final

import pytest
from columns_stand import NOW_US, TWINS, Headers, Landing, batch_of, headers_of, sign

from _native.batch_compression import compressed
from _native.columns import Promoted
from _native.inflate import Inflater
from _native.record import Flags
from sink.parquet import write

EVENT_BYTES: Final = 411
BATCH_EVENTS: Final = 1000
ZSTD: Final = 4
HEAD_BYTES: Final = 61
AGENT: Final = b"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/126.0 Safari/537.36"
PROMOTED: Final = (
    Promoted("price", ("properties", "price"), "double"),
    Promoted("sku", ("properties", "sku"), "string"),
    Promoted("quantity", ("properties", "quantity"), "int64"),
    Promoted("sent", ("timestamp",), "timestamp"),
)
BYTES_MAX: Final = 1 << 26


def record(chance: random.Random, number: int) -> tuple[bytes, bytes, Headers]:
    """An event of a web shop, as a collector writes it."""
    item = chance.randrange(5000)
    event: dict[str, Any] = {
        "type": "track",
        "event": "Order Completed",
        "messageId": f"{chance.getrandbits(128):032x}",
        "timestamp": f"2025-11-24T07:{number // 60 % 60:02}:{number % 60:02}.{number % 1000:03}Z",
        "properties": {
            "price": round(chance.random() * 100, 2),
            "currency": "EUR",
            "sku": f"SKU-{item:05}",
            "quantity": chance.randrange(1, 5),
            "path": f"/shop/item/{item}",
            "referrer": f"https://www.example.org/search?q={chance.getrandbits(24):x}",
        },
        "context": {"locale": "en-GB", "page": {"title": "Item"}, "screen": ""},
    }
    room = EVENT_BYTES - len(json.dumps(event, separators=(",", ":")))
    event["context"]["screen"] = "1920x1080 " * (room // 10) + "x" * (room % 10)
    headers = headers_of(
        number,
        NOW_US - number * 17,
        int(Flags.KEY_IS_USER),
        ce_id=event["messageId"].encode(),
        hr_name=b"Order Completed",
        hr_anon=f"{chance.getrandbits(128):032x}".encode(),
        hr_ip=b"192.0.2.%d" % (number % 200),
        hr_ua=AGENT,
    )
    return (
        b"user-%06d" % int(chance.paretovariate(1.1) % 10_000),
        json.dumps(event, separators=(",", ":")).encode(),
        headers,
    )


def plain_batch(events: int, base: int = 0) -> bytes:
    chance = random.Random(base)
    return batch_of([record(chance, base + number) for number in range(events)], base)


def zstd_batch(plain: bytes) -> bytes:
    data = bytearray(plain[:HEAD_BYTES] + compressed("zstd", 1, plain[HEAD_BYTES:]))
    struct.pack_into(">i", data, 8, len(data) - 12)
    data[22] |= ZSTD
    return sign(data)


@pytest.fixture(scope="module")
def batches(request: pytest.FixtureRequest) -> dict[str, list[bytes]]:
    """As they are and compressed: 20 batches of 1000 where it is measured, one of 50 as a test."""
    measured = request.config.getoption("benchmark_only")
    count, events = (20, BATCH_EVENTS) if measured else (1, 50)
    plain = [plain_batch(events, base * events) for base in range(count)]
    return {"none": plain, "zstd": [zstd_batch(data) for data in plain]}


def decoded(landing: Landing, batches: list[bytes]) -> int:
    """Rows of all batches, which stay in the tables."""
    rows, at = 0, 0
    for data in batches:
        fed = landing.feed(data, at)
        rows, at = rows + fed.rows, fed.next_offset
    return rows


def measure(benchmark: Any, request: pytest.FixtureRequest, run: Any, events: int, slow: bool = False) -> Any:
    rounds = (5 if slow else 50) if request.config.getoption("benchmark_only") else 1
    result = benchmark.pedantic(run, rounds=rounds, iterations=1, warmup_rounds=1)
    if benchmark.stats is not None:
        fastest = benchmark.stats.stats.min
        benchmark.extra_info |= {
            "ns_per_event": round(fastest / events * 1e9),
            "events_per_second": round(events / fastest),
        }
    return result


def events_of(batches: dict[str, list[bytes]]) -> int:
    """How many events the batches hold, by their headers."""
    return sum(struct.unpack_from(">i", data, 57)[0] for data in batches["none"])


@pytest.mark.benchmark(group="decode", timer=time.process_time)
@pytest.mark.parametrize("codec", ["none", "zstd"])
@pytest.mark.parametrize("twin", list(TWINS))
def test_batches_become_columns(
    benchmark: Any, batches: dict[str, list[bytes]], twin: str, codec: str, request: pytest.FixtureRequest
) -> None:
    events = events_of(batches)
    landing = Landing(BYTES_MAX, twin=twin)

    def run() -> int:
        landing.tables.clear()
        return decoded(landing, batches[codec])

    assert measure(benchmark, request, run, events, slow=twin == "python") == events
    assert sum(table.rows for table in landing.tables.values()) == events


@pytest.mark.benchmark(group="decode", timer=time.process_time)
@pytest.mark.parametrize("twin", list(TWINS))
def test_four_columns_are_promoted(
    benchmark: Any, batches: dict[str, list[bytes]], twin: str, request: pytest.FixtureRequest
) -> None:
    events = events_of(batches)
    landing = Landing(BYTES_MAX, twin=twin, columns=PROMOTED)

    def run() -> int:
        landing.tables.clear()
        return decoded(landing, batches["zstd"])

    assert measure(benchmark, request, run, events, slow=twin == "python") == events
    assert all(landing.rows()[0][column.name] is not None for column in PROMOTED)


@pytest.mark.benchmark(group="decode", timer=time.process_time)
def test_batches_are_inflated(
    benchmark: Any, batches: dict[str, list[bytes]], request: pytest.FixtureRequest
) -> None:
    inflater = Inflater(BYTES_MAX)

    def run() -> list[int]:
        return [len(inflater.inflate(ZSTD, memoryview(data)[HEAD_BYTES:])) for data in batches["zstd"]]

    sizes = measure(benchmark, request, run, events_of(batches))
    assert sizes == [len(data) - HEAD_BYTES for data in batches["none"]]


@pytest.mark.benchmark(group="land", timer=time.process_time)
def test_columns_become_a_file(
    benchmark: Any, batches: dict[str, list[bytes]], request: pytest.FixtureRequest
) -> None:
    events = events_of(batches)
    landing = Landing(BYTES_MAX)
    decoded(landing, batches["zstd"])
    tables = list(landing.tables.values())
    images = measure(
        benchmark, request, lambda: [write(table, footer={}) for table in tables], events, slow=True
    )
    assert sum(image.rows for image in images) == events
    benchmark.extra_info["bytes_per_event"] = round(sum(image.data.size for image in images) / events, 1)


@pytest.mark.benchmark(group="land", timer=time.process_time)
def test_batches_become_a_file(
    benchmark: Any, batches: dict[str, list[bytes]], request: pytest.FixtureRequest
) -> None:
    """The sink's whole work on one core but for fetching and storing: the figure to hold against 2000 ns."""
    events = events_of(batches)
    landing = Landing(BYTES_MAX)

    def run() -> int:
        landing.tables.clear()
        decoded(landing, batches["zstd"])
        return sum(write(table, footer={}).rows for table in landing.tables.values())

    assert measure(benchmark, request, run, events, slow=True) == events
