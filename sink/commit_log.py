"""The commit log of a lane: takes entries, creates each once and gives where the lane stands.

    _headrace/lake.json             {"format": 1}, created once
    _headrace/topics/<topic>.json   {"created_us", "format", "lanes", "topic"}, created once
    _headrace/commits/…             the entries, see sink.entry

The log is the only truth about offsets. Nothing in it is ever changed or deleted.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

import orjson
import structlog

from sink.checkpoint import ENTRIES, checkpoint_of, parse_checkpoint
from sink.entry import FORMAT, Entry, hash_of, parse_entry
from sink.errors import LogError, StoreError
from sink.keys import checkpoint_folder, entry_key, log_folder
from sink.log_head import LogHead
from sink.store import Exists, Store, together

LAKE_KEY: Final = "_headrace/lake.json"
TOPICS: Final = "_headrace/topics/"
COMMITS: Final = "_headrace/commits/"
READS_MAX: Final = 64  # entries in memory at the same time

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Appended:
    """The entry is in the log, and it is ours."""

    entry: Entry
    sha256: str


@dataclass(frozen=True, slots=True)
class Lost:
    """Another's entry stands at this sequence: what we have must be dropped and the log read again."""

    sequence: int


class CommitLog:
    """The entries of one lane in the store."""

    def __init__(self, store: Store, topic: str, lane: int) -> None:
        self.topic = topic
        self.lane = lane
        self._store = store

    async def read(self) -> LogHead:
        """Walk the log from its last checkpoint, or its origin. Suspends.

        LogError: broken chain, entry missing or unreadable.
        """
        head = await self._read_checkpoint()
        after = head.last.key if head.last is not None else ""
        async for key, data in self.entries(after):
            head.follow(parse_entry(data, key), hash_of(data))
        return head

    async def entries(self, after: str = "") -> AsyncIterator[tuple[str, bytes]]:
        """Key and bytes of every object in the log's folder behind a key, in order; READS_MAX are held."""
        folder = log_folder(self.topic, self.lane)
        keys = [listed.key async for listed in self._store.list(folder, after)]
        for at in range(0, len(keys), READS_MAX):
            some = keys[at : at + READS_MAX]
            found = await together([self._store.read(key) for key in some])
            for key, data in zip(some, found, strict=True):
                if data is None:
                    raise LogError("bad_entry", f"{key}: was listed, but is gone; entries are never deleted")
                yield key, data

    async def mark(self, head: LogHead) -> bool:
        """Create the checkpoint behind the head's last entry where one is due; whether it was. Suspends."""
        if head.last is None or not head.last.sequence or head.last.sequence % ENTRIES:
            return False
        point = checkpoint_of(head)
        try:
            await self._store.create_once(point.key, point.to_bytes())
        except StoreError as error:  # it shortens a start, no more
            log.warning("checkpoint_not_made", key=point.key, reason=str(error))
        return True

    async def _read_checkpoint(self) -> LogHead:
        """The head of the last checkpoint that fits its entry; an empty one where there is none."""
        keys = [listed.key async for listed in self._store.list(checkpoint_folder(self.topic, self.lane))]
        for key in reversed(keys):
            point = parse_checkpoint(await self._store.read(key) or b"", key)
            data = await self._store.read(entry_key(self.topic, self.lane, point.sequence)) if point else None
            if point is not None and data is not None and hash_of(data) == point.sha256:
                return point.to_head(parse_entry(data, entry_key(self.topic, self.lane, point.sequence)))
            log.warning("checkpoint_passed_over", key=key)
        return LogHead()

    async def entry(self, sequence: int) -> Entry:
        """One entry by its sequence. LogError where it is missing or unreadable. Suspends."""
        key = entry_key(self.topic, self.lane, sequence)
        data = await self._store.read(key)
        if data is None:
            raise LogError("bad_entry", f"{key}: is missing; entries are never deleted")
        return parse_entry(data, key)

    async def epochs(self, partition: int) -> list[tuple[int, int]]:
        """The leader epochs of a Kafka partition's log as it was landed, with first offsets. Suspends.

        Where a log was cut, what lies before goes on to be that of the incarnation before.
        """
        found: list[tuple[int, int]] = []
        async for key, data in self.entries():
            entry = parse_entry(data, key)
            for gap in entry.gaps:
                if gap.partition == partition and gap.reason == "recreated":
                    found = []
                elif gap.partition == partition and gap.reason == "truncated":
                    found = [(epoch, first) for epoch, first in found if first < gap.first]
            found += entry.offsets[partition].epochs if partition in entry.offsets else ()
        return found

    async def append(self, entry: Entry) -> Appended | Lost:
        """Create the entry: this is the commit. Only the content of its key decides whose it is.

        Byte-equal is ours, whoever put it there. After a retriable StoreError the entry may still appear: the
        log must be read again; another entry for this sequence may be tried then, one of the two is refused.
        """
        assert entry.key == entry_key(self.topic, self.lane, entry.sequence)
        data = entry.to_bytes()
        outcome = await self._store.create_once(entry.key, data)
        return Lost(entry.sequence) if isinstance(outcome, Exists) else Appended(entry, hash_of(data))


async def claim_lake(store: Store) -> None:
    """Say once which format the lake has. LogError `lake_newer`: this version does not know it. Suspends."""
    outcome = await store.create_once(LAKE_KEY, orjson.dumps({"format": FORMAT}))
    if isinstance(outcome, Exists):
        check_format(outcome.data, LAKE_KEY)


async def claim_topic(store: Store, topic: str, lanes: int, created_us: int) -> None:
    """Say once how many lanes a topic has. LogError `lanes_changed`: landed with others. Suspends."""
    key = f"{TOPICS}{topic}.json"
    told = {"format": FORMAT, "topic": topic, "lanes": lanes, "created_us": created_us}
    outcome = await store.create_once(key, orjson.dumps(told, option=orjson.OPT_SORT_KEYS))
    if isinstance(outcome, Exists):
        landed = lanes_of(outcome.data, key)
        if landed != lanes:
            why = f"landed with lanes = {landed}, the settings say {lanes}: every record would land twice"
            raise LogError("lanes_changed", f"{key}: {why}; put lanes = {landed} back")


def lanes_of(data: bytes, key: str) -> int:
    """The number of lanes that `_headrace/topics/<topic>.json` says. LogError if it says none."""
    found = check_format(data, key)
    lanes = found.get("lanes")
    if not isinstance(lanes, int) or lanes < 1 or found.get("topic") != key.removeprefix(TOPICS)[:-5]:
        raise LogError("bad_entry", f"{key}: expected a topic of this name with its lanes, got {found}")
    return lanes


def check_format(data: bytes, key: str) -> dict[str, object]:
    """The JSON object in `data`, of a format that this version knows; LogError else."""
    try:
        found = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise LogError("bad_entry", f"{key}: not JSON: {error}") from error
    told = found.get("format") if isinstance(found, dict) else None
    if not isinstance(told, int):
        raise LogError("bad_entry", f"{key}: expected a JSON object with a format number")
    if told > FORMAT:
        raise LogError(
            "lake_newer", f"{key}: format {told}, this version knows {FORMAT}: use the newer version"
        )
    assert isinstance(found, dict)
    return found
