"""The commands that look and change nothing: takes what a person types, prints what the part that knows says.

What a command needs is imported when it runs, as pyarrow, DuckDB and aiokafka take longer to import than
`headrace --help` may last.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Literal

import orjson
import structlog
import typer
from rich.console import Console
from rich.markup import escape  # help texts are markup: what is in brackets would be a style

from headrace.errors import HeadraceError, SettingsError
from headrace.spelling import command
from headrace.whereabouts import find
from sink.errors import SinkError

Engine = Literal["duckdb", "spark", "athena"]

EXIT_NOT_PROVED = 1
EXIT_NOT_IN_ORDER = 1
EXIT_MENDABLE = 2
PIPED_COLUMNS = 140  # a pipe has no width of its own; names must not be broken in it

Config = Annotated[Path | None, typer.Option("--config", help="a headrace.toml", show_default=False)]
Data = Annotated[
    Path | None,
    typer.Option(
        "--data",
        help=escape("data directory of `headrace up` [default: ./headrace-data]"),
        show_default=False,
    ),
]
Lake = Annotated[
    str | None,
    typer.Option("--lake", help="s3://bucket/prefix, file:///path or a folder", show_default=False),
]
Kafka = Annotated[str | None, typer.Option("--kafka", help="HOST:PORT of a broker", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="for programs")]


def verify(
    config: Config = None,
    data: Data = None,
    lake: Lake = None,
    topic: Annotated[
        list[str] | None, typer.Option("--topic", help="only this topic; may be repeated")
    ] = None,
    kafka: Annotated[
        str | None, typer.Option("--kafka", help="HOST:PORT: compare with what Kafka has", show_default=False)
    ] = None,
    deep: Annotated[bool, typer.Option("--deep", help="read every row, and every byte")] = False,
    repair: Annotated[
        bool, typer.Option("--repair", help="make visible what was committed and is not visible")
    ] = False,
    json: Json = False,
) -> None:
    """Prove that the lake is complete, or list what is wrong. Exit code 0 only for proof."""
    from headrace import proof

    quiet()
    found = find(config, data, lake, kafka)
    place = found.lake()
    asked = found.kafka() if kafka else None
    try:
        with busy("files and logs are read"):
            proved = asyncio.run(proof.prove(place, asked, topic or None, deep=deep, repair=repair))
    except SinkError as error:
        if json:
            print_json(proof.broken(error))
            raise typer.Exit(EXIT_MENDABLE) from None
        raise HeadraceError(error.code, str(error), retriable=error.retriable) from error
    if json:
        print_json(orjson.dumps(proved.as_json(), option=orjson.OPT_INDENT_2))
    else:
        proof.show(proved, place, console())
    if not proved.report.proved:
        raise typer.Exit(EXIT_NOT_PROVED)


def query(
    sql: Annotated[
        str | None, typer.Argument(help="without it: the tables that there are", show_default=False)
    ] = None,
    config: Config = None,
    data: Data = None,
    lake: Lake = None,
    rows: Annotated[int, typer.Option("--rows", min=1, max=100_000, help="rows shown in the table")] = 40,
    json: Annotated[bool, typer.Option("--json", help="one JSON array, a row per line")] = False,
    csv: Annotated[bool, typer.Option("--csv", help="CSV with a header")] = False,
    ddl: Annotated[
        Engine | None,
        typer.Option("--ddl", help="print table definitions for that engine", show_default=False),
    ] = None,
) -> None:
    """Ask the lake in SQL (DuckDB): a view per topic, and <topic>_once without repeats of one event id."""
    from headrace import ddl as definitions
    from headrace import query as asking
    from headrace.lake_tables import find_tables, open_files

    found = find(config, data, lake)
    place = found.lake()
    files = open_files(place)
    promoted = {name: found.settings.topic(name).columns for name in found.settings.topic_names()}
    with busy("the lake is listed"):
        tables = find_tables(place, files, promoted)
    if ddl is not None:
        sys.stdout.write(definitions.define(ddl, place, tables))
        return
    with asking.connect(tables, files) as connection:
        if sql is None:
            again = command("query", config=config, data=data, lake=lake)
            asking.show_tables(connection, tables, place.url, console(), again)
        elif json:
            asking.print_json(connection, sql)
        elif csv:
            asking.print_csv(connection, sql)
        else:
            asking.print_table(connection, sql, console().width, rows)


def tail(
    source: Annotated[
        str | None, typer.Option("--source", help="only this source", show_default=False)
    ] = None,
    topic: Annotated[
        list[str] | None, typer.Option("--topic", help="only this topic; may be repeated", show_default=False)
    ] = None,
    config: Config = None,
    data: Data = None,
    kafka: Kafka = None,
    last: Annotated[
        int, typer.Option("--last", min=0, max=10_000, help="begin with this many that are there already")
    ] = 0,
    payload: Annotated[bool, typer.Option("--payload", help="show the event's own text, too")] = False,
    json: Annotated[bool, typer.Option("--json", help="one JSON object a line")] = False,
) -> None:
    """Events as they come in, as they are understood: ✓ accepted, ✗ quarantined, ? foreign. Ctrl-C ends."""
    from headrace import tail as following
    from headrace.kafka_client import client_options

    quiet()
    found = find(config, data, None, kafka)
    options = client_options(found.kafka())
    known = found.settings.topic_names() if found.settings.sources else None
    topics = topic or known
    with suppress(KeyboardInterrupt):
        asyncio.run(
            following.show(options, topics, console(), source=source, last=last, json=json, payload=payload)
        )


def show_source(
    name: Annotated[str, typer.Argument(help=escape("as in [sources.NAME]"))],
    sdk: Annotated[
        str | None,
        typer.Option("--sdk", help="only the text for this one, as segment-python", show_default=False),
    ] = None,
    keys: Annotated[bool, typer.Option("--keys", help="print the write key")] = False,
    url: Annotated[
        str | None, typer.Option("--url", help="how clients name the collector", show_default=False)
    ] = None,
    config: Config = None,
    data: Data = None,
) -> None:
    """What to paste into each SDK to send to this source."""
    from headrace import recipes

    watch = command("tail", source=name, config=config, data=data)
    recipes.show(find(config, data), name, console(), url=url, sdk=sdk, keys=keys, watch=watch)


def doctor(
    config: Config = None,
    data: Data = None,
    lake: Lake = None,
    kafka: Kafka = None,
    json: Json = False,
) -> None:
    """Try Kafka, lake, disks, clocks and rights; say what to do. Exit code 1: something must be mended."""
    from headrace import doctor as checks
    from headrace.checkup import Check

    quiet()
    screen = console()
    done: list[Check] = []

    def tell(check: Check) -> None:
        if not json:
            checks.show(check, done[-1] if done else None, screen)
        done.append(check)

    async def examine() -> None:
        async for check in checks.examine(find(config, data, lake, kafka), config):
            tell(check)

    try:
        asyncio.run(examine())
    except SettingsError as error:
        again = command("sources", "check", str(config)) if config else command("doctor")
        tell(Check("settings", "wrong", str(error), f"mend it; {again} reads it again"))
    if json:
        print_json(checks.as_json(done))
    else:
        checks.show_end(done, screen)
    if not checks.in_order(done):
        raise typer.Exit(EXIT_NOT_IN_ORDER)


def quiet() -> None:
    """What programs log is not for the terminal: a command says itself what is wrong."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)


@contextmanager
def busy(what: str) -> Iterator[None]:
    """Say on a terminal what takes a while; nothing in a pipe."""
    if not sys.stderr.isatty():
        yield
        return
    with Console(stderr=True).status(what):
        yield


def console() -> Console:
    """Where a person reads; in a pipe without colour, and wide enough for names."""
    return Console() if sys.stdout.isatty() else Console(width=PIPED_COLUMNS)


def print_json(document: bytes) -> None:
    """One JSON document on stdout."""
    sys.stdout.write(document.decode() + "\n")


def register(app: typer.Typer, sources: typer.Typer) -> None:
    """Put the commands where they are typed."""
    app.command("verify")(verify)
    app.command("query")(query)
    app.command("tail")(tail)
    app.command("doctor")(doctor)
    sources.command("show")(show_source)
