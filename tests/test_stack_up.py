"""What `headrace up` fills in, shows and answers; without Kafka."""

from __future__ import annotations

import asyncio
import json
import shlex
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from rich.console import Console
from supervisor_stand import SAYS_READY, program, run, running, until

from headrace.errors import HeadraceError, SettingsError
from headrace.settings import Settings, load
from headrace.stack import service
from headrace.stack.admin import AdminServer, build_app
from headrace.stack.arrivals import Arrival, Arrivals
from headrace.stack.counters import Figures
from headrace.stack.datadir import FREE_BYTES_LOW, DataDir
from headrace.stack.filling import ROLL_SECONDS, Options, demo_key, fill
from headrace.stack.measures import Measures
from headrace.stack.ports import listener
from headrace.stack.screen import Places, Screen
from headrace.stack.up import _places, remarks

DATA = Path("/data dir")


def filled(tmp_path: Path, text: str | None = None, **options: object) -> Settings:
    path = None
    if text is not None:
        path = tmp_path / "headrace.toml"
        path.write_text(text)
    return fill(load(path), Options(config=path, **options), DATA)  # type: ignore[arg-type]


def test_without_a_configuration_there_is_one_source_by_key_or_without(tmp_path: Path) -> None:
    settings = filled(tmp_path)
    assert list(settings.sources) == ["demo"]
    assert settings.sources["demo"].keyless
    assert demo_key(settings) == "demo"
    assert settings.collector.host == "127.0.0.1"
    assert settings.lake.url == "file:///data%20dir/lake"
    assert settings.spool.dir == DATA / "spool"
    assert not settings.kafka.bootstrap_servers
    assert {name: settings.topic(name).roll_seconds for name in settings.topic_names()} == {
        "events": ROLL_SECONDS,
        "headrace.quarantine": ROLL_SECONDS,
    }
    settings.ingest()
    settings.land()


def test_what_the_file_says_is_kept_and_what_it_leaves_out_is_filled_in(tmp_path: Path) -> None:
    settings = filled(
        tmp_path,
        '[sources.web]\nwrite_keys = ["k"]\ntopic = "clicks"\n[topics.clicks]\nroll_seconds = 60\n'
        '[topics.other]\nlanes = 2\n[lake]\nurl = "s3://b/p"\nregion = "r"\n[spool]\ndir = "/spool"\n',
    )
    assert list(settings.sources) == ["web"]
    assert demo_key(settings) == "k"
    assert settings.topic("clicks").roll_seconds == 60
    assert settings.topic("other").roll_seconds == ROLL_SECONDS
    assert settings.topic("other").lanes == 2
    assert (settings.lake.url, settings.lake.region) == ("s3://b/p", "r")
    assert settings.spool.dir == Path("/spool")


def test_options_go_before_the_file(tmp_path: Path) -> None:
    text = '[collector]\nport = 1\n[kafka]\nbootstrap_servers = "a:1"\n[lake]\nurl = "s3://b"\n'
    settings = filled(tmp_path, text, port=2, kafka="b:2", lake="relative/lake")
    assert settings.collector.port == 2
    assert settings.kafka.bootstrap_servers == "b:2"
    assert settings.lake.url == f"file://{Path.cwd()}/relative/lake"


def test_without_sources_only_loopback_may_send(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"collector.host = '0.0.0.0'.*expected 127.0.0.1"):
        filled(tmp_path, '[collector]\nhost = "0.0.0.0"\n')
    for host in ("localhost", "127.0.0.2", "::1"):
        filled(tmp_path, f'[collector]\nhost = "{host}"\n')


def test_a_lake_that_is_no_url_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="--lake 'gs://bucket'"):
        filled(tmp_path, lake="gs://bucket")


def test_collect_and_sink_say_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"kafka\.bootstrap_servers"):
        service.collect(Settings())
    kafka = {"kafka": {"bootstrap_servers": "a:1"}}
    with pytest.raises(SettingsError, match=r"\[sources\.NAME\]"):
        service.collect(Settings.model_validate(kafka))
    with pytest.raises(SettingsError, match=r"lake\.url"):
        service.sink(Settings.model_validate(kafka))
    no_file = {**kafka, "sources": {"web": {}}, "collector": {"tls_cert": "none.pem"}}
    with pytest.raises(HeadraceError, match=r"collector\.tls_cert = 'none\.pem': no such file"):
        service.collect(Settings.model_validate(no_file))


