"""`headrace doctor`: what it finds, and that it says what to do."""

from __future__ import annotations

import asyncio
import json
import socket
from pathlib import Path
from typing import Any

import pytest
from lake_stand import S3Stand, local_settings, opened, run
from typer.testing import CliRunner, Result

from headrace.checkup import Check
from headrace.cli import app
from headrace.doctor import in_order
from headrace.doctor_kafka import ADVICE, CONFIGS, judge_clock, judge_rights
from headrace.doctor_lake import check_lake, judge_rules, judge_store_clock
from headrace.doctor_machine import check_disk, check_files, check_settings, filesystem_of
from headrace.settings import Settings
from sink.settings import LakeSettings

ENABLED: dict[str, Any] = {"ID": "old", "Status": "Enabled"}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def headrace(*words: str) -> Result:
    return CliRunner().invoke(app, list(words))


def closed_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def test_what_is_in_order_ends_with_exit_code_0(tmp_path: Path) -> None:
    (tmp_path / "lake").mkdir()
    got = headrace("doctor", "--lake", str(tmp_path / "lake"))
    assert got.exit_code == 0, got.output
    assert "✓ In order" in got.stdout
    assert "keeps what exactly once needs" in got.stdout
    told = json.loads(headrace("doctor", "--lake", str(tmp_path / "lake"), "--json").stdout)
    assert told["ok"] is True
    assert {"area", "state", "text", "todo"} == set(told["checks"][0])
    assert not [path for path in (tmp_path / "lake").rglob("*") if path.is_file()]  # it left nothing behind


def test_a_kafka_that_does_not_answer_must_be_mended() -> None:
    got = headrace("doctor", "--kafka", f"127.0.0.1:{closed_port()}", "--json")
    assert got.exit_code == 1
    wrong = [check for check in json.loads(got.stdout)["checks"] if check["state"] == "wrong"]
    assert [check["area"] for check in wrong] == ["kafka"]
    assert "bootstrap_servers" in wrong[0]["todo"]


def test_a_setting_that_is_wrong_is_a_check_too(tmp_path: Path) -> None:
    path = tmp_path / "headrace.toml"
    path.write_text("[collector]\nprot = 1\n")
    got = headrace("doctor", "--config", str(path))
    assert got.exit_code == 1
    assert "collector.prot" in got.stdout
    assert "✗ 1 of 1 checks must be mended" in got.stdout


def test_a_folder_that_is_not_writable_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    checks = asyncio.run(check_lake(LakeSettings(url=f"file://{tmp_path}/file/lake"), {}))
    assert not in_order(checks)
    assert checks[0].todo


def test_lanes_that_the_settings_changed_are_found_before_the_sink_refuses(tmp_path: Path) -> None:
    settings = local_settings(tmp_path)

    async def story() -> None:
        async with opened(settings, lanes=3):
            pass

    run(story())
    assert in_order(asyncio.run(check_lake(settings, {"events": 3})))
    wrong = [check for check in asyncio.run(check_lake(settings, {"events": 4})) if check.state == "wrong"]
    assert len(wrong) == 1
    assert "lanes = 3" in wrong[0].todo


def test_a_lake_of_a_newer_format_is_named(tmp_path: Path) -> None:
    settings = local_settings(tmp_path)
    (tmp_path / "lake" / "_headrace").mkdir(parents=True)
    (tmp_path / "lake" / "_headrace" / "lake.json").write_text('{"format": 99}')
    wrong = [check for check in asyncio.run(check_lake(settings, {})) if check.state == "wrong"]
    assert "format 99" in wrong[0].text


