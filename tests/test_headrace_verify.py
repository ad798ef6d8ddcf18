"""`headrace verify`, and where every command looks for the lake and Kafka."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from lake_stand import TOPIC_ID, S3Stand, feed, local_settings, make_lane, opened, run
from typer.testing import CliRunner, Result

from headrace.cli import app
from headrace.errors import HeadraceError
from headrace.proof import compare
from headrace.whereabouts import find
from sink.log_head import LogHead, Position
from sink.settings import LakeSettings


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def headrace(*words: str) -> Result:
    return CliRunner().invoke(app, list(words))


def land(settings: LakeSettings, later: int = 0) -> None:
    """Five rows, one quarantined, two skipped; then `later` commits of one row."""

    async def story() -> None:
        async with opened(settings) as store:
            lane = make_lane(store)
            await lane.take(TOPIC_ID, {0: 0})
            feed(lane, 0, 5, quarantined=1, skipped=2)
            await lane.commit(TOPIC_ID)
            for _ in range(later):
                feed(lane, 0, 1)
                await lane.commit(TOPIC_ID)

    run(story())


def test_g5_a_complete_lake_is_proved_with_exit_code_0(tmp_path: Path) -> None:
    land(local_settings(tmp_path))
    got = headrace("verify", "--lake", f"file://{tmp_path}/lake", "--json", "--deep")
    assert got.exit_code == 0, got.output
    told = {"records": 8, "rows": 5, "files": 2, "gaps": 0, "overlaps": 0}
    assert json.loads(got.stdout) == {"proved": True, "topics": {"events": told}, "problems": []}


def test_g5_a_lake_with_a_file_missing_is_not_proved(tmp_path: Path) -> None:
    land(local_settings(tmp_path), later=1)  # a file of the last entry would have some seconds to appear
    file = next((tmp_path / "lake" / "events").rglob("0-1-*.parquet"))
    file.rename(tmp_path / "kept.parquet")
    got = headrace("verify", "--lake", str(tmp_path / "lake"), "--json")
    assert got.exit_code == 1
    report = json.loads(got.stdout)
    assert report["proved"] is False
    assert file.name in report["problems"][0]
    (tmp_path / "kept.parquet").rename(file)
    assert headrace("verify", "--lake", str(tmp_path / "lake")).exit_code == 0


def test_a_person_reads_what_is_wrong_and_how_much_there_is(tmp_path: Path) -> None:
    land(local_settings(tmp_path))
    got = headrace("verify", "--lake", str(tmp_path / "lake"))
    assert "✓ Proved" in got.stdout
    assert "--deep" in got.stdout
    next((tmp_path / "lake" / "events").rglob("*.parquet")).write_bytes(b"other")
    got = headrace("verify", "--lake", str(tmp_path / "lake"), "--topic", "events")
    assert got.exit_code == 1
    assert "✗ Not proved: 1 problem." in got.stdout
    assert "5 bytes" in got.stdout


def test_a_topic_that_is_not_there_is_not_proved(tmp_path: Path) -> None:
    land(local_settings(tmp_path))
    got = headrace("verify", "--lake", str(tmp_path / "lake"), "--topic", "clicks", "--json")
    assert got.exit_code == 1
    assert json.loads(got.stdout)["problems"][0].startswith("clicks:")


def test_s3_needs_only_the_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    stand = S3Stand(monkeypatch)
    try:
        settings = stand.settings()
        land(settings)
        monkeypatch.setenv("HEADRACE__LAKE__ENDPOINT_URL", str(settings.endpoint_url))
        monkeypatch.setenv("HEADRACE__LAKE__REGION", "us-east-1")
        got = headrace("verify", "--lake", settings.url, "--json")
        assert got.exit_code == 0, got.output
        assert json.loads(got.stdout)["topics"]["events"]["rows"] == 5
        missing = headrace("verify", "--lake", "s3://missing-bucket/x", "--json")
        assert missing.exit_code == 2
        assert json.loads(missing.stdout)["proved"] is False
    finally:
        stand.stop()


def test_without_a_lake_the_message_says_what_to_type() -> None:
    got = headrace("verify")
    assert isinstance(got.exception, HeadraceError)
    assert "--lake URL" in str(got.exception)
    got = headrace("verify", "--lake", "gopher://x")
    assert "s3://bucket/prefix" in str(got.exception)


def held(**spans: tuple[int, int]) -> dict[int, tuple[int, int]]:
    return {int(name[1:]): span for name, span in spans.items()}


def at(**nexts: int) -> list[LogHead]:
    return [
        LogHead(topic_id=TOPIC_ID, positions={int(name[1:]): Position(0, n) for name, n in nexts.items()})
    ]


def test_lag_is_what_kafka_has_and_the_lake_has_not() -> None:
    assert compare("events", at(p0=7, p1=4), TOPIC_ID, held(p0=(0, 7), p1=(4, 9), p2=(3, 5))) == ([], 7)


@pytest.mark.parametrize(
    ("lanes", "topic_id", "spans", "words"),
    [
        (at(p0=8), TOPIC_ID, held(p0=(0, 7)), "truncated"),
        (at(p0=3), TOPIC_ID, held(p0=(4, 7)), "deleted by Kafka before"),
        (at(p0=7), "another", held(p0=(0, 7)), "made again"),
        (at(p0=7), None, {}, "no such topic"),
        (at(p0=7, p1=0), TOPIC_ID, held(p0=(0, 7)), "none of that number"),
    ],
)
def test_what_kafka_contradicts_is_a_problem(
    lanes: list[LogHead], topic_id: str | None, spans: dict[int, tuple[int, int]], words: str
) -> None:
    problems, _ = compare("events", lanes, topic_id, spans)
    assert len(problems) == 1
    assert words in problems[0]
    assert "events" in problems[0]


def test_an_option_goes_before_settings_and_settings_before_the_data_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "headrace-data" / "lake").mkdir(parents=True)
    (tmp_path / "headrace-data" / "headrace.json").write_text('{"format": 1, "kafka_port": 9321}')
    found = find()
    assert found.lake().url == f"file://{tmp_path}/headrace-data/lake"
    assert found.kafka().bootstrap_servers == "127.0.0.1:9321"
    (tmp_path / "headrace-data" / "run").mkdir()
    (tmp_path / "headrace-data" / "run" / "ready.json").write_text('{"kafka": "there:1", "lake": "s3://b/p"}')
    found = find()
    assert (found.lake().url, found.kafka().bootstrap_servers) == ("s3://b/p", "there:1")
    config = tmp_path / "headrace.toml"
    config.write_text('[lake]\nurl = "file:///elsewhere"\n')
    found = find(config)
    assert (found.lake().url, found.kafka().bootstrap_servers) == ("file:///elsewhere", "there:1")
    monkeypatch.setenv("HEADRACE__KAFKA__BOOTSTRAP_SERVERS", "env:2")
    assert find(config).kafka().bootstrap_servers == "env:2"
    assert find(config, lake="a b", kafka="me:3").lake().url == f"file://{tmp_path}/a%20b"
    assert find(config, kafka="me:3").kafka().bootstrap_servers == "me:3"


def test_a_data_directory_that_is_not_there_or_not_readable_is_no_crash(tmp_path: Path) -> None:
    with pytest.raises(HeadraceError, match="no such folder"):
        find(data=tmp_path / "none")
    (tmp_path / "headrace-data").mkdir()
    (tmp_path / "headrace-data" / "headrace.json").write_text("{")
    with pytest.raises(HeadraceError, match="--kafka HOST:PORT"):
        find().kafka()
