"""The store in a local directory: takes keys and bytes, gives files that are durable when an operation ends.

    <root>/<key>                        visible
    <root>/_headrace/uploads/<key>~<id> an upload that is not completed; completing links it to <key>
    <root>/_headrace/temporary/<id>     bytes to be created once; linking them to <key> creates it

link(2) is what makes creation happen once: it fails where the name exists (POSIX.1-2017, link). A name is
durable only when its directory was synced, so each directory is, in the order of PROTOCOL 3 "Local
directory".
"""

from __future__ import annotations

import asyncio
import errno
import os
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import unquote

from sink.errors import StoreError
from sink.settings import LakeSettings
from sink.store import OPERATION_REQUESTS_MAX, Completion, Created, Exists, Head, Listed, Upload

UPLOADS: Final = "_headrace/uploads/"
TEMPORARY: Final = "_headrace/temporary/"
TEMPORARY_SECONDS: Final = 3600.0  # far beyond what creating an object takes
THREADS_MAX: Final = 8
ID_BYTES: Final = (
    4  # in hex after the name: together with the longest key's name below the 255 bytes of a file name
)
NOT_KEPT: Final = {
    errno.EPERM,
    errno.ENOTSUP,
    errno.EOPNOTSUPP,
    errno.ENOSYS,
    errno.EMLINK,
    errno.EXDEV,
    errno.EINVAL,
}

T = TypeVar("T")


