"""Drives a fuzz target: seeds, changed by chance for some seconds, or by atheris where it is installed.

A target is a function of bytes that raises (AssertionError, mostly) where something is wrong. The bytes that
did it are printed, and so is the random seed: `--seed N` gives the same inputs again.
"""

from __future__ import annotations

import argparse
import ctypes
import random
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

Target = Callable[[bytes], None]
CHANGES_MAX = 6
INPUT_BYTES_MAX = 4096
POOL_MAX = 4096


def at_end(data: bytes) -> Any:
    """Data at the very end of a block of memory, so that a sanitizer sees any read beyond it. (Behind
    bytes there is a NUL, an array has room to grow, and ctypes keeps up to 16 bytes within the object.)"""
    return memoryview((ctypes.c_ubyte * (32 + len(data))).from_buffer_copy(bytes(32) + data))[32:]


def changed(chance: random.Random, data: bytes, pool: Sequence[bytes], tokens: Sequence[bytes]) -> bytes:
    """One change: a byte, a token, a cut, an early end, a repetition or a piece of another input."""
    at, end = sorted((chance.randint(0, len(data)), chance.randint(0, len(data))))
    kind = chance.randrange(8)
    if kind == 0:
        return data[:at] + bytes((chance.randrange(256),)) + data[at + 1 :]
    if kind == 1:
        return data[:at] + chance.choice(tokens) + data[at:]
    if kind == 2:
        return data[:at] + chance.choice(tokens) + data[end:]
    if kind == 3:
        return data[:at] + data[min(end, at + chance.randint(1, 8)) :]
    if kind == 4:
        return data[:at] + data[at : at + 40] * chance.randint(1, 4) + data[at:]
    if kind == 5:
        other = chance.choice(pool)
        first = chance.randint(0, len(other))
        return data[:at] + other[first : first + 64] + data[end:]
    if kind == 6 or at == len(data):
        return data[:at]
    return data[:at] + bytes((data[at] ^ 1 << chance.randrange(8),)) + data[at + 1 :]


def mutate(target: Target, seeds: Sequence[bytes], tokens: Sequence[bytes], seconds: float, seed: int) -> int:
    """Runs target on the seeds, then on changed ones until the time is over; gives how many inputs it saw."""
    chance, pool = random.Random(seed), list(seeds)
    until, count = time.monotonic() + seconds, 0
    for data in seeds:
        _try(target, data, seed)
        count += 1
    while time.monotonic() < until:
        data = chance.choice(pool)
        for _ in range(chance.randint(1, CHANGES_MAX)):
            data = changed(chance, data, pool, tokens)[:INPUT_BYTES_MAX]
        _try(target, data, seed)
        count += 1
        if chance.random() < 0.02:  # some live on, so that changes add up
            pool.append(data) if len(pool) < POOL_MAX else pool.__setitem__(chance.randrange(POOL_MAX), data)
    return count


def _try(target: Target, data: bytes, seed: int) -> None:
    try:
        target(data)
    except BaseException:
        print(f"found with --seed {seed}, input {data!r}", file=sys.stderr)
        raise


def main(target: Target, seeds: Sequence[bytes], tokens: Sequence[bytes]) -> None:
    """The command line of a target; what stands after `--atheris` goes to libFuzzer."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--atheris", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    if options.atheris is not None:
        import atheris

        atheris.Setup([sys.argv[0], *options.atheris], target)
        atheris.Fuzz()
        return
    seed = random.SystemRandom().randrange(2**32) if options.seed is None else options.seed
    count = mutate(target, seeds, tokens, options.seconds, seed)
    print(f"{count} inputs in {options.seconds:.0f} s, seed {seed}, nothing found")
