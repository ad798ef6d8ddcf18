"""Uploads that nobody will complete: takes a lane and its head, throws away what killed writers have left.

    upload of entry n    n is not there yet                   stays: its writer may still create the entry
                         n names another file                 thrown away
                         n names this file, it is visible     thrown away: completed, or rebuilt by another
                         n names this file, not visible yet   stays: it is being completed, or rebuilt

Age says nothing: a writer that hangs for a day and wakes up must find its upload, or its sequence taken
(PROTOCOL 3, step 3). Visible files are never touched.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Final

import structlog

from _native.record import TOPIC_QUARANTINE
from sink.commit_log import CommitLog
from sink.errors import LogError, StoreError
from sink.log_head import LogHead
from sink.store import Store, Upload

SWEPT_MAX: Final = 1000  # uploads in one go: taking a lane must not wait for a bad past
NAME: Final = re.compile(r"(\d+)-(\d+)-[0-9a-f]+\.parquet", re.ASCII)

log = structlog.get_logger()


async def sweep(store: Store, commit_log: CommitLog, head: LogHead) -> int:
    """Throw away the lane's dead uploads; gives how many. Suspends; a store that fails leaves them."""
    swept = 0
    try:
        async for upload, sequence in _uploads_of(store, commit_log):
            if swept < SWEPT_MAX and await _is_dead(store, commit_log, head, upload, sequence):
                await store.abort(upload)
                swept += 1
    except (LogError, StoreError) as error:
        log.warning("sweep_ended", topic=commit_log.topic, lane=commit_log.lane, reason=str(error))
    if swept:
        log.info("uploads_swept", topic=commit_log.topic, lane=commit_log.lane, uploads=swept)
    return swept


async def _uploads_of(store: Store, commit_log: CommitLog) -> AsyncIterator[tuple[Upload, int]]:
    """The lane's uploads and the sequence that each bears."""
    topic = commit_log.topic
    for root, before in ((topic, ""), (TOPIC_QUARANTINE, f"{topic}-")):
        async for upload in store.uploads(f"{root}/"):
            name = upload.key.rpartition("/")[2]
            match = NAME.fullmatch(name.removeprefix(before)) if name.startswith(before) else None
            if match and int(match[1]) == commit_log.lane:
                yield upload, int(match[2])


async def _is_dead(store: Store, commit_log: CommitLog, head: LogHead, upload: Upload, sequence: int) -> bool:
    if sequence >= head.next_sequence:
        return False
    entry = await commit_log.entry(sequence)
    if not any(file.key == upload.key for file in entry.files):
        return True
    return await store.head(upload.key) is not None
