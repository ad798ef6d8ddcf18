"""Where files and entries are kept: takes keys relative to the lake and bytes, gives what the protocol needs.

A Store is the whole of what the sink asks of a directory or a bucket. Every operation suspends, is bounded in
time by `lake.request_seconds_max`, and raises StoreError: retriable when the store may answer later (the
outcome is unknown then), else not.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol, TypeAlias, TypeVar

from sink.settings import MIB, LakeSettings

PART_BYTES: Final = (
    8 * MIB
)  # of every part but the last; stores refuse parts below 5 MiB, and only at completion
OPERATION_REQUESTS_MAX: Final = (
    3  # an operation, repeated requests included, lasts as long as this many requests
)
REQUESTS_MAX: Final = 8  # requests of one stage that are under way at the same time

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Created:
    """The key holds exactly the bytes that were given."""


@dataclass(frozen=True, slots=True)
class Exists:
    """The key held something else before: `data`."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Upload:
    """An upload to `key` that is not completed: the store's id, and the tag of each part in order."""

    key: str
    id: str
    parts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Head:
    """What the store says of a visible key: size in bytes, the SHA-256 (hex) its upload claimed, if kept."""

    size: int
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Listed:
    """A visible key and its size in bytes."""

    key: str
    size: int


Completion: TypeAlias = Literal["completed", "gone"]


class Store(Protocol):
    """A lake's storage. Keys are relative, with `/` between names; a prefix is empty or ends with `/`."""

    url: str

    async def create_once(self, key: str, data: bytes) -> Created | Exists:
        """Put `data` at `key` if nothing is there. Only the content of the key decides (PROTOCOL 3, step 2).

        After an outcome that is not known the key is read; while it is absent the same bytes are put again.
        Created means durable. After StoreError (retriable) the bytes may appear at any later time.
        """

    async def settle(self, key: str) -> None:
        """Make durable that `key` exists, as whoever created it may not have come to do."""

    async def upload(self, key: str, data: bytes | memoryview, sha256: str) -> Upload:
        """Send `data` for `key` in equal parts, durable but invisible until `complete`."""

    async def complete(self, upload: Upload) -> Completion:
        """Make it visible. May be repeated; "gone" does not mean absent: only a `head` afterwards decides."""

    async def abort(self, upload: Upload) -> None:
        """Throw an upload away; one that is not there is no error.

        Allowed only when the entry of its sequence exists and does not name it (PROTOCOL 3, step 3).
        """

    async def head(self, key: str) -> Head | None:
        """Size and checksum of a visible key; None: there is none."""

    async def read(self, key: str) -> bytes | None:
        """The whole content of a visible key; None: there is none."""

    async def read_tail(self, key: str, size: int) -> bytes | None:
        """The last `size` bytes of a visible key (all of it where it is shorter); None: there is none."""

    def list(self, prefix: str, after: str = "") -> AsyncIterator[Listed]:
        """Every visible key below `prefix` and behind the key `after`, in the order of the keys' text."""

    def uploads(self, prefix: str) -> AsyncIterator[Upload]:
        """Uploads below `prefix` that are not completed, without their parts; MinIO names none."""

    async def delete(self, key: str) -> None:
        """Remove a visible key; one that is not there is no error."""

    async def close(self) -> None:
        """Give back threads and connections."""


async def together(works: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """Results of all, in order; REQUESTS_MAX under way at a time. The first failure cancels the others."""
    turn = asyncio.Semaphore(REQUESTS_MAX)

    async def one(work: Coroutine[Any, Any, T]) -> T:
        async with turn:
            return await work

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(work)) for work in works]
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from failures
    return [task.result() for task in tasks]


def part_spans(size: int) -> list[tuple[int, int]]:
    """[first, next) byte positions of each part of an object of `size` bytes: equal but the last."""
    return [(at, min(at + PART_BYTES, size)) for at in range(0, max(size, 1), PART_BYTES)]


def open_store(lake: LakeSettings) -> Store:
    """The store at `lake.url`; nothing is asked of it yet. Ends with `close()`."""
    if lake.url.startswith("s3://"):
        from sink.store.s3 import S3Store  # s3fs takes half a second to import: only where it is used

        return S3Store(lake)
    from sink.store.local import LocalStore

    return LocalStore(lake)
