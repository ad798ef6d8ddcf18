"""One bound over the rows of all lanes: at it nobody fetches, and the one that holds most commits."""

from __future__ import annotations

from dataclasses import dataclass, field

from sink.budget import Budget


@dataclass
class Rows:
    nbytes: int
    open_nbytes: int


@dataclass(eq=False)
class Holding:
    lane: Rows
    relieving: bool = False
    asked: list[int] = field(default_factory=list)

    def ask(self) -> None:
        self.asked.append(self.lane.open_nbytes)
        self.relieving = True


def holding(held: int, leaving: int = 0) -> Holding:
    return Holding(Rows(held + leaving, held))


def test_below_the_bound_everybody_fetches_and_at_it_nobody_does() -> None:
    budget = Budget(100)
    first, second = holding(60), holding(39)
    budget.add(first)
    budget.add(second)
    assert budget.nbytes == 99
    assert not budget.full()
    second.lane = Rows(40, 40)
    assert budget.full()
    assert (first.asked, second.asked) == ([60], [])


def test_one_at_a_time_is_asked_and_rows_that_leave_count_until_they_are_landed() -> None:
    budget = Budget(100)
    leaving, large = holding(10, leaving=80), holding(50)
    leaving.relieving = True
    budget.add(leaving)
    budget.add(large)
    assert budget.full()
    assert large.asked == [], "a commit is under way: it may suffice"
    leaving.relieving = False
    leaving.lane = Rows(60, 60)
    assert budget.full()
    assert (leaving.asked, large.asked) == ([60], [])


def test_what_was_removed_does_not_count() -> None:
    budget = Budget(10)
    one = holding(10)
    budget.add(one)
    assert budget.full()
    budget.remove(one)
    assert budget.nbytes == 0
    assert not budget.full()
