"""scan_simd.h: each way of it (SSE2 or NEON, plain C) says of any bytes what the definition says."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from _native.scan_c import WAY

NATIVE = Path(__file__).resolve().parent.parent / "_native"
# Every byte at every place among ordinary ones, then blocks of chance; the lowest stop must be the first one.
DRIVER = r"""
#include <stdio.h>
#include <stdlib.h>
#include "scan_simd.h"

static int special(unsigned char b) { return b == '"' || b == '\\' || b < 0x20 || b >= 0x80; }
static int high(unsigned char b) { return b >= 0x80; }
static int black(unsigned char b) { return b != ' ' && b != '\n' && b != '\t' && b != '\r'; }

static int first_of(int (*stops)(unsigned char), const unsigned char *block) {
    for (int at = 0; at < HEADRACE_STEP; at++)
        if (stops(block[at]))
            return at;
    return -1;
}

static void check(const unsigned char *block) {
    headrace_mask masks[3] = {headrace_specials(block), headrace_highs(block), headrace_blacks(block)};
    int wanted[3] = {first_of(special, block), first_of(high, block), first_of(black, block)};
    for (int way = 0; way < 3; way++)
        if ((masks[way] ? headrace_first(masks[way]) : -1) != wanted[way]) {
            printf("function %d wanted %d\n", way, wanted[way]);
            exit(1);
        }
}

int main(void) {
    unsigned long long chance = 0x9E3779B97F4A7C15ull;
    for (int size = 0; size < 2; size++)
        for (int byte = 0; byte < 256; byte++)
            for (int at = 0; at < HEADRACE_STEP; at++) {
                /* exactly as many bytes as one step may look at, so that the sanitizer sees a read beyond */
                unsigned char *block = malloc(HEADRACE_STEP);
                memset(block, size ? ' ' : 'x', HEADRACE_STEP);
                block[at] = (unsigned char)byte;
                check(block);
                free(block);
            }
    for (int round = 0; round < 200000; round++) {
        unsigned char block[HEADRACE_STEP];
        for (int at = 0; at < HEADRACE_STEP; at++) {
            chance = chance * 6364136223846793005ull + 1442695040888963407ull;
            block[at] = (unsigned char)(chance >> 56);
            if (round & 1)
                block[at] = "\"\\ \n\t\r\x1f\x20\x7f\x80\xff" "ab09"[(chance >> 33) % 15];
        }
        check(block);
    }
    puts(HEADRACE_SCAN_WAY);
    return 0;
}
"""


@pytest.mark.parametrize("plain", [False, True], ids=["own", "plain"])
def test_every_way_finds_the_first_byte_that_stops(tmp_path: Path, plain: bool) -> None:
    compiler = os.environ.get("CC") or shutil.which("cc")
    assert compiler, "the extensions were built with a C compiler, so there is one"
    source, program = tmp_path / "driver.c", tmp_path / "driver"
    source.write_text(DRIVER)
    flags = ["-O1", "-std=c11", "-Wall", "-Werror", f"-I{NATIVE}"]
    if plain:
        flags.append("-DHEADRACE_SCAN_PLAIN")
    subprocess.run([*compiler.split(), *flags, str(source), "-o", str(program)], check=True, timeout=60)
    done = subprocess.run([program], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout
    assert done.stdout.strip() == ("plain" if plain else WAY)
