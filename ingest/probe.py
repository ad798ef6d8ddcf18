"""Beside produce: is Kafka there? Takes the client of a producer, gives None, or why no broker answers.

All brokers are asked at once, so that one that hangs does not use up the time of the others.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from aiokafka.client import ConnectionGroup
from aiokafka.errors import KafkaError
from aiokafka.protocol.metadata import MetadataRequest

from ingest.aiokafka_producer import said

SILENCE_SECONDS_MAX: Final = 3.0  # Kafka counts as down when it answers nothing for so long while asked


class Probe:
    """Asks for the list of brokers, on connections of its own; one question to a broker is out at a time."""

    def __init__(self, client: Any, tasks: asyncio.TaskGroup) -> None:
        """`client`: of aiokafka. Questions still out belong to `tasks`; `end` gives them up."""
        self._client = client
        self._tasks = tasks
        self._asked: dict[int, asyncio.Task[str]] = {}

    async def obstacle(self) -> str | None:
        """None as soon as one broker answers, else why the first did not, after SILENCE_SECONDS_MAX."""
        nodes = sorted(broker.nodeId for broker in self._client.cluster.brokers())
        self._asked = {
            node: self._asked[node]
            if node in self._asked and not self._asked[node].done()
            else self._tasks.create_task(self._ask(node), name=f"probe {node}")
            for node in nodes
        }
        waiting = set(self._asked.values())
        while waiting:
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if any(not task.result() for task in done):
                return None
        return self._asked[nodes[0]].result() if nodes else "no broker is known"

    def end(self) -> None:
        """Give up what is still out."""
        for task in self._asked.values():
            task.cancel()

    async def _ask(self, node: int) -> str:
        """Why the broker does not answer; empty where it does."""
        try:
            async with asyncio.timeout(SILENCE_SECONDS_MAX):
                await self._client.send(node, MetadataRequest([]), group=ConnectionGroup.COORDINATION)
        except TimeoutError:
            return f"broker {node} does not answer within {SILENCE_SECONDS_MAX:g} s"
        except (KafkaError, OSError) as error:
            return f"broker {node}: {said(error)}"
        return ""
