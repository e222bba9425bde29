"""Holds in threads that stop before each access to what they share: taking one, releasing it, a
failure, a retirement and the idle sweep, in every order with few preemptions.

A hold that is accepted ends once: it is released, or its user hears of the failure. A connection is
closed for want of use only when nobody holds it, and then it is closed for certain.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from functools import partial

import pytest

from pybrpc.client.endpoints.pooled_connections import PooledConnections
from pybrpc.client.endpoints.single_connections import SingleConnections
from pybrpc.client.endpoints.source_base import SourceBase
from pybrpc.rpc import bounded_steps
from pybrpc.testing.step_scheduler import StepScheduler, explore, explore_randomly
from tests.schedules.connections import HoldStage

pytestmark = pytest.mark.python_only

Event = Callable[[HoldStage], object]


def release_a(stage: HoldStage) -> None:
    """RuntimeError is what the slower one of two threads gets."""
    try:
        stage.release("a")
    except RuntimeError:
        stage.users["a"].refused += 1


EVENTS: dict[str, Event] = {
    "hold b": lambda stage: stage.hold("b"),
    "hold c shortly": lambda stage: stage.hold_and_release("c"),
    "release a": release_a,
    "release a again": release_a,
    "release b": lambda stage: stage.release("b"),
    "fail": HoldStage.fail,
    "retire": HoldStage.retire,
    "sweep": HoldStage.sweep,
    "answer": HoldStage.answer,
    "cancel": lambda stage: stage.calls[0].abort(stage.calls[0].canceled_error()),
    "call": HoldStage.call,
    "call again": HoldStage.call,
    "turns": HoldStage.turns,
}


@dataclasses.dataclass(frozen=True)
class Course:
    """The holders of the connection, and events that happen at once."""

    events: tuple[str, ...]
    holders: str = "a"
    is_called: bool = False
    kind: type[SourceBase] = SingleConnections

    def run(self, scheduler: StepScheduler) -> None:
        with pytest.MonkeyPatch.context() as patch:
            # So that other threads come between any two users of a connection that has failed.
            patch.setattr(bounded_steps, "MAX_PER_STEP", 1)
            stage = HoldStage(scheduler, self.kind)
            stage.establish()
            for name in self.holders:
                stage.hold(name)
            if not self.is_called:
                stage.answer()
            scheduler.run(*[partial(EVENTS[name], stage) for name in self.events])
            if {"release a", "release a again"} <= {*self.events}:
                self._check_releases(stage)
            stage.finish()

    def _check_releases(self, stage: HoldStage) -> None:
        a = stage.users["a"]
        if stage.socket.error is None:
            assert (a.released, a.refused) == (1, 1)


NAMES = [name for name in EVENTS if name not in ("release b", "call again")]
PAIRS = [
    Course(pair, is_called=is_called)
    for pair in itertools.combinations(NAMES, 2)
    for is_called in (False, True)
]
TRIPLES = [
    ("hold b", "fail", "turns"),
    ("hold c shortly", "fail", "turns"),
    ("release a", "fail", "turns"),
    ("release a", "release a again", "fail"),
    ("release a", "hold b", "retire"),
    ("release a", "hold b", "sweep"),
    ("hold c shortly", "release a", "sweep"),
    ("answer", "release a", "retire"),
    ("cancel", "release a", "sweep"),
    ("answer", "cancel", "retire"),
    ("call", "release a", "sweep"),
    ("retire", "sweep", "release a"),
]


@pytest.mark.slow
def test_two_events_at_once_end_each_hold_once_and_close_only_what_is_unused() -> None:
    assert sum(explore(course.run, max_preemptions=1) for course in PAIRS) > 1000


@pytest.mark.slow
@pytest.mark.parametrize("triple", TRIPLES, ids=", ".join)
def test_three_events_at_once_end_each_hold_once_and_close_only_what_is_unused(
    triple: tuple[str, ...], seeds: range
) -> None:
    for is_called in (False, True):
        assert explore(Course(triple, is_called=is_called).run, max_preemptions=1) > 10
    explore_randomly(Course(triple).run, seeds)


@pytest.mark.parametrize("holders", ["abc", ""])
def test_each_of_some_users_hears_of_a_failure_while_a_turn_notifies_them(holders: str) -> None:
    course = Course(("release a" if holders else "hold b", "fail", "turns"), holders)
    assert explore(course.run, max_preemptions=1) > 10


@pytest.mark.slow
@pytest.mark.proof
def test_pool_gets_a_connection_back_once_when_two_users_end_at_once() -> None:
    """Else two calls would get it."""
    course = Course(("release a", "release b", "call", "call again"), "ab", kind=PooledConnections)
    assert explore(course.run, max_preemptions=2) > 100
