"""The generated traffic: the same for a seed, and shaped like the real traffic that it was measured on."""

from __future__ import annotations

import hashlib
import itertools
import os
import subprocess
import sys
from collections import Counter
from random import Random
from statistics import fmean

import orjson
import pytest
import zstandard

from loadtest.bodies import DIALECTS, native_event, requests
from loadtest.chance import by_quantiles, log_normal, zipf_rank
from loadtest.ids import NUMBERS, event_id, number_of
from loadtest.people import person
from loadtest.profile import read_profile
from loadtest.sessions import US, Event, rate_factor, session, stream

SEED = 20261123
BEGINS_US = 1_795_400_000_000_000
PROFILE = read_profile()

DIGEST = """
import hashlib, itertools, sys
from loadtest.bodies import DIALECTS, requests
from loadtest.sessions import stream
found = hashlib.sha256()
for dialect in sorted(DIALECTS):
    events = itertools.islice(stream(int(sys.argv[1]), 20.0, 1_795_400_000_000_000), 300)
    for request in requests(events, dialect, "demo", 50):
        found.update(repr((request.path, request.headers, request.ids, request.due_us)).encode())
        found.update(request.body)
print(found.hexdigest())
"""


@pytest.fixture(scope="module")
def some_sessions() -> list[list[Event]]:
    return [session(SEED, number, BEGINS_US, number * 1000) for number in range(1500)]


@pytest.fixture(scope="module")
def events(some_sessions: list[list[Event]]) -> list[Event]:
    return [event for one in some_sessions for event in one]


