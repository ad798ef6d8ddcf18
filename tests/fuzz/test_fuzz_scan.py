"""The fuzz target of the scan, run shortly: as it is, and under the sanitizers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from fuzz_scan import SEEDS, TOKENS, one_input
from mutation import at_end, mutate

HERE = Path(__file__).parent


def test_a_thousand_changed_inputs_are_seen_alike_by_both_twins() -> None:
    assert mutate(one_input, SEEDS, TOKENS, seconds=0.5, seed=1) > len(SEEDS)


def test_an_input_that_the_target_refuses_is_told_with_its_seed(capsys: pytest.CaptureFixture[str]) -> None:
    def refuses(data: bytes) -> None:
        assert b"7" not in data

    with pytest.raises(AssertionError):
        mutate(refuses, [b"1", b"6"], [b"7"], seconds=20, seed=5)
    assert "found with --seed 5" in capsys.readouterr().err


def test_what_is_laid_at_the_end_of_memory_is_the_same() -> None:
    assert [at_end(data).tobytes() for data in (b"", b"a", b"b" * 99)] == [b"", b"a", b"b" * 99]


@pytest.mark.timeout(600)
def test_nothing_is_found_under_the_address_sanitizer() -> None:
    command = [sys.executable, HERE / "sanitized.py", "fuzz_scan.py", "--seconds", "15"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr[-4000:]
    assert "nothing found" in done.stdout
