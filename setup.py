"""Builds the Cython twins of `_native`; everything else about the package stands in pyproject.toml."""

from __future__ import annotations

from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

SOURCES = sorted(str(path) for path in Path("_native").glob("*.pyx"))

setup(
    ext_modules=cythonize(
        [
            Extension(
                source.removesuffix(".pyx").replace("/", "."),
                [source],
                extra_compile_args=["-O3", "-std=c11"],
                include_dirs=["_native"],
            )
            for source in SOURCES
        ],
        language_level=3,
    ),
)
