"""DirectDispatcher in interleavings: who has the turns, and that nothing is lost on the way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pybrpc.testing.step_scheduler import (
    ScheduleFailure,
    StepScheduler,
    explore,
    explore_randomly,
)
from pybrpc.transport.dispatch.direct_dispatcher import DirectDispatcher
from tests.schedules.direct import Stage

pytestmark = pytest.mark.python_only


def one_caller_and_a_post(stage: Stage) -> None:
    stage.run(stage.call, lambda: stage.post("a"))
    assert stage.ran == ["a"]


def two_callers(stage: Stage) -> None:
    stage.run(stage.call, stage.call)


def a_caller_and_a_future(stage: Stage) -> None:
    stage.run(stage.call, stage.call_without_waiting)


def a_caller_and_its_connection_closed(stage: Stage) -> None:
    stage.run(stage.call, lambda: stage.post_cleanup("end"))
    assert stage.ran == ["end"]


def callers_one_after_the_other_and_posts(stage: Stage) -> None:
    def two() -> None:
        stage.call()
        stage.call()

    def posts() -> None:
        stage.post(1)
        stage.post(2)

    stage.run(two, posts)
    assert stage.ran == [1, 2]


def a_caller_and_the_end_of_the_peer(stage: Stage) -> None:
    """The shared dispatcher is notified once; somebody must read after that."""
    reads: list[None] = []
    read = stage.direct._reader
    assert read is not None

    def counted() -> None:
        if stage.kernel.is_closed:
            reads.append(None)
        read()

    stage.direct._reader = counted
    stage.run(stage.call, stage.close_by_peer)
    assert reads or not stage.kernel.is_silent


SCENARIOS: dict[str, Callable[[Stage], None]] = {
    function.__name__: function
    for function in (
        one_caller_and_a_post,
        two_callers,
        a_caller_and_a_future,
        a_caller_and_its_connection_closed,
        callers_one_after_the_other_and_posts,
        a_caller_and_the_end_of_the_peer,
    )
}


def scenario_of(name: str, **mutations: Any) -> Callable[[StepScheduler], None]:
    return lambda scheduler: SCENARIOS[name](Stage(scheduler, mutations=mutations))


@pytest.mark.parametrize("name", SCENARIOS)
def test_random_interleavings(name: str, seeds: range) -> None:
    assert explore_randomly(scenario_of(name), seeds) == len(seeds)


@pytest.mark.slow
@pytest.mark.parametrize("name", SCENARIOS)
def test_every_interleaving_with_few_preemptions(name: str) -> None:
    assert explore(scenario_of(name), max_preemptions=1, max_schedules=20_000) > 10


def looks_at_nothing_after_release(direct: DirectDispatcher) -> None:
    """A mutant: a thread that leaves does not look for what others have left."""


def recalls_nobody(direct: DirectDispatcher) -> None:
    """A mutant: the caller that has the turns is not called back."""


def enters_always(direct: DirectDispatcher, waiter: Any) -> bool:
    """A mutant: it enters although the turns may belong to somebody."""
    waiter.entered = direct
    direct._is_recalled = False
    return direct._be_silent()


def never_listens(direct: DirectDispatcher) -> None:
    direct._wants_listening = False


@pytest.mark.parametrize(
    ("name", "method", "mutant"),
    [
        (
            "callers_one_after_the_other_and_posts",
            "_look_after_release",
            looks_at_nothing_after_release,
        ),
        ("two_callers", "try_enter", enters_always),
        ("a_caller_and_a_future", "_listen", never_listens),
    ],
)
def test_mutant_is_caught(name: str, method: str, mutant: Any) -> None:
    with pytest.raises(ScheduleFailure):
        explore_randomly(scenario_of(name, **{method: mutant}), range(2000))