class LocalStore:
    """A directory on a file system with hard links and a working fsync. File work runs in threads."""

    def __init__(self, lake: LakeSettings) -> None:
        self.url = lake.url
        self.root = Path(unquote(lake.url.removeprefix("file://")))
        self._folders: set[Path] = set()
        self._cleared = False
        self._seconds_max = lake.request_seconds_max * OPERATION_REQUESTS_MAX
        self._threads = ThreadPoolExecutor(THREADS_MAX, thread_name_prefix="lake")

    async def create_once(self, key: str, data: bytes) -> Created | Exists:
        return await self._run(lambda: self._create_once(key, data))

    async def settle(self, key: str) -> None:
        await self._run(lambda: sync_folder((self.root / key).parent))

    async def upload(self, key: str, data: bytes | memoryview, sha256: str) -> Upload:
        return await self._run(lambda: self._upload(key, data))

    async def complete(self, upload: Upload) -> Completion:
        return await self._run(lambda: self._complete(upload))

    async def abort(self, upload: Upload) -> None:
        await self._run(lambda: self._upload_path(upload).unlink(missing_ok=True))

    async def head(self, key: str) -> Head | None:
        return await self._run(lambda: self._head(key))

    async def read(self, key: str) -> bytes | None:
        return await self._run(lambda: _read(self.root / key, None))

    async def read_tail(self, key: str, size: int) -> bytes | None:
        return await self._run(lambda: _read(self.root / key, size))

    async def list(self, prefix: str, after: str = "") -> AsyncIterator[Listed]:
        for path, size in await self._run(lambda: sorted(_walk(self.root / prefix))):
            key = path.removeprefix(f"{self.root}/")
            if key > after and not key.startswith((UPLOADS, TEMPORARY)):
                yield Listed(key, size)

    async def uploads(self, prefix: str) -> AsyncIterator[Upload]:
        for path, _ in await self._run(lambda: sorted(_walk(self.root / UPLOADS / prefix))):
            key, _, upload_id = path.removeprefix(f"{self.root}/{UPLOADS}").rpartition("~")
            yield Upload(key, upload_id)

    async def delete(self, key: str) -> None:
        await self._run(lambda: self._delete(key))

    async def close(self) -> None:
        # A thread that hangs in the file system must not hold the program.
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _run(self, work: Callable[[], T]) -> T:
        try:
            async with asyncio.timeout(self._seconds_max):
                return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        except TimeoutError as error:
            bound = f"no answer from the file system within {self._seconds_max:g} s"
            raise StoreError("store_unavailable", f"{self.url}: {bound}", retriable=True) from error
        except OSError as error:
            raise self._told(error) from error

    def _told(self, error: OSError) -> StoreError:
        what = f"{self.url}: {error.strerror or error} ({error.filename})"
        if error.errno in (errno.EACCES, errno.EROFS):
            return StoreError("store_refused", f"{what}: the directory must be writable for this user")
        if error.errno in NOT_KEPT:
            return StoreError("store_unsafe", f"{what}: a lake needs a file system with hard links and fsync")
        return StoreError("store_unavailable", what, retriable=True)

    def _create_once(self, key: str, data: bytes) -> Created | Exists:
        path, temporary = self.root / key, self.root / TEMPORARY / secrets.token_hex(16)
        self._make_folder(temporary.parent)
        self._make_folder(path.parent)
        _write(temporary, data)
        if not self._cleared:
            self._cleared = True
            _clear(temporary)
        try:
            os.link(temporary, path)
        except FileExistsError:
            found = path.read_bytes()
        else:
            found = data
        finally:
            temporary.unlink(missing_ok=True)
        sync_folder(path.parent)
        return Created() if found == data else Exists(found)

    def _upload(self, key: str, data: bytes | memoryview) -> Upload:
        upload = Upload(key, secrets.token_hex(ID_BYTES))
        path = self._upload_path(upload)
        self._make_folder(path.parent)
        _write(path, data)
        sync_folder(path.parent)
        return upload

    def _complete(self, upload: Upload) -> Completion:
        source, path = self._upload_path(upload), self.root / upload.key
        self._make_folder(path.parent)
        outcome: Completion = "completed"
        try:
            os.link(source, path)
        except FileExistsError:
            pass  # whoever owned the lane before us has come this far
        except FileNotFoundError:
            outcome = "completed" if path.exists() else "gone"
        sync_folder(path.parent)
        source.unlink(missing_ok=True)
        return outcome

    def _make_folder(self, path: Path) -> None:
        """Make `path` and what is missing above it, each name durable in the directory that bears it.

        Below the root an existing one is synced too, once: who made it may have been killed before.
        """
        if path in self._folders or (path.is_dir() and self.root not in path.parents):
            return
        self._make_folder(path.parent)
        path.mkdir(exist_ok=True)
        sync_folder(path.parent)
        self._folders.add(path)

    def _upload_path(self, upload: Upload) -> Path:
        return self.root / UPLOADS / f"{upload.key}~{upload.id}"

    def _head(self, key: str) -> Head | None:
        try:
            return Head((self.root / key).stat().st_size)
        except FileNotFoundError:
            return None

    def _delete(self, key: str) -> None:
        with suppress(FileNotFoundError):
            (self.root / key).unlink()
            sync_folder((self.root / key).parent)


def sync_folder(path: Path) -> None:
    """Make the names in a directory durable."""
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _clear(mine: Path) -> None:
    """Remove what killed writers left beside my temporary file; one that only hangs fails, nothing more."""
    oldest = mine.stat().st_mtime - TEMPORARY_SECONDS
    for path in mine.parent.iterdir():
        with suppress(FileNotFoundError):
            if path.stat().st_mtime < oldest:
                path.unlink()


def _write(path: Path, data: bytes | memoryview) -> None:
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _read(path: Path, tail_bytes: int | None) -> bytes | None:
    try:
        with path.open("rb") as file:
            if tail_bytes is not None:
                file.seek(max(0, os.fstat(file.fileno()).st_size - tail_bytes))
            return file.read()
    except (FileNotFoundError, IsADirectoryError):
        return None


def _walk(folder: Path) -> Iterator[tuple[str, int]]:
    """Path and size of each file below `folder`; one that goes away meanwhile is left out."""
    for above, _, names in os.walk(folder):
        for name in names:
            path = f"{above}/{name}".replace("//", "/")
            with suppress(FileNotFoundError):
                yield path, Path(path).stat().st_size
