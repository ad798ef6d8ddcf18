"""The command line, run as a person runs it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def headrace(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from headrace.cli import main; main()", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_check_says_what_a_configuration_means_and_shows_no_key(tmp_path: Path) -> None:
    path = tmp_path / "headrace.toml"
    path.write_text(
        '[sources.web]\nwrite_keys = ["hush", "hush2"]\ntopic = "clicks"\n[topics.clicks]\nlanes = 3\n'
    )
    got = headrace("sources", "check", str(path))
    assert got.returncode == 0, got.stderr
    assert "web" in got.stdout
    assert "clicks" in got.stdout
    assert "headrace.quarantine" in got.stdout
    assert "hush" not in got.stdout + got.stderr


def test_a_mistake_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    path = tmp_path / "headrace.toml"
    path.write_text("[collector]\nprot = 1\n")
    got = headrace("sources", "check", str(path))
    assert got.returncode == 2
    assert got.stderr.count("\n") == 1
    assert "collector.prot" in got.stderr


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    got = headrace("sources", "check", str(tmp_path / "none.toml"))
    assert got.returncode == 2
    assert "none.toml" in got.stderr
    assert "Traceback" not in got.stderr