async def get(port: int, path: str) -> tuple[int, bytes]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    return int(head.split(b" ")[1]), body


def test_the_admin_port_tells_the_truth_while_it_starts_runs_and_stops(tmp_path: Path) -> None:
    said = 'say(kafka={"state": "up"})'
    collector = program("collector", SAYS_READY.replace("say()", said))
    late = program("sink", "say(ready=False, reasons=['the store is away'])\ntime.sleep(60)")

    async def test() -> None:
        door = listener("127.0.0.1", 0, "")
        port = door.getsockname()[1]
        async with running([collector], [late]) as (supervisor, task):
            server = AdminServer(build_app(supervisor, Measures(tmp_path), lambda: ["little disk"]))
            serving = asyncio.create_task(server.run_on(door))
            status, body = await get(port, "/readyz")
            assert (status, json.loads(body)["ready"]) == (503, False)
            await until(
                lambda: supervisor.of("sink") and supervisor.of("sink")[0].reasons[0].endswith("away")
            )
            status, body = await get(port, "/readyz")
            state = json.loads(body)
            assert status == 200, "events can be taken, whatever the sink says"
            assert state["kafka"] == {"state": "up"}
            assert state["reasons"] == ["sink: the store is away", "little disk"]
            assert state["processes"]["collector"][0]["pid"] == supervisor.pids("collector")[0]
            assert (await get(port, "/healthz"))[0] == 200
            status, body = await get(port, "/metrics")
            assert status == 200
            assert b'headrace_process_ready{role="sink",slot="0"} 0.0' in body
            assert (await get(port, "/hours"))[0] == 404
            supervisor.ask_stop()
            assert (await get(port, "/readyz"))[0] == 503
            await task
            server.should_exit = True
            await serving

    run(test)


PLACES = Places(
    collector_url="http://127.0.0.1:8080",
    admin_url="http://127.0.0.1:8081",
    kafka="127.0.0.1:20001",
    lake="file:///a/rather/long/folder/of/somebody/headrace-data/lake",
    data=Path("/a/rather/long/folder/of/somebody/headrace-data"),
    own_kafka=True,
    send='curl http://127.0.0.1:8080/events -H content-type:application/json -d \'{"type":"hello"}\'',
    query='headrace query "select event_type, count(*) from events group by all order by 2 desc"',
)


class Looks(Arrivals):
    def newest(self, now: datetime, count: int) -> list[Arrival]:
        return [Arrival(now, "events", "track", f"Product {n} " + "x" * 50, "user") for n in range(count)]


def test_the_picture_fits_a_terminal_of_100_by_30() -> None:
    console = Console(width=100, height=30, file=StringIO(), force_terminal=True, color_system=None)
    screen = Screen(PLACES, console, Looks("file:///x", ()))

    async def test() -> None:
        stages = [
            [program("kafka", SAYS_READY)],
            [program("collector", SAYS_READY), program("sink", SAYS_READY)],
        ]
        async with running(*stages) as (supervisor, _):
            await until(lambda: supervisor.complete)
            screen.figures = Figures(1_234_567, 3, 4, 1_234_000, 20_000, 19_000, 567)
            screen._newest = Looks("", ()).newest(datetime.now(UTC), 6)
            console.print(screen.picture(supervisor))

    run(test)
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert len(lines) <= 29
    assert max(map(len, lines)) <= 100
    text = "\n".join(lines)
    for words in (PLACES.query, PLACES.send, PLACES.collector_url, "1,234,567", "3 quarantined, 4 refused"):
        assert words in text
    assert "567 records behind" in text
    assert "Product 5" in text


