"""The bytes: Python twins (the specification) and Cython twins; a chooser names each pair.

HEADRACE_NO_EXTENSIONS=1 forces the Python twins.
"""

from __future__ import annotations

import os
import warnings


def wants_extensions() -> bool:
    """Whether a chooser should try its Cython twin."""
    return os.environ.get("HEADRACE_NO_EXTENSIONS") != "1"  # style: which twin is decided before any settings


def missing(name: str) -> None:
    """Say loudly that a twin was not built; the Python twin serves, slowly."""
    warnings.warn(f"{name} is not built: the slow Python twin serves", RuntimeWarning, stacklevel=3)