def digest(seed: int, hash_seed: str) -> str:
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    command = [sys.executable, "-c", DIGEST, str(seed)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout


def test_one_seed_gives_the_same_bytes_in_every_process_and_another_gives_others() -> None:
    first = digest(SEED, "1")
    assert len(first.strip()) == 64
    assert digest(SEED, "2") == first
    assert digest(SEED + 1, "1") != first


def test_a_session_does_not_depend_on_those_before_it() -> None:
    for number in (0, 5, 17):
        session(SEED, number, BEGINS_US)
    assert session(SEED, 17, BEGINS_US, 3) == session(SEED, 17, BEGINS_US, 3)


def test_sessions_are_as_long_as_real_ones(some_sessions: list[list[Event]]) -> None:
    lengths = [sum(not event.attempt for event in one) for one in some_sessions]
    figures = PROFILE.session
    assert lengths.count(1) / len(lengths) == pytest.approx(figures.single_event_share, abs=0.04)
    assert 4.2 < fmean(lengths) < 5.6  # ga360: 5.18
    assert max(lengths) <= figures.events_max
    longest = sorted(lengths)[-len(lengths) // 100 :]
    assert 0.09 < sum(longest) / sum(lengths) < 0.22  # ga360: 0.164


def test_events_of_a_session_are_as_far_apart_as_real_ones(some_sessions: list[list[Event]]) -> None:
    people = [[event.due_us for event in one if not event.attempt] for one in some_sessions]
    gaps = sorted((b - a) / US for one in people for a, b in itertools.pairwise(one))
    assert gaps[0] >= 0
    assert gaps[-1] <= PROFILE.session.gap_seconds_max
    assert gaps[len(gaps) // 2] == pytest.approx(11.93, rel=0.2)  # ga360, p50
    assert gaps[len(gaps) * 9 // 10] == pytest.approx(71.6, rel=0.25)  # p90


def test_sizes_follow_the_mix_of_the_profile(events: list[Event]) -> None:
    sizes = sorted(len(orjson.dumps(native_event(event))) for event in events)
    chance = Random(1)
    wanted = sorted(
        log_normal(chance, size.mu, size.sigma)
        for size in PROFILE.size
        for _ in range(int(20_000 * size.weight))
    )
    for share in (0.05, 0.25, 0.5, 0.75, 0.9, 0.99):
        expected = wanted[int(len(wanted) * share)]
        assert sizes[int(len(sizes) * share)] == pytest.approx(expected, rel=0.15), share
    assert fmean(sizes) == pytest.approx(fmean(wanted), rel=0.1)


@pytest.mark.parametrize("dialect", sorted(DIALECTS))
@pytest.mark.parametrize("batch", [1, 10, 100])
def test_a_batch_compresses_like_a_real_one(events: list[Event], dialect: str, batch: int) -> None:
    due = sorted(events, key=lambda event: event.due_us)[: 200 if batch == 1 else 1500]
    made = [request.body for request in requests(due, dialect, "demo", batch)]
    codec = zstandard.ZstdCompressor(level=3)
    ratio = sum(map(len, made)) / sum(len(codec.compress(body)) for body in made)
    least, most = getattr(PROFILE.compression, f"batch_{batch}")
    assert least < ratio < most


def test_few_people_make_many_events_and_few_pages_are_seen_often() -> None:
    chance = Random(3)
    figures = PROFILE.popularity
    drawn = Counter(zipf_rank(chance, figures.users, figures.user_zipf_s) for _ in range(20_000))
    ratio = drawn[0] / drawn[9]
    assert ratio == pytest.approx(10**figures.user_zipf_s, rel=0.25)
    assert max(drawn) < figures.users
    assert 0.02 < drawn[0] / 20_000 < 0.045  # readers: 0.025


def test_the_shop_sells(events: list[Event]) -> None:
    names = Counter(event.name for event in events)
    figures = PROFILE.shop
    assert names["Product Added"] / len(events) == pytest.approx(figures.cart_share, rel=0.5)
    assert names["Order Completed"] / len(events) == pytest.approx(figures.order_share, rel=0.5)
    kinds = {event.kind for event in events}
    assert kinds == {"page", "screen", "track", "identify"}


def test_a_cart_is_filled_before_it_is_paid_for(some_sessions: list[list[Event]]) -> None:
    ordered = 0
    for one in some_sessions:
        names = [event.name for event in one if not event.attempt]
        if "Order Completed" in names:
            ordered += 1
            assert "Product Added" in names[: names.index("Order Completed")]
    assert ordered > 10


def test_some_clocks_are_wrong_some_events_late_and_some_come_twice(events: list[Event]) -> None:
    people = [person(SEED, rank) for rank in range(1500)]
    wrong = fmean(abs(one.clock_off_us) > 60 * US for one in people)
    assert wrong == pytest.approx(PROFILE.time.wrong_clock_share, abs=0.012)
    delays = sorted((event.sent_us - event.made_us) / US for event in events if not event.attempt)
    assert delays[len(delays) // 2] == pytest.approx(PROFILE.time.delay_p50_s, rel=0.15)
    assert delays[len(delays) * 99 // 100] == pytest.approx(PROFILE.time.delay_p99_s, rel=0.4)
    again = [event for event in events if event.attempt]
    assert len(again) / len(events) == pytest.approx(PROFILE.time.repeats_share, rel=0.4)
    first = {event.id: event for event in events if not event.attempt}
    assert all(native_event(first[event.id]) == native_event(event) for event in again)


def test_a_person_is_the_same_in_every_session() -> None:
    person.cache_clear()
    before = [person(SEED, rank) for rank in range(50)]
    person.cache_clear()
    assert [person(SEED, rank) for rank in range(50)] == before
    assert len({one.anonymous_id for one in before}) == 50


def test_the_stream_is_in_order_of_time_and_its_numbers_have_no_gap() -> None:
    got = list(itertools.islice(stream(SEED, 50.0, BEGINS_US), 2000))
    assert [event.due_us for event in got] == sorted(event.due_us for event in got)
    assert got[0].due_us >= BEGINS_US
    first = [event for event in got if not event.attempt]
    assert len({event.number for event in first}) == len(first)
    assert all(number_of(SEED, event.id) == event.number for event in got)


def test_sessions_begin_at_the_rate_asked_for() -> None:
    got = itertools.takewhile(lambda event: event.due_us < BEGINS_US + 100 * US, stream(SEED, 5.0, BEGINS_US))
    begun = len({(event.person.rank, event.person.anonymous_id) for event in got})
    assert 300 < begun <= 600  # about 500 sessions, some of them of the same people


def test_a_day_has_a_night() -> None:
    factors = [rate_factor(PROFILE, BEGINS_US + hour * 3600 * US) for hour in range(24 * 7)]
    assert fmean(factors) == pytest.approx(1, abs=0.01)
    assert max(factors) == pytest.approx(1.61 * 1.212, rel=0.01)
    night = itertools.islice(stream(SEED, 0.05, BEGINS_US, daily=True), 400)
    assert sum(1 for _ in night) == 400


def test_ids_can_be_read_back_and_strangers_are_known() -> None:
    for number in (0, 1, 2, 255, 1 << 24, NUMBERS - 1):
        text = event_id(SEED, number)
        assert len(text) == 36
        assert number_of(SEED, text) == number
    assert len({event_id(SEED, number) for number in range(10_000)}) == 10_000
    stranger = event_id(SEED + 1, 7)
    for text in (stranger, "", "x", stranger.upper(), event_id(SEED, 7)[:-1], "é" * 36):
        assert number_of(SEED, text) is None


def test_quantiles_are_met_at_both_ends() -> None:
    points = ((0.0, 1.0), (0.5, 10.0), (1.0, 100.0))
    chance = Random(2)
    drawn = sorted(by_quantiles(chance, points) for _ in range(4000))
    assert drawn[0] >= 1
    assert drawn[-1] <= 100
    assert drawn[2000] == pytest.approx(10, rel=0.1)


def test_every_event_of_a_request_is_named_with_it(events: list[Event]) -> None:
    for dialect in DIALECTS:
        got = list(requests(events[:95], dialect, "secret", 10))
        assert [len(request.ids) for request in got] == [10] * 9 + [5]
        for request in got:
            text = request.body.decode()
            assert all(one in text for one in request.ids)
            assert "secret" not in text
    assert hashlib.sha256(got[0].body).digest() != hashlib.sha256(got[1].body).digest()
