"""The commands that start programs: takes what a person types, runs `up`, `collect` or `sink`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from headrace.settings import load
from headrace.stack.filling import DATA_DEFAULT, Options

Config = Annotated[Path, typer.Option("--config", help="a headrace.toml")]


def up(
    config: Annotated[
        Path | None, typer.Option("--config", help="a headrace.toml; what it leaves out is filled in")
    ] = None,
    data: Annotated[Path, typer.Option("--data", help="folder of Kafka, lake and logs")] = DATA_DEFAULT,
    port: Annotated[
        int | None,
        typer.Option(
            "--port", min=0, max=65535, help="port of the SDK paths; 8080 unless the file says another"
        ),
    ] = None,
    kafka: Annotated[
        str | None, typer.Option("--kafka", help="HOST:PORT of a Kafka that runs already")
    ] = None,
    lake: Annotated[
        str | None, typer.Option("--lake", help="s3://bucket/prefix, file:///path or a folder")
    ] = None,
    demo: Annotated[bool, typer.Option("--demo", help="send a small stream of realistic sessions")] = False,
    ready_file: Annotated[
        Path | None, typer.Option("--ready-file", help="JSON for scripts, written once all is ready")
    ] = None,
) -> None:
    """Everything on this machine: Kafka, collector and sink. Ctrl-C drains and ends."""
    from headrace.stack.up import up as run

    run(Options(config, data, port, kafka, lake, demo, ready_file))


def collect(config: Config) -> None:
    """The collector alone, as in production: HTTP in, an outside Kafka out."""
    from headrace.stack import service

    service.collect(load(config))


def sink(config: Config) -> None:
    """The sink alone, as in production: an outside Kafka in, the lake out."""
    from headrace.stack import service

    service.sink(load(config))


def register(app: typer.Typer) -> None:
    """Put the commands where they are typed."""
    for command in (up, collect, sink):
        app.command()(command)
