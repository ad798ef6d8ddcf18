"""Runs a fuzz target with Cython twins that were built with the address and undefined-behaviour sanitizers.

    python tests/fuzz/sanitized.py TARGET.py [options of the target]

The twins that the target names, and those that they take from, are built into a directory of their own;
nothing of the checkout changes. The compiler is CC, or cc; with `--atheris` it is CC, or clang, which
instruments them for coverage as well.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).resolve().parent
NATIVE: Final = HERE.parents[1] / "_native"
BUILD_SECONDS_MAX: Final = 600
TWIN: Final = re.compile(r"\b[a-z_]+_c\b")
TAKEN: Final = re.compile(r"^from _native\.([a-z_0-9]+) c?import", re.MULTILINE)


def twins(target: Path) -> list[str]:
    """The twins that the target names and all that they take from, be it by a .pxd alone."""
    waiting, seen = set(TWIN.findall(target.read_text())), set()
    while waiting:
        name = waiting.pop()
        seen.add(name)
        sources = [NATIVE / f"{name}{suffix}" for suffix in (".pyx", ".pxd")]
        taken = {found for path in sources if path.exists() for found in TAKEN.findall(path.read_text())}
        waiting |= taken - seen
    return sorted(name for name in seen if (NATIVE / f"{name}.pyx").exists())


def build(target: Path, compiler: str, guided: bool) -> Path:
    """Builds the target's twins, unless that was done from the same sources; gives where they are."""
    sanitizers = "-fsanitize=address,undefined" + (",fuzzer-no-link" if guided else "")
    flags = f"-O1 -g -std=c11 -I_native -fno-omit-frame-pointer -fno-sanitize-recover=undefined {sanitizers}"
    copied = sorted(path for path in NATIVE.iterdir() if path.suffix in {".py", ".pyx", ".pxd", ".h"})
    modules = [f"_native/{name}.pyx" for name in twins(target)]
    sums = hashlib.sha256(repr((sys.version, compiler, flags, modules)).encode())
    for path in copied:
        sums.update(path.name.encode() + b"\0" + path.read_bytes())
    place = Path(tempfile.gettempdir()) / f"headrace-sanitized-{os.getuid()}" / sums.hexdigest()[:16]
    if not (place / "built").exists():
        shutil.rmtree(place, ignore_errors=True)
        (place / "_native").mkdir(parents=True)
        for path in copied:
            shutil.copy(path, place / "_native" / path.name)
        subprocess.run(
            [sys.executable, "-m", "Cython.Build.Cythonize", "-q", "-i", "-3", *modules],
            cwd=place,
            env={**os.environ, "CC": compiler, "CFLAGS": flags, "LDFLAGS": sanitizers},
            check=True,
            timeout=BUILD_SECONDS_MAX,
        )
        (place / "built").touch()
    return place


def runtime(compiler: str, guided: bool) -> str:
    """The sanitizer's library, which has to be in the process before the twins are."""
    if guided:
        import atheris

        return str(Path(atheris.path()) / "asan_with_fuzzer.so")
    for name in ("libasan.so", f"libclang_rt.asan-{os.uname().machine}.so"):
        asked = [*compiler.split(), f"-print-file-name={name}"]
        found = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
        if os.path.isabs(found):
            return found
    raise SystemExit(f"expected {compiler} to have the address sanitizer's library, it has none")


def main() -> None:
    if len(sys.argv) < 2:
        raise SystemExit(__doc__)
    target = HERE / sys.argv[1]
    guided = "--atheris" in sys.argv
    compiler = os.environ.get("CC") or ("clang" if guided else "cc")
    place = build(target, compiler, guided)
    env = {
        **os.environ,
        "PYTHONPATH": str(place),
        "LD_PRELOAD": runtime(compiler, guided),
        "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1",  # the interpreter leaves blocks behind
        "PYTHONMALLOC": "malloc",
        "HEADRACE_SANITIZED": str(place),
    }
    os.execve(sys.executable, [sys.executable, str(target), *sys.argv[2:]], env)


if __name__ == "__main__":
    main()
