"""`headrace doctor`: takes where everything is and tries it, gives what is in order, what not, what to do."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final
from urllib.parse import unquote

import orjson
from rich.console import Console
from rich.text import Text

from headrace.checkup import Area, Check
from headrace.doctor_kafka import check_kafka
from headrace.doctor_lake import check_lake
from headrace.doctor_machine import check_disk, check_program, check_settings
from headrace.whereabouts import Whereabouts

MARKS: Final = {"ok": ("✓", "green"), "note": ("!", "yellow"), "wrong": ("✗", "red")}


async def examine(found: Whereabouts, config: Path | None) -> AsyncIterator[Check]:
    """Every check, as it is done. Suspends; what can't be tried is a check that says so."""
    settings = found.settings
    yield check_program()
    for check in check_settings(settings, config):
        yield check
    for check in _disk_checks(found):
        yield check
    if found.kafka_servers:
        async for check in check_kafka(found.kafka(), topics_of(found)):
            yield check
    else:
        yield Check(
            "kafka", "note", "not tried: no Kafka is named", "--kafka HOST:PORT, --config or --data DIR"
        )
    if found.lake_url:
        lanes = {name: settings.topic(name).lanes for name in topics_of(found)}
        for check in await check_lake(found.lake(), lanes):
            yield check
    else:
        yield Check("lake", "note", "not tried: no lake is named", "--lake URL, --config or --data DIR")


def topics_of(found: Whereabouts) -> Sequence[str]:
    """The topics of the settings; without any source those of `headrace up`."""
    names = found.settings.topic_names()
    return names if found.settings.sources else ("events", *names)


def _disk_checks(found: Whereabouts) -> list[Check]:
    folders: list[tuple[Area, str, Path]] = []
    if found.data is not None:
        folders.append(("disk", "data directory", found.data.absolute()))
    if found.settings.spool.dir is not None:
        folders.append(("disk", "spool (not used yet)", found.settings.spool.dir.absolute()))
    if found.lake_url.startswith("file://"):
        lake = Path(unquote(found.lake_url.removeprefix("file://")))
        if found.data is None or found.data.absolute() not in lake.parents:
            folders.append(("disk", "lake", lake))
    return [check for area, what, folder in folders for check in check_disk(area, what, folder, local=True)]


def as_json(checks: Sequence[Check]) -> bytes:
    """`{"ok": bool, "checks": [{"area", "state": "ok"|"note"|"wrong", "text", "todo"}]}`"""
    told = {"ok": in_order(checks), "checks": [asdict(check) for check in checks]}
    return orjson.dumps(told, option=orjson.OPT_INDENT_2)


def in_order(checks: Sequence[Check]) -> bool:
    """Whether nothing must be mended."""
    return all(check.state != "wrong" for check in checks)


def show(check: Check, before: Check | None, console: Console) -> None:
    """One check in a terminal, under its area's name."""
    area = check.area if before is None or before.area != check.area else ""
    mark, style = MARKS[check.state]
    text = Text.assemble((f"{area:<9} ", "bold"), (f"{mark} ", style), check.text)
    console.print(text, soft_wrap=True)
    if check.todo:
        console.print(Text.assemble(" " * 12, ("→ ", style), (check.todo, "dim")), soft_wrap=True)


def show_end(checks: Sequence[Check], console: Console) -> None:
    """The last line."""
    wrong = sum(check.state == "wrong" for check in checks)
    notes = sum(check.state == "note" for check in checks)
    console.print()
    if wrong:
        console.print(f"[red]✗ {wrong} of {len(checks)} checks must be mended.[/red]", highlight=False)
    else:
        told = f", {notes} to know" if notes else ""
        console.print(f"[green]✓ In order[/green]: {len(checks)} checks{told}.", highlight=False)
