"""A command that is printed to be copied works where the person stands."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from headrace.cli import app
from headrace.spelling import spelled


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program of a `.venv` that is not on PATH; the current folder is the clone."""
    path = tmp_path / "clone" / ".venv" / "bin" / "headrace"
    path.parent.mkdir(parents=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    monkeypatch.chdir(tmp_path / "clone")
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    return path


def test_a_program_that_is_not_on_path_is_named_by_its_path_from_the_current_folder(script: Path) -> None:
    assert spelled(str(script)) == spelled(".venv/bin/headrace") == ".venv/bin/headrace"


def test_in_its_own_folder_it_is_still_a_path(script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(script.parent)
    assert spelled(str(script)) == "./headrace"


def test_on_path_it_is_its_name(script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(script.parent))
    assert spelled(str(script)) == "headrace"


def test_another_headrace_on_path_is_not_taken_for_this_one(
    script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other" / "headrace"
    other.parent.mkdir()
    other.write_bytes(script.read_bytes())
    other.chmod(0o755)
    monkeypatch.setenv("PATH", str(other.parent))
    assert spelled(str(script)) == ".venv/bin/headrace"


def test_far_away_it_is_named_from_the_root_and_blanks_are_quoted(
    script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    far = tmp_path.joinpath(*("far" for _ in range(60)))
    far.mkdir(parents=True)
    monkeypatch.chdir(far)
    assert spelled(str(script)) == str(script)
    blank = tmp_path / "my clone" / "headrace"
    blank.parent.mkdir()
    blank.write_text("")
    monkeypatch.chdir(tmp_path)
    assert shlex.split(spelled(str(blank))) == ["my clone/headrace"]


def test_what_sources_show_prints_to_copy_can_be_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setattr(sys, "argv", ["pytest"])
    shown = CliRunner().invoke(app, ["sources", "show", "demo"]).stdout
    found = re.search(r"^ *(\S*headrace) tail --source demo", shown, re.MULTILINE)
    assert found, shown
    got = subprocess.run([*shlex.split(found[1]), "--help"], capture_output=True, timeout=60, check=False)
    assert got.returncode == 0


def test_what_query_and_doctor_print_to_copy_names_the_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    (tmp_path / "lake" / "events").mkdir(parents=True)
    name = spelled()
    assert name != "headrace"
    asked = CliRunner().invoke(app, ["query", "--lake", str(tmp_path / "lake")])
    assert f'{name} query --lake {tmp_path}/lake "select' in asked.stdout, asked.stdout
    (tmp_path / "bad.toml").write_text("[colector]\n")
    told = CliRunner().invoke(app, ["doctor", "--config", "bad.toml"])
    assert f"{name} sources check bad.toml" in told.stdout
