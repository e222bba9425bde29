"""The end of a call, in threads that stop before each access to what they share: it starts, is
answered, fails with its connection, is cancelled and expires at once, in every order with few
preemptions and in random ones.

The call ends once, each of its attempts has one AttemptEnd, and nothing of it is left.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from functools import partial

import pytest

from pybrpc.client.calls.attempt import Attempt
from pybrpc.client.calls.call import Call
from pybrpc.client.endpoints.single_connections import SingleConnections
from pybrpc.errors import ErrorCode
from pybrpc.protocols.message import RpcResponse
from pybrpc.rpc import bounded_steps
from pybrpc.testing.step_scheduler import StepScheduler, explore, explore_randomly
from tests.fakes.connections import FakeCall, make_call
from tests.schedules.connections import CountedDict, HoldStage
from tests.schedules.traced import TracedSlot

pytestmark = [pytest.mark.python_only, pytest.mark.slow]

PATIENT_S = 1e6


class CallStage(HoldStage):
    """A call with traced parts that is about to start, or is in flight on the connection."""

    def __init__(self, scheduler: StepScheduler, max_retry: int) -> None:
        super().__init__(scheduler, SingleConnections)
        self.establish()
        self.answer()
        self.ends.clear()
        self.factory.attempts.clear()
        slots = {name: Call.__dict__[name] for name in ("_place", "_abort_error")}
        kind = type(
            "TracedCall",
            (FakeCall,),
            {name: TracedSlot(scheduler, slot, name) for name, slot in slots.items()},
        )
        self.tested: FakeCall = make_call(self.source, PATIENT_S, kind=kind, max_retry=max_retry)
        self.queue = self.source.timeouts.of(PATIENT_S)
        self.queue._calls = CountedDict(scheduler, "calls with a deadline")
        self.queue._late = CountedDict(scheduler, "calls that are late")
        self.queue._is_armed = True

    def start(self) -> None:
        self.tested.start()

    def abort(self) -> None:
        self.tested.abort(self.tested.canceled_error())

    def expire(self) -> None:
        """The deadline has passed: what the timer does then."""
        self.tested.deadline = 0.0
        for call in self.queue._due(1.0):
            self.queue._end(call)

    def give_up(self) -> None:
        """The timer, at the deadline and again when the owner has had a second."""
        self.expire()
        self.scheduler.point("a second later")
        for call in list(self.queue._late):
            self.queue._late[call] = 0.0
        for call in self.queue._lost(1.0):
            self.queue._end(call)

    def error_answer(self, code: int) -> None:
        """The server sends an error."""
        for connection in self.factory.made:
            for number in list(connection._pending):
                answer = RpcResponse(number, error_code=code, error_text="no")
                connection.on_messages(connection.socket, [answer])

    def finish(self) -> None:
        for _ in range(4):
            super().finish()
        assert len(self.tested.ends) == 1, "a call has another number of ends"
        assert len(self.ends) == len(self.factory.attempts), "an attempt has another number of ends"
        assert not any(dict.__len__(connection._pending) for connection in self.factory.made)
        assert len(self.queue) == 0, "its deadline is left"
        assert self.tested._place is None


Event = Callable[[CallStage], object]

EVENTS: dict[str, Event] = {
    "answer": CallStage.answer,
    "log-off": lambda stage: stage.error_answer(ErrorCode.ELOGOFF),
    "error": lambda stage: stage.error_answer(ErrorCode.EINTERNAL),
    "cancel": CallStage.abort,
    "deadline": CallStage.expire,
    "given up": CallStage.give_up,
    "fail": CallStage.fail,
    "turns": CallStage.turns,
}


@dataclasses.dataclass(frozen=True)
class Course:
    """Events that happen at once; the call starts at the same time or was in flight before."""

    events: tuple[str, ...]
    starts: bool = False
    max_retry: int = 3

    def run(self, scheduler: StepScheduler) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(bounded_steps, "MAX_PER_STEP", 1)
            stage = CallStage(scheduler, self.max_retry)
            slot = TracedSlot(scheduler, Attempt.__dict__["listeners"], "listeners")
            patch.setattr(Attempt, "listeners", slot)
            events: list[Callable[[], object]] = [
                partial(EVENTS[name], stage) for name in self.events
            ]
            if self.starts:
                events.insert(0, stage.start)
            else:
                stage.start()
            scheduler.run(*events)
            stage.dispatcher.run_until_idle()
            aborted = {"cancel"} if self.starts else {"cancel", "deadline", "given up"}
            assert stage.tested.ends or not aborted & {*self.events}, "aborted, and not over"
            stage.finish()


PAIRS = list(itertools.combinations(EVENTS, 2))
TRIPLES = [
    ("answer", "cancel", "deadline"),
    ("answer", "cancel", "given up"),
    ("answer", "fail", "turns"),
    ("cancel", "fail", "turns"),
    ("deadline", "fail", "turns"),
    ("given up", "fail", "turns"),
    ("log-off", "cancel", "given up"),
    ("error", "cancel", "deadline"),
]


def test_two_events_at_once_end_a_call_and_its_attempts_once() -> None:
    for pair in PAIRS:
        assert explore(Course(pair).run, max_preemptions=1) > 5


def test_two_events_while_a_call_starts_end_it_and_its_attempts_once(seeds: range) -> None:
    for pair in PAIRS:
        explore_randomly(Course(pair, starts=True).run, seeds[: len(seeds) // 3])


@pytest.mark.parametrize("starts", [False, True], ids=["sent", "starting"])
@pytest.mark.parametrize("triple", TRIPLES, ids=", ".join)
def test_three_events_at_once_end_a_call_and_its_attempts_once(
    triple: tuple[str, ...], starts: bool, seeds: range
) -> None:
    if not starts:
        assert explore(Course(triple).run, max_preemptions=1) > 10
    explore_randomly(Course(triple, starts).run, seeds)
    explore_randomly(Course(triple, starts, max_retry=0).run, seeds[: len(seeds) // 3])
