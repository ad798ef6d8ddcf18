"""Is Kafka's log still the one that was landed? Takes a lane's positions, gives where it differs.

    landed     epoch 4 · · · · · · │ epoch 5 · · · · ·│ head
    Kafka      epoch 4 · · · · · · │ epoch 5 · ·│ epoch 7 · · · · ·
                                                t    the first offset that differs

An epoch has one leader, so whoever has its record at an offset has all records before it, too. Asked for the
last epoch that was landed, the leader says where that ends in its log: at the head or behind it, nothing
differs. Otherwise the epochs of the entries say which older one is the last that both have (PROTOCOL 5).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from _native.columns import Fed
from sink.log_head import Position
from sink.topic_log import BATCH_HEAD, Source

Reason: TypeAlias = Literal["truncated", "recreated", "lost"]
Epochs: TypeAlias = Callable[[int], Awaitable[Sequence[tuple[int, int]]]]
"""Of a Kafka partition's log as it was landed: leader epochs with their first offsets, in order."""
UNKNOWN: Final = -1
PREFIX_BYTES: Final = 12  # base offset and length, before what the length counts


@dataclass(frozen=True, slots=True)
class Difference:
    """Kafka's log of one Kafka partition is not what was landed."""

    partition: int
    incarnation: int
    """In which it was landed."""
    head: int
    """Where landing has ended."""
    first: int
    """Where reading goes on: the first offset that differs, or that retention has left."""
    log: tuple[int, int]
    """What Kafka holds: [first, next)."""
    reason: Reason

    def __str__(self) -> str:
        held = f"Kafka holds [{self.log[0]}, {self.log[1]})"
        where = f"Kafka partition {self.partition}, landed up to offset {self.head}"
        if self.reason == "lost":
            return f"{where}: offsets [{self.head}, {self.first}) are gone before they were landed; {held}"
        if self.reason == "recreated":
            return f"{where}: the topic was created anew; {held}"
        return f"{where}: from offset {self.first} on Kafka's log is another than the one landed; {held}"


async def differences(
    source: Source, heads: Mapping[int, Position], epochs: Epochs, partitions: Iterable[int]
) -> list[Difference]:
    """What differs, of the Kafka partitions that are there; nothing: all is as it was landed. Suspends."""
    asked = {at: heads[at] for at in partitions if at in heads}
    if not asked:
        return []
    last = {at: head.last_batch[1] for at, head in asked.items() if head.last_batch is not None}
    answers = await source.epoch_ends(last)
    firsts, ends = await source.first_offsets(asked), await source.end_offsets(asked)
    found = []
    for at, head in asked.items():
        log = (firsts[at], ends[at])
        if not await _is_same(source, at, head, answers.get(at), log):
            first = max(log[0], await _divergence(source, at, await epochs(at), head.next))
            found.append(Difference(at, head.incarnation, head.next, first, log, "truncated"))
        elif head.next < log[0]:
            found.append(Difference(at, head.incarnation, head.next, log[0], log, "lost"))
    return found


def recreated(
    heads: Mapping[int, Position], firsts: Mapping[int, int], ends: Mapping[int, int]
) -> list[Difference]:
    """All Kafka partitions of a topic that has another id than the one that was landed."""
    return [
        Difference(at, head.incarnation, head.next, firsts[at], (firsts[at], ends[at]), "recreated")
        for at, head in heads.items()
        if at in firsts
    ]


async def _is_same(
    source: Source, at: int, head: Position, answer: tuple[int, int] | None, log: tuple[int, int]
) -> bool:
    if head.last_batch is None or answer is None:
        return head.next <= log[1]  # nothing was landed: only a log that ends before is another
    epoch, end = answer
    if epoch == head.last_batch[1]:
        return end >= head.next
    if epoch != UNKNOWN:
        return False  # the leader has older epochs, not ours
    if head.next > log[1]:
        return False
    base = head.last_batch[0]
    # What retention has taken can't be compared, and is not a difference.
    return base < log[0] or await source.batch_at(at, base) == head.last_batch


async def _divergence(source: Source, at: int, epochs: Sequence[tuple[int, int]], head: int) -> int:
    """The first offset that differs: where the last epoch that both have ends in the one or the other.

    The leader is asked for ever older epochs of ours, as its followers do (KIP-279).
    """
    firsts: dict[int, int] = {}
    for epoch, first in epochs:
        firsts.setdefault(epoch, first)
    ends = dict(zip(firsts, [*list(firsts.values())[1:], head], strict=True)) if firsts else {}
    left = sorted(firsts)
    while left:
        asked = left.pop()
        known, end = (await source.epoch_ends({at: asked}))[at]
        if known in firsts and known <= asked:
            # Older than all that the leader knows, it is answered with the first offset that it has.
            return min(end, ends[known])
        left = [epoch for epoch in left if known == UNKNOWN or epoch <= known]
    return 0


def new_epochs(before: Position, fed: Fed, batches: bytes) -> list[tuple[int, int]]:
    """Leader epochs that begin in one feed, with their first offsets; most often none: nothing is looked at.

    `before`: where the feed began, `batches`: what it was made of.
    """
    last = before.last_batch[1] if before.last_batch else UNKNOWN
    found: list[tuple[int, int]] = []
    if fed.last_batch is None or fed.last_batch[1] == last:
        return found
    at = 0
    while len(batches) - at >= BATCH_HEAD.size:
        base, length, epoch = BATCH_HEAD.unpack_from(batches, at)
        if base >= fed.next_offset or length < 0:
            break
        if base >= before.next and epoch > last:
            found.append((epoch, base))
            last = epoch
        at += PREFIX_BYTES + length
    return found
