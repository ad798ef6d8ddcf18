"""The programs that a supervisor runs: takes settings, sockets and folders, gives their command lines."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from socket import socket
from typing import Final

from headrace import handover
from headrace.settings import Settings
from headrace.stack import broker as kafka
from headrace.stack.broker import Broker
from headrace.stack.log_file import LogFile
from headrace.stack.measures import VARIABLE
from headrace.stack.process import Program

COLLECTOR_STOP_SECONDS: Final = 8.0  # beyond produce_timeout_seconds: to answer what runs, flush and end
SINK_STOP_SECONDS: Final = 12.0  # it lands what it holds within 10 s
KAFKA_STOP_SECONDS: Final = 10.0  # 0.4 s measured


def collectors(
    settings: Settings, listeners: Sequence[socket], measures: Path, logs: Path | None
) -> list[Program]:
    """One worker a socket. `logs`: the folder of their logs; None: stderr is shared."""
    document = handover.dump("collector", settings)
    stop_seconds = settings.kafka.produce_timeout_seconds + COLLECTOR_STOP_SECONDS
    return [
        Program(
            "collector",
            slot,
            _child("collector"),
            stop_seconds,
            stdin=document,
            env=_environment(measures),
            listener=listener,
            log=_log(logs, f"collector-{slot}.log"),
        )
        for slot, listener in enumerate(listeners)
    ]


def sink(settings: Settings, measures: Path, logs: Path | None) -> Program:
    """The one sink."""
    return Program(
        "sink",
        0,
        _child("sink"),
        SINK_STOP_SECONDS,
        stdin=handover.dump("sink", settings),
        env=_environment(measures),
        log=_log(logs, "sink.log"),
    )


def own_kafka(broker: Broker, logs: Path) -> Program:
    """Kafka of the one-machine stack; its own log is beside its data, here comes what the JVM says."""

    async def answers() -> bool:
        return await kafka.answering("127.0.0.1", broker.ports.broker)

    return Program(
        "kafka",
        0,
        broker.argv(),
        KAFKA_STOP_SECONDS,
        env=broker.env(),
        log=_log(logs, "kafka.log"),
        probe=answers,
        explain=lambda: str(kafka.diagnosis(broker)),
    )


def _child(role: str) -> list[str]:
    return [sys.executable, "-m", "headrace.child", role, "--supervisor", str(os.getpid())]


def _environment(measures: Path) -> dict[str, str]:
    return {**os.environ, VARIABLE: str(measures)}  # style: a child inherits the environment


def _log(folder: Path | None, name: str) -> LogFile | None:
    return None if folder is None else LogFile(folder / name)
