"""The proof: takes a lake's files and commit logs, gives what they prove, or what is wrong.

The files are listed, then the logs are read, then what is named and was not listed is asked for: in any
other order there are false alarms while a sink runs. For the same reason a file of a lane's last entry has
some seconds to appear. Always: hash chain, sequences, contiguity of offsets, counts, each named file's
size, rows and offsets by its footer, no file that no entry names. `deep` reads every row as well.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Final

from sink.checkpoint import checkpoint_of
from sink.commit_log import COMMITS, LAKE_KEY, TOPICS, CommitLog, check_format, lanes_of
from sink.completion import find_lost
from sink.entry import Entry, LandedFile, Rebuilt, hash_of, parse_entry
from sink.errors import LogError
from sink.evidence import footer_faults, row_faults
from sink.keys import CHECKPOINTS
from sink.log_head import LogHead, Position
from sink.store import Store, together

PROBLEMS_MAX: Final = 1000  # further ones are only counted
LOOKS_SECONDS: Final = 0.2  # between two looks for a file that is about to appear


@dataclass(slots=True)
class TopicProof:
    """Counted of one topic: offsets covered, rows, files; ranges that are missing, or covered twice."""

    records: int = 0
    rows: int = 0
    files: int = 0
    gaps: int = 0
    overlaps: int = 0


@dataclass(slots=True)
class Named:
    """The files of one entry, as they were committed first and rebuilt since."""

    entry: Entry | None = None
    files: dict[str, tuple[LandedFile, ...]] = field(default_factory=dict)
    incomplete: bool = False
    """Some of its rows are lost."""


@dataclass(slots=True)
class Report:
    """`proved` only where there is no problem at all."""

    topics: dict[str, TopicProof] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    @property
    def proved(self) -> bool:
        """Every offset from origin to head is in exactly one visible row, quarantine row or skipped range."""
        return not self.problems

    def as_json(self) -> dict[str, object]:
        """The document of `headrace verify --json`."""
        topics = {name: asdict(counted) for name, counted in sorted(self.topics.items())}
        problems = self.problems[:PROBLEMS_MAX]
        if len(self.problems) > PROBLEMS_MAX:
            problems.append(f"and {len(self.problems) - PROBLEMS_MAX} more")
        return {"proved": self.proved, "topics": topics, "problems": problems}


async def verify(
    store: Store,
    topics: Sequence[str] | None = None,
    *,
    deep: bool = False,
    repair: bool = False,
    appear_seconds_max: float = 5.0,
) -> Report:
    """Prove the lake, or the `topics` named, from files and commit logs alone. Suspends; StoreError passes.

    `repair` completes what was committed and is not visible. `appear_seconds_max`: how long a file of a
    last entry may take to appear, because a sink may be completing it at this moment.
    """
    proof = _Proof(store, deep, repair, appear_seconds_max)
    visible = {listed.key: listed.size async for listed in store.list("")}
    proof.visible = {key: size for key, size in visible.items() if not key.startswith("_headrace/")}
    lanes = await proof.find_topics(visible, topics)
    for topic, count in lanes.items():
        for lane in range(count):
            await proof.prove_lane(topic, lane)
    proof.find_foreign(topics)
    return proof.report


class _Proof:
    """One verification under way."""

    def __init__(self, store: Store, deep: bool, repair: bool, appear_seconds_max: float) -> None:
        self.report = Report()
        self.visible: dict[str, int] = {}
        self._store = store
        self._deep = deep
        self._repair = repair
        self._appear_seconds_max = appear_seconds_max
        self._named: set[str] = set()
        self._checkpoints: set[str] = set()

    async def find_topics(self, listed: dict[str, int], asked: Sequence[str] | None) -> dict[str, int]:
        """Topics that are landed here, and their lanes."""
        lanes: dict[str, int] = {}
        await self._check_lake()
        async for one in self._store.list(TOPICS):
            try:
                lanes[one.key.removeprefix(TOPICS)[:-5]] = lanes_of(
                    await self._store.read(one.key) or b"", one.key
                )
            except LogError as error:
                self._tell(str(error))
        if not lanes:
            self._tell(f"no commit log found at {self._store.url}")
        self._checkpoints = {key for key in listed if key.startswith(CHECKPOINTS)}
        for key in listed:
            if key.startswith(COMMITS):
                topic, _, rest = key.removeprefix(COMMITS).partition("/")
                if rest.partition("/")[0] not in map(str, range(lanes.get(topic, 0))):
                    self._tell(f"{key}: the topic's file names no such lane")
        for topic in set(asked or ()) - set(lanes):
            self._tell(f"{topic}: no commit log of this topic at {self._store.url}")
        return {topic: count for topic, count in lanes.items() if asked is None or topic in asked}

    async def prove_lane(self, topic: str, lane: int) -> None:
        """Walk the log of a lane, and look at the files of each entry."""
        counted = self.report.topics.setdefault(topic, TopicProof())
        head = LogHead()
        named = Named()  # its files are looked at when it is known whether they are the last, or rebuilt
        try:
            async for key, data in CommitLog(self._store, topic, lane).entries():
                entry = self._follow(head, key, data, counted)
                if entry is None:
                    continue
                if entry.rebuilt is not None:
                    self._rebuild(named, entry, entry.rebuilt, counted)
                    continue
                await self._prove_files(named, counted, last=False)
                await self._prove_checkpoint(head)
                named = Named(entry, {file.key: (file,) for file in entry.files})
        except LogError as error:
            self._tell(str(error))
        await self._prove_files(named, counted, last=True)

    def find_foreign(self, asked: Sequence[str] | None) -> None:
        """Every visible file that no entry names: whoever lists the directory reads its rows."""
        for key in sorted(set(self.visible) - self._named):
            root, _, name = key.partition("/")
            owners = {root, name.rpartition("/")[2].rsplit("-", 3)[0]}
            if asked is None or owners & set(asked):
                self._tell(f"{key}: no entry names this file, but every reader sees it")

    async def _check_lake(self) -> None:
        data = await self._store.read(LAKE_KEY)
        if data is None:
            self._tell(f"{LAKE_KEY} is missing")
            return
        try:
            check_format(data, LAKE_KEY)
        except LogError as error:
            self._tell(str(error))

    def _follow(self, head: LogHead, key: str, data: bytes, counted: TopicProof) -> Entry | None:
        """Check that the entry continues its predecessor; after a problem go on from it as it is."""
        try:
            entry = parse_entry(data, key)
        except LogError as error:
            self._tell(str(error))
            return None
        for gap in entry.gaps:
            counted.gaps += 1
            what = f"Kafka partition {gap.partition}: {gap.reason} at {gap.head}, goes on at {gap.first}"
            self._tell(f"{entry.key}: a gap that nobody has acknowledged: {what}")
        for partition, span in entry.offsets.items() if not entry.gaps else ():
            position = head.positions.get(partition, Position(0, span.first if entry.kind == "origin" else 0))
            counted.gaps += span.first > position.next
            counted.overlaps += span.first < position.next
            counted.records += span.next - span.first
        counted.rows += entry.rows
        try:
            head.follow(entry, hash_of(data))
        except LogError as error:
            self._tell(str(error))
            head.resume(entry, hash_of(data))
        return entry

    async def _prove_checkpoint(self, head: LogHead) -> None:
        """One that was made behind this entry says what follows from the log: a sink begins with it."""
        point = checkpoint_of(head)
        if point.key not in self._checkpoints:
            return
        data = await self._store.read(point.key)
        if data is not None and data != point.to_bytes():
            self._tell(f"{point.key}: does not say what follows from the log; delete it")

    def _rebuild(self, named: Named, entry: Entry, rebuilt: Rebuilt, counted: TopicProof) -> None:
        """A file of the last entry was lost and written again: its place holds either."""
        before = named.files.get(rebuilt.key)
        if before is None:
            self._tell(f"{entry.key}: rebuilds {rebuilt.key}, which the entry before it does not name")
            return
        left = sum(file.rows for file in entry.files)
        if before[0].table == "rows":
            counted.rows -= before[-1].rows - left
        for partition, first, next_ in rebuilt.lost:
            counted.gaps += 1
            what = f"rows of Kafka partition {partition} in [{first}, {next_}) were lost with {rebuilt.key}"
            self._tell(f"{entry.key}: a gap that nobody has acknowledged: {what}")
        if entry.files:
            named.files[rebuilt.key] = (*before, *entry.files)
        else:
            del named.files[rebuilt.key]
        named.incomplete |= bool(rebuilt.lost)

    async def _prove_files(self, named: Named, counted: TopicProof, *, last: bool) -> None:
        if named.entry is None:
            return
        entry = named.entry
        seen = await together([self._prove_file(entry, some, last) for some in named.files.values()])
        files = [file for file in seen if file is not None]
        counted.files += len(files)
        if self._deep:
            found = await row_faults(self._store, entry, files, whole=not named.incomplete)
            counted.overlaps += found.overlaps
            for problem in found.problems:
                self._tell(problem)

    async def _prove_file(self, entry: Entry, some: tuple[LandedFile, ...], last: bool) -> LandedFile | None:
        """The file as it can be read, as first committed or as rebuilt; all that is wrong with it is told."""
        key = some[0].key
        if key in self._named:
            self._tell(f"{key}: named by {entry.key} and by an entry before it")
        self._named.add(key)
        size = self.visible.get(key)
        if size is None:
            size = await self._appeared(some, last)
        if size is None:
            return None
        faults = [f"{key}: {size} bytes, {entry.key} says {some[-1].bytes}"]
        for file in some:
            if file.bytes == size:
                faults = await footer_faults(self._store, entry, file)
                if not faults:
                    return file
        for fault in faults:
            self._tell(fault)
        return next((file for file in some if file.bytes == size), None)

    async def _appeared(self, some: tuple[LandedFile, ...], last: bool) -> int | None:
        """Size of a file that was not listed: visible since, repaired, or told to be missing."""
        key = some[0].key
        deadline = asyncio.get_running_loop().time() + (self._appear_seconds_max if last else 0)
        while True:
            head = await self._store.head(key)
            if head is not None:
                return head.size
            if self._repair or asyncio.get_running_loop().time() >= deadline:
                break
            await asyncio.sleep(LOOKS_SECONDS)
        if self._repair:
            try:
                lost = await find_lost(self._store, {key: some})
            except LogError as error:
                self._tell(str(error))
                return None
            if not lost:
                head = await self._store.head(key)
                return head.size if head else None
            self._tell(f"{key}: committed, and its upload is gone: a sink rebuilds it when it takes the lane")
            return None
        why = (
            "committed, not completed yet: run verify --repair"
            if last
            else "an entry names it, but it is missing"
        )
        self._tell(f"{key}: {why}")
        return None

    def _tell(self, problem: str) -> None:
        self.report.problems.append(problem)
