"""The command line: each command reads the settings, starts a program or asks one, and says the answer.

An error that a person can mend is one line on stderr that says what to do, and exit code 2.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Column, Table

from headrace import commands
from headrace.errors import HeadraceError
from headrace.settings import Settings, load
from headrace.stack import commands as programs
from ingest.ack_level import differences, reached

EXIT_MENDABLE = 2
PIPED_COLUMNS = 140  # a pipe has no width of its own; names must not be broken in it

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Clickstream in over HTTP, out as Parquet."
)
sources = typer.Typer(no_args_is_help=True, help="What sends, and what a configuration means.")
app.add_typer(sources, name="sources")
programs.register(app)
commands.register(app, sources)


@sources.command("check")
def check(file: Annotated[Path, typer.Argument(help="a headrace.toml")]) -> None:
    """Read a configuration as the programs would, and say what it means."""
    settings = load(file)
    console = Console() if sys.stdout.isatty() else Console(width=PIPED_COLUMNS)
    if not settings.sources:
        words = "No source: nothing is accepted until there is a [sources.NAME] (`up` alone makes one, demo)."
        console.print(words, highlight=False, markup=False, soft_wrap=True)
    console.print(sources_table(settings), topics_table(settings))
    for words in differences(settings.sources):
        console.print(words, highlight=False, markup=False, soft_wrap=True)


def sources_table(settings: Settings) -> Table:
    """One row a source, with what is reached now; keys are counted, never shown."""
    table = Table(named("source"), "keys", "topic", "ack", "on outage", "origins", title="Sources")
    for name, source in settings.sources.items():
        keys = str(len(source.write_keys)) if source.write_keys else "none needed"
        now = reached(source)
        outage = "503" if now.on_outage == "refuse" else now.on_outage
        table.add_row(name, keys, source.topic, now.ack, outage, ", ".join(source.origins))
    return table


def topics_table(settings: Settings) -> Table:
    """One row a topic that events may go to."""
    table = Table(
        "topic", "partitions", "lanes", "retention", "visible after", "promoted columns", title="Topics"
    )
    for name in settings.topic_names():
        topic = settings.topic(name)
        promoted = ", ".join(f"{column} {what.type}" for column, what in topic.columns.items()) or "-"
        visible = f"{topic.roll_seconds:g} s or {topic.roll_bytes >> 20} MiB"
        table.add_row(
            name, str(topic.partitions), str(topic.lanes), f"{topic.retention_hours} h", visible, promoted
        )
    return table


def named(title: str) -> Column:
    """A column of names, which are never broken."""
    return Column(title, no_wrap=True, overflow="fold")


@app.callback()
def root() -> None:
    """Headrace."""


def main() -> None:
    """The console script."""
    try:
        app()
    except HeadraceError as error:
        sys.stderr.write(f"headrace: {error}\n")
        raise SystemExit(EXIT_MENDABLE) from None
