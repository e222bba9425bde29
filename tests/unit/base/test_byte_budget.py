"""ByteBudget: what all hold together, and which of them gives up when it is too much."""

from __future__ import annotations

from pybrpc.base.byte_budget import MAX_GIVEN_UP, ByteBudget
from tests.fakes.threads import in_threads


class Holding:
    """A Holder."""

    def __init__(self, budget: ByteBudget, keeps: bool = False) -> None:
        self.budget = budget
        self.held_bytes = 0
        self.given_up = 0
        self.keeps = keeps
        budget.enter(self)

    def hold(self, size: int) -> None:
        self.held_bytes += size
        self.budget.add(size)

    def give_up(self) -> None:
        self.given_up += 1
        if not self.keeps:
            size, self.held_bytes = self.held_bytes, 0
            self.budget.remove(size)


def test_nobody_gives_up_within_the_limit() -> None:
    budget = ByteBudget(100)
    first, second = Holding(budget), Holding(budget)
    first.hold(60)
    second.hold(40)
    assert (first.given_up, second.given_up, budget.held_bytes) == (0, 0, 100)


def test_holders_are_counted_until_they_leave() -> None:
    budget = ByteBudget(100)
    first, second = Holding(budget), Holding(budget)
    assert budget.holders == 2
    budget.leave(first)
    budget.leave(first)
    assert budget.holders == 1
    budget.leave(second)
    assert budget.holders == 0


def test_largest_gives_up_whoever_is_over_the_limit() -> None:
    budget = ByteBudget(100)
    large, small = Holding(budget), Holding(budget)
    large.hold(60)
    small.hold(41)
    assert (large.given_up, small.given_up, budget.held_bytes) == (1, 0, 41)


def test_as_many_give_up_as_needed() -> None:
    budget = ByteBudget(None)
    holders = [Holding(budget) for _ in range(5)]
    for index, holder in enumerate(holders):
        holder.hold(10 + index)
    budget.limit_bytes = 25
    holders[0].hold(1)
    assert [holder.given_up for holder in holders] == [0, 0, 1, 1, 1]
    assert budget.held_bytes == 22


def test_no_limit() -> None:
    budget = ByteBudget(None)
    holder = Holding(budget)
    holder.hold(1 << 50)
    assert holder.given_up == 0
    assert repr(budget) == f"<ByteBudget {1 << 50} no limit>"


def test_holders_that_keep_what_they_have_are_asked_a_few_times() -> None:
    budget = ByteBudget(10)
    holder = Holding(budget, keeps=True)
    holder.hold(11)
    assert holder.given_up == MAX_GIVEN_UP


def test_one_that_left_is_asked_no_more() -> None:
    budget = ByteBudget(10)
    gone, other = Holding(budget), Holding(budget)
    gone.hold(8)
    budget.leave(gone)
    budget.leave(gone)
    other.hold(4)
    assert (gone.given_up, other.given_up) == (0, 1)


def test_nothing_is_asked_of_those_that_hold_nothing() -> None:
    budget = ByteBudget(10)
    holder = Holding(budget)
    budget.add(11)
    assert holder.given_up == 0


def test_threads_lose_no_byte() -> None:
    budget = ByteBudget(1 << 40)

    def work(index: int) -> None:
        for _ in range(1000):
            budget.add(index + 1)
            budget.remove(index + 1)

    in_threads(4, work)
    assert budget.held_bytes == 0
    assert repr(budget) == f"<ByteBudget 0 of {1 << 40} bytes>"
