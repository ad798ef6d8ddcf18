"""The world of the protocol's model: a store in memory whose every change waits to be let, and writers.

Writers run the sink's own code (lane, guard, log check, rebuild, sweep); only time, Parquet and the loop of a
landing are left out. What a change becomes is decided when it is let: done, done without an answer, or a put
that arrives later, if ever. A writer may be killed or left waiting at any change for as long as one likes.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Coroutine
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
from log_stand import ScriptedLog

from _native.columns import ColumnBuffers, Decoder
from sink.commit_log import Lost
from sink.errors import SinkError, StoreError
from sink.guard import Guard
from sink.lane import Lane
from sink.log_check import new_epochs
from sink.parquet import FileImage
from sink.rebuild import rebuild
from sink.store import Completion, Created, Exists, Head, Listed, Upload
from sink.table import wrap

GRACE_US = 300_000_000
BYTES_MAX = 1 << 24
SPINS = 60  # turns of the loop in which all writers come to their next change


class Inline(Executor):
    """Threads that are none."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - kept, as an executor does
            future.set_exception(error)
        return future


def write_rows(buffers: ColumnBuffers, *, footer: Any) -> FileImage:
    """In the place of Parquet: the identity and payload of each row as JSON."""
    names = ["kafka_incarnation", "kafka_partition", "kafka_offset", "payload"]
    rows = list(zip(*(column.to_pylist() for column in wrap(buffers).select(names).columns), strict=True))
    data = json.dumps({"rows": rows, "footer": dict(footer)}).encode()
    checksum = hashlib.sha256(data).hexdigest()
    return FileImage(pa.py_buffer(data), buffers.rows, checksum, 0, 0, dict(buffers.spans))


class Source(ScriptedLog):
    """Never waits: when there is nothing, it says so."""

    async def next(self, offsets: Any) -> Any:
        return [self._fetched(number, offset) for number, offset in offsets.items()]


@dataclass
class Change:
    """Something that a writer is about to do."""

    writer: str
    what: str
    key: str
    let: asyncio.Future[str]


@dataclass
class World:
    log: Source = field(default_factory=lambda: Source(2))
    objects: dict[str, bytes] = field(default_factory=dict)
    sums: dict[str, str] = field(default_factory=dict)
    uploads: dict[str, tuple[str, bytes, str]] = field(default_factory=dict)
    late: list[tuple[str, bytes]] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    made: int = 0
    overwrites: bool = False
    """A store that does not keep If-None-Match, to see what then happens."""

    def create(self, key: str, data: bytes) -> bytes:
        """What the key holds afterwards."""
        if self.overwrites or key not in self.objects:
            self.objects[key] = data
        return self.objects[key]

    def rows(self) -> list[tuple[int, int, int, str]]:
        """Of all visible files, as a reader of the listing sees them."""
        found: list[tuple[int, int, int, str]] = []
        for key, data in self.objects.items():
            if not key.startswith("_headrace/"):
                found += [tuple(row) for row in json.loads(data)["rows"]]
        return found


class WriterStore:
    """The world's store as one writer sees it."""

    url = "memory"

    def __init__(self, world: World, writer: str) -> None:
        self.world = world
        self.writer = writer

    async def turn(self, what: str, key: str = "") -> str:
        let = asyncio.get_running_loop().create_future()
        change = Change(self.writer, what, key, let)
        self.world.changes.append(change)
        try:
            return str(await let)
        finally:
            if change in self.world.changes:
                self.world.changes.remove(change)

    async def create_once(self, key: str, data: bytes) -> Created | Exists:
        how = await self.turn("create", key)
        if how == "late":
            self.world.late.append((key, data))
        else:
            found = self.world.create(key, data)
        if how != "done":
            raise StoreError("store_unavailable", "no answer", retriable=True)
        return Created() if found == data else Exists(found)

    async def settle(self, key: str) -> None:
        assert key in self.world.objects

    async def upload(self, key: str, data: Any, sha256: str) -> Upload:
        how = await self.turn("upload", key)
        self.world.made += 1
        upload = Upload(key, str(self.world.made))
        self.world.uploads[upload.id] = (key, bytes(data), sha256)
        if how != "done":
            raise StoreError("store_unavailable", "no answer", retriable=True)
        return upload

    async def complete(self, upload: Upload) -> Completion:
        how = await self.turn("complete", upload.key)
        found = self.world.uploads.pop(upload.id, None)
        if found is not None:
            self.world.objects[upload.key], self.world.sums[upload.key] = found[1], found[2]
        if how != "done":
            raise StoreError("store_unavailable", "no answer", retriable=True)
        return "completed" if found else "gone"

    async def abort(self, upload: Upload) -> None:
        await self.turn("abort", upload.key)
        self.world.uploads.pop(upload.id, None)

    async def head(self, key: str) -> Head | None:
        data = self.world.objects.get(key)
        return None if data is None else Head(len(data), self.world.sums.get(key))

    async def read(self, key: str) -> bytes | None:
        return self.world.objects.get(key)

    async def list(self, prefix: str, after: str = "") -> AsyncIterator[Listed]:
        if prefix.startswith("_headrace/commits/"):
            await self.turn("read the log")
        for key in sorted(self.world.objects):
            if key.startswith(prefix) and key > after:
                yield Listed(key, len(self.world.objects[key]))

    async def uploads(self, prefix: str) -> AsyncIterator[Upload]:
        for id_, (key, _, _) in list(self.world.uploads.items()):
            if key.startswith(prefix):
                yield Upload(key, id_)


