"""Log files, the ready file and the merged metrics: what the supervisor keeps on disk, and its bounds."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from supervisor_stand import SAYS_READY, program, run, running, until

from headrace.errors import HeadraceError
from headrace.stack.log_file import LogFile, LogStream
from headrace.stack.measures import VARIABLE, Measures, Own
from headrace.stack.ready_file import ReadyFile

PLACES = {"collector_url": "http://127.0.0.1:1", "admin_url": "a", "kafka": "k", "lake": "l"}


def test_a_log_file_turns_at_its_bound_and_keeps_one_before(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "a.log", bytes_max=10)
    log.write(b"12345\n")
    log.write(b"789\n")
    assert not (tmp_path / "a.log.1").exists(), "ten bytes are in bounds"
    log.write(b"x")
    assert (tmp_path / "a.log.1").read_bytes() == b"12345\n789\n"
    log.write(b"0123456789")
    log.write(b"y")
    log.close()
    assert (tmp_path / "a.log").read_bytes() == b"y"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.log", "a.log.1"]


def test_a_full_disk_loses_lines_of_the_log_and_nothing_else() -> None:
    log = LogFile(Path("/dev/full"))
    log.write(b"lost\n")
    assert log.writes_lost == 1
    assert log.last_words() == "lost"


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (b'{"level": "error", "event": "e", "text": "why"}\n{"level": "info", "event": "bye"}\n', "why"),
        (b'{"level": "critical", "event": "e", "exception": "Traceback\\nValueError: x"}\n', "ValueError: x"),
        (b"plain\nlast\n", "last"),
        (b'{"level": "error"', '{"level": "error"'),
        (b"", ""),
    ],
)
def test_the_last_words_are_those_of_the_last_error(tmp_path: Path, lines: bytes, words: str) -> None:
    log = LogFile(tmp_path / "a.log")
    log.write(lines)
    assert log.last_words() == words
    log.forget()
    assert log.last_words() == ""


def test_the_supervisor_writes_text_into_the_same_kind_of_file(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "a.log")
    assert LogStream(log).write("é\n") == 2
    assert (tmp_path / "a.log").read_text() == "é\n"


def test_the_ready_file_comes_when_all_is_ready_and_again_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "run" / "ready.json"
    path.parent.mkdir()
    path.write_text("of an earlier run")
    file = ReadyFile([path], PLACES)
    assert not path.exists(), "what an earlier run wrote would be a lie"

    async def test() -> None:
        stages = [[program("collector", SAYS_READY)], [program("sink", SAYS_READY)]]
        async with running(*stages) as (supervisor, task):
            supervisor.on_change(lambda: file.update(supervisor))
            await until(lambda: supervisor.pids("collector"))
            assert not path.exists()
            await until(path.exists)
            said = json.loads(path.read_text())
            assert said == {
                **PLACES,
                "processes": {
                    "kafka": None,
                    "collector": supervisor.pids("collector"),
                    "sink": supervisor.pids("sink"),
                },
            }
            os.kill(supervisor.pids("sink")[0], 9)
            await until(
                lambda: (
                    json.loads(path.read_text())["processes"]["sink"] not in ([], said["processes"]["sink"])
                )
            )
            before = path.read_text()
            supervisor.ask_stop()
            await task
            assert path.read_text() == before, "a stop is no restart"
        assert [entry.name for entry in path.parent.iterdir()] == ["ready.json"]

    run(test)


def test_a_ready_file_that_can_not_be_written_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(HeadraceError, match="--ready-file"):
        ReadyFile([tmp_path / "file" / "ready.json"], PLACES)


WRITES = """
import sys
from prometheus_client import Counter, Gauge, Histogram
Counter("t_events", "h", ("source",)).labels("a").inc(int(sys.argv[1]))
Gauge("t_bytes", "h", multiprocess_mode="livesum").set(5)
Histogram("t_seconds", "h", buckets=(1.0,)).observe(0.5)
import os
print(os.getpid())
"""


def counted(folder: Path, count: int) -> int:
    """The pid of a process that counted, and has ended."""
    ended = subprocess.run(
        [sys.executable, "-c", WRITES, str(count)],
        env={**os.environ, VARIABLE: str(folder)},
        capture_output=True,
        check=True,
        timeout=30,
    )
    return int(ended.stdout)


def test_what_ended_processes_counted_stays_in_one_file_and_their_gauges_go(tmp_path: Path) -> None:
    measures = Measures(tmp_path)
    names = ("t_events_total", "t_bytes", "t_seconds_count")
    first = counted(tmp_path, 3)
    assert measures.sums(names) == {"t_events_total": 3, "t_bytes": 5, "t_seconds_count": 1}
    measures.fold(first)
    for _ in range(2):
        measures.fold(counted(tmp_path, 4))
    assert measures.sums(names) == {"t_events_total": 11, "t_bytes": 0, "t_seconds_count": 3}
    assert len(list(tmp_path.glob("*.db"))) == 2
    text = measures.exposition().decode()
    assert 't_events_total{source="a"} 11.0' in text
    assert 't_seconds_bucket{le="1.0"} 3.0' in text
    assert "t_bytes " not in text


def test_a_process_that_was_killed_before_it_wrote_takes_nothing_with_it(tmp_path: Path) -> None:
    measures = Measures(tmp_path)
    (tmp_path / "counter_77.db").touch()
    measures.fold(77)
    assert not (tmp_path / "counter_77.db").exists()
    measures.exposition()


def test_a_file_that_is_just_being_made_is_read_again(tmp_path: Path) -> None:
    measures = Measures(tmp_path)
    (tmp_path / "counter_77.db").touch()
    with pytest.raises(struct.error):
        measures.exposition()
    looks = iter((struct.error, RuntimeError, None))

    def read() -> str:
        if (fault := next(looks)) is not None:
            raise fault
        return "read"

    assert measures._read(read) == "read"


def test_an_earlier_run_is_not_counted_again(tmp_path: Path) -> None:
    counted(tmp_path, 3)
    assert Measures(tmp_path).sums(("t_events_total",)) == {"t_events_total": 0}


def test_the_supervisor_tells_of_each_process(tmp_path: Path) -> None:
    measures = Measures(tmp_path)

    async def test() -> None:
        async with running([program("collector", SAYS_READY)]) as (supervisor, task):
            await until(lambda: supervisor.complete)
            text = measures.exposition(Own(supervisor)).decode()
            assert 'headrace_process_up{role="collector",slot="0"} 1.0' in text
            assert 'headrace_process_restarts{role="collector",slot="0"} 0.0' in text
            supervisor.ask_stop()
            await task
            assert (
                'headrace_process_up{role="collector",slot="0"} 0.0'
                in measures.exposition(Own(supervisor)).decode()
            )

    run(test)
