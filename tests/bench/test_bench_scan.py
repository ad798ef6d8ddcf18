"""What the scan costs: bytes per second of both twins, beside orjson.loads and, where installed, simdjson.

    pytest tests/bench/test_bench_scan.py --benchmark-only

measures, also on the sets of ../shared/data where that folder is; without the option each runs a few times
only, as a test. `gb_per_second` and `ns_per_event` are of the fastest round.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import orjson
import pytest
from scan_stand import SEGMENT, sessions

from _native import scan_c, scan_py
from _native.cells import ID, ROW, TIME, TYPE, USER, ScanSpec

SHARED: Final = Path(__file__).resolve().parents[3] / "shared" / "data" / "convert_to_events.py"
SETS: Final = ("wikipedia", "ga4", "ga360", "usagov", "apache", "coffee", "otto", "readers")
CONVERTED: Final = ScanSpec(
    roles={ID: (("event_id",),), TYPE: (("event_type",),), USER: (("user_id",),), TIME: (("event_time",),)},
    batch_keys=("batch",),
)
TWINS: Final = {"cython": scan_c, "python": scan_py}
ROUND_BYTES: Final = 2_000_000  # a round of about 1 ms: on a busy machine some of many are left alone


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    measured = metafunc.config.getoption("benchmark_only")
    if "name" in metafunc.fixturenames:
        sets = SETS if measured and SHARED.exists() else ()
        metafunc.parametrize("name", ["shop of 100", "shop of 1", "indented", *sets])
    if "reader" in metafunc.fixturenames:
        readers = ["cython", "python", "orjson"]
        if importlib.util.find_spec("simdjson"):
            readers += ["simdjson", "simdjson, fields read"]
        metafunc.parametrize("reader", readers)


def lines(name: str) -> list[bytes]:
    made = subprocess.run(
        [sys.executable, str(SHARED), name, "--limit", "100"], capture_output=True, check=True, timeout=60
    )
    return made.stdout.splitlines()


def body_of(name: str) -> tuple[bytes, int, ScanSpec]:
    """A body, how many events it holds, and how they are read."""
    if name == "shop of 1":
        return orjson.dumps(sessions(1, seed=1)[0]), 1, SEGMENT
    if name == "indented":
        return json.dumps({"batch": sessions(100, seed=1)}, indent=2).encode(), 100, SEGMENT
    if name == "shop of 100":
        return orjson.dumps({"batch": sessions(100, seed=1), "sentAt": "2026-11-23T10:00:00Z"}), 100, SEGMENT
    events = lines(name)
    return b'{"batch":[' + b",".join(events) + b"]}", len(events), CONVERTED


def reading(reader: str, body: bytes, spec: ScanSpec) -> Callable[[], Any]:
    if reader in TWINS:
        scan = TWINS[reader].scan
        return lambda: scan(body, spec)
    if reader == "orjson":
        return lambda: orjson.loads(body)
    parser = importlib.import_module("simdjson").Parser()

    def parse() -> None:  # no reference to the document may be left when the parser is used again
        parser.parse(body)

    keys = [path[0] for paths in spec.roles.values() for path in paths[:1]]

    def fields() -> int:
        document = parser.parse(body)
        events = document["batch"] if b'"batch"' in body else [document]
        found = [event.get(field) for event in events for field in keys]
        del document, events
        return len(found)

    return parse if reader == "simdjson" else fields


def test_the_scan_reads(benchmark: Any, name: str, reader: str, request: pytest.FixtureRequest) -> None:
    body, events, spec = body_of(name)
    run = reading(reader, body, spec)
    measured = request.config.getoption("benchmark_only")
    iterations = max(1, ROUND_BYTES // (100 if reader == "python" else 1) // len(body)) if measured else 1
    benchmark.group = name
    result = benchmark.pedantic(run, rounds=200 if measured else 2, iterations=iterations, warmup_rounds=1)
    if reader in TWINS:
        assert result.count == events
        assert all(result.rows[ROW * event + 5] for event in range(events))  # each has its id
    if benchmark.stats is not None:
        fastest = benchmark.stats.stats.min
        benchmark.extra_info |= {
            "bytes_per_event": round(len(body) / events),
            "gb_per_second": round(len(body) / fastest / 1e9, 3),
            "ns_per_event": round(fastest / events * 1e9),
        }