def test_in_a_pipe_there_are_lines_and_no_picture(tmp_path: Path) -> None:
    out = StringIO()
    screen = Screen(PLACES, Console(file=out, width=80), None)

    async def test() -> None:
        async with running([program("collector", SAYS_READY)]) as (supervisor, task):
            showing = asyncio.create_task(screen.show(supervisor, Measures(tmp_path)))
            await until(lambda: "query" in out.getvalue())
            supervisor.ask_stop()
            await task
            await asyncio.wait_for(showing, 10)

    run(test)
    lines = out.getvalue().splitlines()
    assert all(line.startswith("headrace up: ") for line in lines)
    assert f"headrace up: query         {PLACES.query}" in lines, "a long command is not broken"
    assert lines[-1].startswith("headrace up: stopping: collector, sink, Kafka")
    assert "\x1b" not in out.getvalue()


def test_a_kafka_of_others_that_is_away_is_shown_with_what_to_do(tmp_path: Path) -> None:
    why = "nothing listens on k:9092; start Kafka there"
    told = f"say(False, reasons=['Kafka is away: {why.partition(';')[0]}'])"
    away = f"while True:\n    {told}\n    time.sleep(0.2)"
    out, picture = StringIO(), Console(width=200, file=StringIO())
    screen = Screen(replace(PLACES, own_kafka=False), Console(file=out, width=80), None)

    async def test() -> None:
        async with running([program("collector", away)]) as (supervisor, task):
            showing = asyncio.create_task(screen.show(supervisor, Measures(tmp_path)))
            await until(lambda: why in out.getvalue(), "said at once, not after half a minute")
            picture.print(screen.picture(supervisor))
            supervisor.ask_stop()
            await task
            await asyncio.wait_for(showing, 10)

    run(test)
    shown = picture.file.getvalue()  # type: ignore[attr-defined]
    assert shown.count("nothing listens on k:9092") == 1
    assert "not ours" not in shown


def test_what_up_prints_to_copy_names_the_program_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.chdir(tmp_path)
    options = Options(data=Path("my data"))
    settings = fill(load(None), options, DATA)
    with listener("127.0.0.1", 0, "") as door:
        places = _places(settings, options, DataDir(tmp_path), door, door, own_kafka=True)
    program, *words = shlex.split(places.query)
    assert Path(program).is_file()
    assert words[:3] == ["query", "--data", "my data"]


def test_little_disk_is_said_once_and_in_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = DataDir(tmp_path)
    free = [FREE_BYTES_LOW]
    monkeypatch.setattr(DataDir, "free_bytes", lambda self: free[0])
    assert remarks(data) == []
    free[0] = FREE_BYTES_LOW - 1
    said = remarks(data)
    assert "has only 960 MiB free; Kafka stops when it is full" in said[0]
    free[0] -= 1024 * 1024
    assert remarks(data) == said


def table(names: list[str], began: datetime) -> pa.Table:
    return pa.table(
        {
            "received_at": [began + timedelta(seconds=n) for n in range(len(names))],
            "event_type": ["track"] * len(names),
            "event_name": names,
            "user_id": ["u", *[None] * (len(names) - 1)],
            "anonymous_id": ["a"] * len(names),
        }
    )


def test_the_newest_rows_come_from_the_newest_files_of_the_hour(tmp_path: Path) -> None:
    now = datetime(2026, 11, 24, 10, 30, tzinfo=UTC)
    folder = tmp_path / "the lake" / "events" / "date=2026-11-24" / "hour=10"
    folder.mkdir(parents=True)
    parquet.write_table(table(["one", "two"], now), folder / "1.parquet")
    parquet.write_table(table(["three"], now + timedelta(minutes=1)), folder / "2.parquet")
    (folder / "3.parquet.part").touch()
    arrivals = Arrivals(f"file://{tmp_path}/the%20lake", ("events", "none"))
    assert [(row.name, row.who) for row in arrivals.newest(now, 2)] == [("two", "a"), ("three", "u")]
    assert arrivals.newest(now + timedelta(hours=1), 2) == []
    nameless = table(["four"], now + timedelta(minutes=2)).drop_columns(["event_type", "event_name"])
    told = nameless.append_column("source", pa.array(["web"])).append_column("event_id", pa.array(["id-4"]))
    parquet.write_table(told, folder / "4.parquet")
    assert [(row.type, row.name) for row in arrivals.newest(now, 2)] == [("track", "three"), ("web", "id-4")]
    assert Arrivals("s3://bucket", ("events",)).newest(now, 2) == []
