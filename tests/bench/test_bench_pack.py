"""What packing and sealing cost: both twins, requests of 100 events and of one, every codec.

    pytest tests/bench/test_bench_pack.py --benchmark-only

measures; without the option each runs twice only, as a test. `ns_per_event` is of the fastest round. Events
are those of a web shop, filled up to 411 bytes; their records have 13 headers.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

import pytest
from pack_stand import CYTHON, PYTHON, OpenBatches, stamp
from scan_stand import SEGMENT, sessions

from _native.cells import Scan
from _native.scan import scan

TWINS: Final = {"cython": CYTHON, "python": PYTHON}
EVENT_BYTES: Final = 411
BATCH_BYTES: Final = 1 << 20
PARTITIONS: Final = 8
FILLING: Final = (
    "https://shop.example/category/shoes?utm_source=mail&utm_campaign=spring Mozilla/5.0 (X11; Linux)"
)


def bodies(events: int, count: int) -> list[tuple[bytes, Scan]]:
    """`count` requests of `events` events each, and what the scan says of them."""
    made = []
    for seed in range(count):
        texts = []
        for event in sessions(events, seed=seed):
            short = len(json.dumps(event, separators=(",", ":")))
            event["filling"] = (FILLING * 5)[: max(0, EVENT_BYTES - short - len(',"filling":""'))]
            texts.append(json.dumps(event, separators=(",", ":")))
        body = f'{{"batch":[{",".join(texts)}],"sentAt":"2026-11-23T10:00:00Z"}}'.encode()
        made.append((body, scan(body, SEGMENT)))
    return made


def measured(benchmark: Any, request: pytest.FixtureRequest, run: Callable[..., Any], events: int) -> None:
    rounds = 50 if request.config.getoption("benchmark_only") else 2
    benchmark.pedantic(run, rounds=rounds, warmup_rounds=1)
    if benchmark.stats is not None:
        benchmark.extra_info["ns_per_event"] = round(benchmark.stats.stats.min / events * 1e9)


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("events", [100, 1])
def test_events_are_packed(benchmark: Any, request: pytest.FixtureRequest, twin: str, events: int) -> None:
    twins = TWINS[twin]
    requests = bodies(events, 20) * (10 if twin == "cython" else 1)
    told = stamp(agent=b"Mozilla/5.0 (X11; Linux x86_64)", ip=b"192.0.2.1", sent_us=1_795_428_060_000_000)

    def run() -> int:
        batches = OpenBatches(twins, PARTITIONS, BATCH_BYTES)
        return sum(twins.pack.pack(body, found, told, batches).accepted for body, found in requests)

    assert run() == events * len(requests)
    measured(benchmark, request, run, events * len(requests))


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("compression", ["none", "lz4", "zstd"])
def test_batches_are_sealed(
    benchmark: Any, request: pytest.FixtureRequest, twin: str, compression: str
) -> None:
    twins = TWINS[twin]
    requests = bodies(100, 10)

    def filled() -> tuple[tuple[Any], dict[str, Any]]:
        batches = OpenBatches(twins, 1, BATCH_BYTES, compression)
        for body, found in requests:
            twins.pack.pack(body, found, stamp(), batches)
        return (batches.current[0],), {}

    def run(batch: Any) -> None:
        batch.seal()
        batch._build()

    rounds = 20 if request.config.getoption("benchmark_only") else 2
    (batch,), _ = filled()
    plain, records = batch.size(), batch.record_count()
    benchmark.pedantic(run, setup=filled, rounds=rounds)
    run(batch)
    assert records == 1000
    assert (batch.size() == plain) is (compression == "none")
    if benchmark.stats is not None:
        benchmark.extra_info |= {
            "ns_per_event": round(benchmark.stats.stats.min / records * 1e9),
            "ratio": round(plain / batch.size(), 2),
            "record_bytes": plain // records,
        }
