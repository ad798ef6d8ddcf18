"""The last step of a commit: takes the files that an entry names, gives them visible and seen."""

from __future__ import annotations

from collections.abc import Sequence

from sink.entry import LandedFile
from sink.errors import LogError, StoreError
from sink.store import Store, Upload, together


def upload_of(file: LandedFile) -> Upload:
    """What the store needs to complete the file, or to throw it away."""
    return Upload(file.key, file.upload_id, file.parts)


async def show(store: Store, files: Sequence[LandedFile]) -> None:
    """Complete the files of an entry and see each of them: step 3 of a commit, as often as needed. Suspends.

    LogError `file_lost` where an upload is gone and its file is not there, or is another.
    """
    await together([_show(store, file) for file in files])


async def _show(store: Store, file: LandedFile) -> None:
    completion = await store.complete(upload_of(file))
    head = await store.head(file.key)  # decides, whatever completion answered
    if head is None and completion == "gone":
        raise LogError("file_lost", f"{file.key}: committed, but its upload is gone and it is not there")
    if head is None:
        raise StoreError("store_unavailable", f"{file.key}: completed, but not there yet", retriable=True)
    if head.size != file.bytes or head.sha256 not in (None, file.sha256):
        told = f"{head.size} bytes, checksum {head.sha256}; the entry says {file.bytes}, {file.sha256}"
        raise LogError("file_lost", f"{file.key}: {told}")
