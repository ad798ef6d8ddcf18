"""The last step of a commit: takes the files that an entry names, gives them visible and seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sink.entry import LandedFile
from sink.errors import LogError, StoreError
from sink.store import Head, Store, Upload, together


def upload_of(file: LandedFile) -> Upload:
    """What the store needs to complete the file, or to throw it away."""
    return Upload(file.key, file.upload_id, file.parts)


async def show(store: Store, files: Sequence[LandedFile]) -> None:
    """Complete the files of an entry and see each of them: step 3 of a commit, as often as needed. Suspends.

    LogError `file_lost`: an upload is gone and its file is not there (retriable: it can be rebuilt), or is
    another.
    """
    lost = await find_lost(store, {file.key: (file,) for file in files})
    if lost:
        told = "committed, but its upload is gone and it is not there"
        raise LogError("file_lost", f"{lost[0].key}: {told}", retriable=True)


async def find_lost(store: Store, files: Mapping[str, tuple[LandedFile, ...]]) -> list[LandedFile]:
    """As `show`, of files by key, as first committed and as rebuilt since; gives those that are lost.

    Lost: no upload of the file is there any more, and *then* there is no file (PROTOCOL 4).
    """
    shown = await together([_show(store, some) for some in files.values()])
    return [some[0] for some, seen in zip(files.values(), shown, strict=True) if not seen]


async def _show(store: Store, some: tuple[LandedFile, ...]) -> bool:
    key = some[0].key
    completions = [await store.complete(upload_of(file)) for file in some]
    head = await store.head(key)  # decides, whatever completion answered
    if head is None and all(completion == "gone" for completion in completions):
        return False
    if head is None:
        raise StoreError("store_unavailable", f"{key}: completed, but not there yet", retriable=True)
    if not any(is_same(file, head) for file in some):
        told = (
            f"{head.size} bytes, checksum {head.sha256}; the entry says {some[-1].bytes}, {some[-1].sha256}"
        )
        raise LogError("file_lost", f"{key}: {told}")
    return True


def is_same(file: LandedFile, head: Head) -> bool:
    """Whether what the store shows is the file, as far as it says."""
    return head.size == file.bytes and head.sha256 in (None, file.sha256)