class Writer:
    """A sink that believes that it owns the lane."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.store: Any = WriterStore(world, name)
        self.lane = Lane(
            self.store, "events", 0, 1, grace_us=GRACE_US, writer=name, now_us=self._now, threads=Inline()
        )
        self.guard = Guard(self.lane, world.log, "record")
        self.decoder = Decoder(self.lane.table_of, grace_us=GRACE_US, record_bytes_max=BYTES_MAX)

    def _now(self) -> int:
        self.world.made += 1
        return self.world.made

    async def run(self) -> None:
        while True:
            await self.store.turn("take")
            try:
                await self._land()
            except SinkError:
                self.lane.drop()

    async def _land(self) -> None:
        log, lane = self.world.log, self.lane
        topic_id = await log.id()
        assert topic_id is not None
        positions = await lane.take(topic_id, await log.first_offsets(log.partitions))
        topic_id = await log.id()
        assert topic_id is not None
        found = await self.guard.look(topic_id, positions)
        if lane.lost:
            await rebuild(lane, log, log, found, columns=(), threads=Inline(), record_bytes_max=BYTES_MAX)
            return
        if found:
            await self.guard.record(topic_id, found)
            return
        while lane.taken:
            await self.store.turn("fetch")
            await self._feed()
            if lane.opened_us is None:
                continue
            if await self.store.turn("feed more, or commit") == "done":
                # The topic's id is read after the last fetch; from then on the writer may hang.
                topic_id = await log.id()
                assert topic_id is not None
                if isinstance(await lane.commit(topic_id), Lost):
                    return

    async def _feed(self) -> None:
        lane = self.lane
        offsets = {at: lane.position(at).next for at in self.world.log.partitions}
        for fetched in await self.world.log.next(offsets):
            at, before = fetched.partition, lane.position(fetched.partition)
            if not fetched.batches:
                continue
            fed = self.decoder.feed(at, before.incarnation, before.next, fetched.batches, fetched.aborted)
            if fed.last_batch and not await self.guard.continues(at, before, fed.last_batch[1]):
                lane.drop()
                return
            lane.note(at, fed, new_epochs(before, fed, fetched.batches))


class Loop:
    """Drives the writers from one change to the next; nothing happens but by `let`."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.loop = asyncio.new_event_loop()
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self.failure: BaseException | None = None
        self.loop.set_exception_handler(lambda loop, context: None)

    def start(self) -> str:
        self.world.made += 1
        name = f"writer {self.world.made}"
        self.tasks[name] = self.loop.create_task(Writer(self.world, name).run())
        self.settle()
        return name

    def kill(self, name: str) -> None:
        self.tasks.pop(name).cancel()
        self.settle()
        self.world.changes[:] = [change for change in self.world.changes if change.writer != name]

    def let(self, change: Change, how: str = "done") -> None:
        change.let.set_result(how)
        self.settle()

    def settle(self) -> None:
        async def spin() -> None:
            for _ in range(SPINS):
                await asyncio.sleep(0)

        self._run(spin())
        for name, task in list(self.tasks.items()):
            if task.done() and not task.cancelled():
                del self.tasks[name]
                error = task.exception()
                if error is not None:
                    raise error

    def close(self) -> None:
        for name in list(self.tasks):
            self.kill(name)
        self.loop.close()

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        self.loop.run_until_complete(work)