def states(rules: list[dict[str, Any]], prefix: str = "clicks") -> list[str]:
    return [check.state for check in judge_rules(rules, prefix)]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({"Expiration": {"Days": 30}, "Filter": {"Prefix": ""}}, ["wrong"]),
        ({"Expiration": {"Days": 30}, "Prefix": "clicks/"}, ["wrong"]),
        (
            {"Expiration": {"Date": "2030-01-01"}, "Filter": {"And": {"Prefix": "clicks/_headrace/"}}},
            ["wrong"],
        ),
        ({"Expiration": {"Days": 30}, "Filter": {"Prefix": "clicks/_headrace/commits/"}}, ["wrong"]),
        ({"Expiration": {"Days": 30}, "Filter": {"Prefix": "clicks/events/"}}, ["note", "ok"]),
        ({"Expiration": {"Days": 30}, "Filter": {"Prefix": "other/"}}, ["ok"]),
        ({"Expiration": {"Days": 30}, "Filter": {"Prefix": "clicks2/"}}, ["ok"]),
        ({"Expiration": {"ExpiredObjectDeleteMarker": True}, "Filter": {}}, ["ok"]),
        ({"NoncurrentVersionExpiration": {"NoncurrentDays": 1}, "Filter": {}}, ["ok"]),
        ({"AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 6}, "Filter": {}}, ["wrong"]),
        ({"AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7}, "Filter": {}}, ["ok"]),
    ],
)
def test_expiry_rules_that_would_eat_the_proof_are_refused(rule: dict[str, Any], expected: list[str]) -> None:
    assert states([{**ENABLED, **rule}]) == expected
    assert states([{**ENABLED, **rule, "Status": "Disabled"}]) == ["ok"]


def test_a_rule_of_a_whole_bucket_covers_a_lake_without_prefix() -> None:
    assert states([{**ENABLED, "Expiration": {"Days": 1}}], "") == ["wrong"]
    assert states([], "") == ["ok"]


def test_the_rules_of_a_real_bucket_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    stand = S3Stand(monkeypatch)
    try:
        settings = stand.settings()
        checks = asyncio.run(check_lake(settings, {}))
        assert in_order(checks), checks
        assert [check.area for check in checks] == ["lake", "lake", "lake", "clock"]
        bucket = settings.url.removeprefix("s3://").partition("/")[0]
        rule = {**ENABLED, "Expiration": {"Days": 30}, "Filter": {"Prefix": ""}}
        stand.client.put_bucket_lifecycle_configuration(
            Bucket=bucket, LifecycleConfiguration={"Rules": [rule]}
        )
        wrong = [check for check in asyncio.run(check_lake(settings, {})) if check.state == "wrong"]
        assert len(wrong) == 1
        assert "_headrace/" in wrong[0].text
    finally:
        stand.stop()


def test_rights_that_are_missing_are_named() -> None:
    read_write = 1 << 3 | 1 << 4 | 1 << 8
    assert judge_rights({"events": read_write, "other": -(1 << 31)}).state == "ok"
    found = judge_rights({"events": read_write & ~(1 << 4), "other": 0})
    assert found.state == "wrong"
    assert "Write on events" in found.text
    assert "Read and Write and Describe on other" in found.text


def test_clocks_are_compared_where_they_can_be() -> None:
    assert judge_clock(0, 100).state == "note"
    assert judge_clock(102, 100).state == "ok"
    assert judge_clock(103, 100).state == "wrong"
    assert judge_clock(5, 100).state == "ok"  # an old record says nothing
    assert judge_store_clock(160, 100).state == "ok"
    assert judge_store_clock(161, 100).state == "wrong"
    assert judge_store_clock(39, 100).state == "wrong"


def test_every_finding_about_a_topic_has_advice() -> None:
    text = (Path(__file__).parent.parent / "ingest" / "topics.py").read_text()
    for code in [*CONFIGS, *ADVICE]:
        assert f'"{code}"' in text


def test_a_network_disk_is_refused_for_what_needs_locks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(
        f"/dev/sda / ext4 rw 0 0\nserver:/x {tmp_path} nfs4 rw 0 0\n/dev/sdb /mnt/a\\040b xfs rw 0 0\n"
    )
    assert filesystem_of(tmp_path / "deep", mounts) == "nfs4"
    assert filesystem_of(Path("/"), mounts) == "ext4"
    assert filesystem_of(Path("/mnt/a b/c"), mounts) == "xfs"
    assert filesystem_of(Path("/mnt/a"), mounts) == "ext4"
    assert filesystem_of(Path("/"), tmp_path / "none") == ""
    monkeypatch.setattr("headrace.doctor_machine.filesystem_of", lambda _: "nfs")
    found = list(check_disk("disk", "spool", tmp_path, local=True))
    assert [check.state for check in found] == ["wrong"]
    assert "local disk" in found[0].todo
    assert [check.state for check in check_disk("disk", "lake", tmp_path, local=False)] != ["wrong"]


def test_a_disk_without_room_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace.doctor_machine.FREE_BYTES_MIN", 1 << 60)
    assert next(check_disk("disk", "spool", tmp_path / "new", local=True)).state == "wrong"


def checked(**tables: Any) -> list[Check]:
    return list(check_settings(Settings(**tables), None))


def test_settings_that_contradict_each_other_are_found() -> None:
    open_door = checked(collector={"host": "0.0.0.0"}, sources={"web": {}})
    assert any(check.state == "note" and "without a key" in check.text for check in open_door)
    assert not any("without a key" in check.text for check in checked(sources={"web": {}}))


def test_too_few_open_files_for_the_connections_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    many = Settings.model_validate({"limits": {"connections_max": 1000}})
    for soft, hard, state in (
        (1200, 1200, "ok"),
        (1199, 5000, "note"),
        (1199, 1199, "wrong"),
        (100, -1, "note"),
    ):
        monkeypatch.setattr("resource.getrlimit", lambda _, limits=(soft, hard): limits)
        assert check_files(many).state == state
