"""G1: what is said of ack level and outage policy is what the collector does, whatever was asked for."""

from __future__ import annotations

from pathlib import Path

import pytest
from door_stand import DoorStand, header
from typer.testing import CliRunner

from headrace.cli import app
from headrace.doctor_machine import check_settings
from headrace.settings import Settings
from ingest.ack_level import differences, reached
from ingest.errors import ProduceError
from ingest.settings import SourceSettings

EVENT = {"type": "hello", "id": "1"}


@pytest.mark.parametrize("ack", ["kafka", "disk", "memory"])
@pytest.mark.parametrize("on_outage", ["spool", "refuse"])
def test_g1_what_is_said_to_be_reached_is_what_a_request_is_answered(ack: str, on_outage: str) -> None:
    told = {"write_keys": ["good"], "ack": ack, "on_outage": on_outage}
    now = reached(SourceSettings.model_validate(told))
    door = DoorStand({"web": told})
    answer = door.ask("POST", "/events", EVENT, {"authorization": "Bearer good"})
    assert (answer.status, header(answer, "headrace-ack")) == (204, now.ack)
    assert door.rows()[0]["ack"] == now.ack
    door.rounds.down = {"events": ProduceError("kafka_down", "Kafka is away", retriable=True)}
    answer = door.ask("POST", "/events", EVENT, {"authorization": "Bearer good"})
    assert (answer.status == 503) == (now.on_outage == "refuse")


def test_a_source_that_asks_for_what_is_there_is_not_mentioned() -> None:
    plain = SourceSettings(on_outage="refuse")
    assert not list(differences({"web": plain}))
    spooled = SourceSettings()
    assert [text.rpartition(" ")[2] for text in differences({"web": plain, "app": spooled})] == ["app"]


def test_check_show_and_doctor_promise_no_spool(tmp_path: Path) -> None:
    path = tmp_path / "headrace.toml"
    path.write_text('[sources.web]\nwrite_keys = ["k"]\nack = "disk"\n')
    checked = CliRunner().invoke(app, ["sources", "check", str(path)]).stdout
    assert "not there yet: ack other than kafka; answered when it is in Kafka: web (disk)" in checked
    row = next(line for line in checked.splitlines() if "│ web" in line)
    assert "disk" not in row
    assert "spool" not in row
    shown = CliRunner().invoke(app, ["sources", "show", "web", "--config", str(path)]).stdout
    assert "an event is answered when it is in Kafka" in shown
    assert "503" in shown
    source = {"web": {"write_keys": ["k"], "ack": "disk"}}
    told = list(check_settings(Settings.model_validate({"sources": source}), None))
    assert [check.state for check in told if "not there yet" in check.text] == ["note", "note"]
    assert all(check.state != "wrong" for check in told)
