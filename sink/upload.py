"""The first step of a commit: takes a generation's tables, gives files that are durable and invisible.

Parquet is written in threads, a few files at a time; a table's buffers are given back when its file is sent.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from concurrent.futures import Executor
from typing import Final

from _native.columns import ColumnBuffers
from sink.entry import LandedFile
from sink.generation import Generation
from sink.keys import Table, file_key, hour_text
from sink.parquet import FileImage, write
from sink.store import Store, together

ATTEMPT_BYTES: Final = 5  # random, in hex in the file's key: at most a few attempts share a sequence
WRITES_MAX: Final = 2  # files of one lane in memory at the same time


class Uploads:
    """The files of one lane."""

    def __init__(self, store: Store, topic: str, lane: int, *, grace_us: int, threads: Executor) -> None:
        """`grace_us` placed the rows in their hours; files say so."""
        self._store = store
        self._topic = topic
        self._lane = lane
        self._grace_us = grace_us
        self._threads = threads
        self._writes = asyncio.Semaphore(WRITES_MAX)

    async def send(self, generation: Generation, sequence: int) -> tuple[LandedFile, ...]:
        """Every table as an invisible file of entry `sequence`. Suspends."""
        keys = sorted(generation.tables)
        works = [self._send_table(hour, quarantine, generation, sequence) for hour, quarantine in keys]
        return tuple(await together(works))

    async def send_again(self, file: LandedFile, sequence: int, buffers: ColumnBuffers) -> LandedFile:
        """A file that was lost, from rows that were read again, at the same key. Suspends."""
        return await self._send(buffers, file.key, file.hour, file.table, sequence)

    async def _send_table(
        self, hour: int, quarantine: bool, generation: Generation, sequence: int
    ) -> LandedFile:
        table: Table = "quarantine" if quarantine else "rows"
        attempt = secrets.token_hex(ATTEMPT_BYTES)
        key = file_key(self._topic, table, hour_text(hour), self._lane, sequence, attempt)
        async with self._writes:
            file = await self._send(
                generation.tables[hour, quarantine], key, hour_text(hour), table, sequence
            )
        del generation.tables[hour, quarantine]
        return file

    async def _send(
        self, buffers: ColumnBuffers, key: str, hour: str, table: Table, sequence: int
    ) -> LandedFile:
        footer = {"topic": self._topic, "lane": str(self._lane), "sequence": str(sequence)}
        footer["grace_us"] = str(self._grace_us)
        image = await self._write(buffers, footer)
        upload = await self._store.upload(key, memoryview(image.data), image.checksum)
        return LandedFile(
            key=key,
            bytes=image.data.size,
            rows=image.rows,
            sha256=image.checksum,
            table=table,
            hour=hour,
            received_us_min=image.received_us_min,
            received_us_max=image.received_us_max,
            offsets=image.spans,
            upload_id=upload.id,
            parts=upload.parts,
        )

    async def _write(self, buffers: ColumnBuffers, footer: Mapping[str, str]) -> FileImage:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, lambda: write(buffers, footer=footer))
