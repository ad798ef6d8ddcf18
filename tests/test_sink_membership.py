"""The seat in the group: what of it is news, and what needs an eye."""

from __future__ import annotations

import asyncio
from typing import Any

from structlog.testing import capture_logs

from sink.membership import Membership


def seated(flushed: list[str]) -> tuple[Membership, Any]:
    async def flush() -> None:
        flushed.append("all")

    member = Membership({}, "g", {"t": 1}, given=lambda lanes: None, flush=flush)
    consumer: Any = object()
    member._consumer, member.state = consumer, "member"
    return member, consumer


def test_a_group_that_is_arranged_anew_is_no_warning_as_what_goes_is_flushed_before() -> None:
    flushed: list[str] = []

    async def story() -> Membership:
        member, consumer = seated(flushed)
        await member.revoked(consumer)
        return member

    with capture_logs() as logs:
        member = asyncio.run(story())
    assert flushed == ["all"]
    assert [(one["event"], one["log_level"]) for one in logs] == [("group_rearranged", "info")]
    assert (member.state, member.reason) == ("joining", "the group is being arranged anew")


def test_a_seat_that_is_lost_is_a_warning_once() -> None:
    async def story() -> None:
        member, _ = seated([])
        member._unseat("no coordinator")
        member._unseat("no coordinator")

    with capture_logs() as logs:
        asyncio.run(story())
    assert [(one["event"], one["log_level"]) for one in logs] == [("group_left", "warning")]
