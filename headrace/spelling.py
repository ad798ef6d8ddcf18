"""How a person types this program where they stand: what prints a command to copy asks here."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import Final

NAME: Final = "headrace"


def command(*words: str, **options: Path | str | None) -> str:
    """A command to copy; options that were not given (None) are left out."""
    told = [
        word for name, value in options.items() if value is not None for word in (f"--{name}", str(value))
    ]
    return " ".join([spelled(), *(shlex.quote(word) for word in (*words, *told))])


def spelled(script: str | None = None) -> str:
    """`headrace` where PATH finds this very program, else its path, from the current folder if shorter so.

    `script`: the program that runs (by default this one; where Python was called otherwise, the one beside
    Python).
    """
    running = Path(script if script is not None else sys.argv[0])
    if running.name != NAME:
        running = Path(sys.executable).parent / NAME
    if not running.is_file():
        return NAME
    found = shutil.which(NAME)
    if found is not None and running.samefile(found):
        return NAME
    whole = str(running.absolute())  # not resolved: a link is what the person knows
    near = os.path.relpath(whole)
    near = near if os.sep in near else f"{os.curdir}{os.sep}{near}"
    return shlex.quote(min(near, whole, key=len))
