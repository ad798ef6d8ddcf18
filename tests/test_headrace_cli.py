"""The command line, run as a person runs it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from rich.text import Text

from headrace.cli import app


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


def commands(group: Any, *words: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, *words, name)
        yield (*words, name), command


def test_help_shows_what_stands_in_brackets() -> None:
    assert "as in [sources.NAME]" in headrace("sources", "show", "--help").stdout
    verify = headrace("verify", "--help").stdout.replace("│", "")
    assert "[default: ./headrace-data]" in " ".join(verify.split())


def test_no_help_text_loses_words_as_markup() -> None:
    texts = [
        (words, text)
        for words, command in commands(typer.main.get_command(app))
        for text in (command.help, *(getattr(one, "help", None) for one in command.params))
        if text
    ]
    assert len(texts) > 30
    for words, text in texts:
        assert Text.from_markup(text).plain == text.replace("\\[", "["), words


def test_a_mistake_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    path = tmp_path / "headrace.toml"
    path.write_text("[collector]\nprot = 1\n")
    got = headrace("sources", "check", str(path))
    assert got.returncode == 2
    assert got.stderr.count("\n") == 1
    assert "collector.prot" in got.stderr


def test_a_file_without_sources_is_valid_and_accepts_nothing(tmp_path: Path) -> None:
    path = tmp_path / "headrace.toml"
    path.write_text("[collector]\nport = 1\n")
    got = headrace("sources", "check", str(path))
    assert got.returncode == 0
    assert "nothing is accepted" in got.stdout


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    got = headrace("sources", "check", str(tmp_path / "none.toml"))
    assert got.returncode == 2
    assert "none.toml" in got.stderr
    assert "Traceback" not in got.stderr
