"""Scheduler in threads that stop before each access to what they share: calls are put, taken, put
back, removed and expire at once, in every order with few preemptions and in random ones.

No call is lost, none is taken twice, and the connections take turns.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from pybrpc.base.flags import OnceFlag
from pybrpc.server.calls.call_queue import CallQueue
from pybrpc.server.running.scheduler import TURN_S, Scheduler
from pybrpc.testing.step_scheduler import StepScheduler, explore, explore_randomly
from tests.schedules.traced import TracedCounter, TracedDeque

pytestmark = pytest.mark.python_only


class SharedDeque(TracedDeque):
    """A deque with points before each access; `on_taken` is called with what leaves it in front."""

    def __init__(self, scheduler: StepScheduler, name: str) -> None:
        super().__init__(scheduler, name)
        self.on_taken: Callable[[Any], object] = lambda item: None

    def popleft(self) -> Any:
        self._scheduler.point(f"popleft of {self._name}")
        item = super().popleft()
        self.on_taken(item)
        return item

    def appendleft(self, item: Any) -> None:
        self._scheduler.point(f"appendleft to {self._name}")
        super().appendleft(item)

    def extend(self, items: Any) -> None:
        self._scheduler.point(f"extend {self._name}")
        super().extend(items)
        self._scheduler.point(f"extended {self._name}")

    def remove(self, item: Any) -> None:
        self._scheduler.point(f"remove from {self._name}")
        super().remove(item)

    def copy(self) -> Any:
        self._scheduler.point(f"copy {self._name}")
        return deque(self)

    def __len__(self) -> int:
        self._scheduler.point(f"count {self._name}")
        return super().__len__()

    def __getitem__(self, index: Any) -> Any:
        self._scheduler.point(f"look into {self._name}")
        return super().__getitem__(index)


class Call:
    """A slow call: the turn of its connection is over with it."""

    mean_s = 2 * TURN_S

    def __init__(self, queue: CallQueue, number: int, expires: bool = False) -> None:
        self.entry = self
        self.queue = queue
        self.number = number
        self.expires = expires

    def has_expired(self, now: float) -> bool:
        return self.expires

    def __repr__(self) -> str:
        return f"<call {self.number} of {id(self.queue)}>"


class Stage:
    """A Scheduler with traced parts, the queues of three connections, and where calls went."""

    def __init__(self, scheduler: StepScheduler, keeps_order: bool) -> None:
        self.steps = scheduler
        self.keeps_order = keeps_order
        self.scheduler = Scheduler()
        ready = self.scheduler._ready = SharedDeque(scheduler, "ready")
        ready.on_taken = lambda queue: self.order.append(("in hand", queue))
        # Calls may be taken before their number is added.
        self.scheduler._waiting = TracedCounter(scheduler, is_signed=True)
        self.queues = [self._queue(name) for name in "abc"]
        self.made: list[Call] = []
        self.out: list[list[Any]] = []
        self.order: list[tuple[str, CallQueue]] = []
        self.workers: set[int] = set()
        """Indexes of the threads that take calls."""

    def _queue(self, name: str) -> CallQueue:
        queue, flag = CallQueue(), OnceFlag()
        flag._count = TracedCounter(self.steps, f"is_listed of {name}")
        calls = SharedDeque(self.steps, f"calls of {name}")
        calls.on_taken = lambda call: self.order.append((self._what(), call.queue))
        queue.calls, queue.is_listed = calls, flag
        return queue

    def _what(self) -> str:
        """Why a call leaves its queue just now."""
        return "taken" if self.steps.running in self.workers else "removed"

    def put(self, index: int, *counts: int, expires: bool = False) -> None:
        """One read of a connection after the other."""
        queue = self.queues[index]
        for count in counts:
            number = sum(call.queue is queue for call in self.made)
            calls = [Call(queue, number + i, expires) for i in range(count)]
            self.made += calls
            self.scheduler.put(queue, calls)
            self.order.append(("was put", queue))

    def take(self, count: int = 2) -> None:
        """A worker. Calls of one connection must come in their order."""
        self.workers.add(self.steps.running)
        mine = [call for _ in range(count) if (call := self.scheduler.take()) is not None]
        self.out.append(mine)
        for queue in self.queues if self.keeps_order else ():
            numbers = [call.number for call in mine if call.queue is queue]
            assert numbers == sorted(numbers), mine

    def take_and_put_back(self) -> None:
        """A worker that can't begin the call."""
        self.workers.add(self.steps.running)
        call = self.scheduler.take()
        if call is not None:
            self.scheduler.put_back(call.queue, call)

    def remove(self, index: int) -> None:
        """The connection has failed."""
        self.out.append(self.scheduler.remove(self.queues[index], 2))

    def expire(self) -> None:
        self.out.append(self.scheduler.take_expired(0.0, 2))

    def finish(self) -> None:
        while (call := self.scheduler.take()) is not None:
            self.out.append([call])
        found = Counter(call for calls in self.out for call in calls)
        assert not any(count > 1 for count in found.values()), "a call was taken twice"
        assert found == Counter(self.made), "a call was lost"
        assert (self.scheduler.waiting(), self.scheduler.is_empty()) == (0, True)
        assert not any(queue.is_listed.is_set() for queue in self.queues)

    def check_turns(self) -> None:
        """Once a connection has put its first calls, each other one gets one more at most before
        a worker turns to it."""
        for queue in self.queues:
            its = [index for index, (_, whose) in enumerate(self.order) if whose is queue]
            if its and self.order[its[0]][0] == "was put":
                between = self.order[its[0] : [*its, len(self.order)][1]]
                served = Counter(whose for what, whose in between if what == "taken")
                assert all(count <= 1 for count in served.values()), "a connection was passed over"


Event = Callable[[Stage], object]


def put(index: int, *counts: int, expires: bool = False) -> Event:
    return lambda stage: stage.put(index, *counts, expires=expires)


def remove(index: int) -> Event:
    return lambda stage: stage.remove(index)


COURSES: dict[str, tuple[Event, ...]] = {
    "put, take": (put(0, 1, 1), Stage.take),
    "put, take, take": (put(0, 1, 1), Stage.take, Stage.take),
    "put to three, take": (put(0, 2), put(1, 1, 1), put(2, 1), Stage.take),
    "put, remove": (put(0, 2, 1), remove(0)),
    "put, remove, take": (put(0, 1, 1), remove(0), Stage.take),
    "put, remove, remove": (put(0, 2, 1), remove(0), remove(0)),
    "put to two, remove one, take": (put(0, 2), put(1, 1), remove(0), Stage.take),
    "put, put back, take": (put(0, 1, 1), Stage.take_and_put_back, Stage.take),
    "put, put back, remove": (put(0, 2), Stage.take_and_put_back, remove(0)),
    "put, expire, take": (put(0, 1, 1, expires=True), Stage.expire, Stage.take),
    "put, expire, remove": (put(0, 2, expires=True), Stage.expire, remove(0)),
    "put to two, expire one, take": (put(0, 1, expires=True), put(1, 1), Stage.expire, Stage.take),
}
BEGUN: dict[str, tuple[tuple[int, int], ...]] = {
    "nothing waits": (),
    "one connection waits": ((0, 1),),
    "two connections wait": ((1, 2), (0, 2)),
}


def scenario(events: tuple[Event, ...], begun: tuple[tuple[int, int], ...]) -> Any:
    def run(scheduler: StepScheduler) -> None:
        stage = Stage(scheduler, keeps_order=Stage.take_and_put_back not in events)
        for index, count in begun:
            stage.put(index, count)
        scheduler.run(*[partial(event, stage) for event in events])
        stage.finish()
        if stage.keeps_order:
            stage.check_turns()

    return run


@pytest.mark.slow
@pytest.mark.parametrize("begun", BEGUN.values(), ids=BEGUN)
@pytest.mark.parametrize("events", COURSES.values(), ids=COURSES)
def test_no_call_is_lost_or_taken_twice_and_connections_take_turns(
    events: tuple[Event, ...], begun: tuple[tuple[int, int], ...], seeds: range
) -> None:
    run = scenario(events, begun)
    if len(events) < 4:
        assert explore(run, max_preemptions=1) > 10
    assert explore_randomly(run, seeds) == len(seeds)


@pytest.mark.slow
def test_two_preemptions_lose_no_call_while_a_queue_is_filled_and_emptied() -> None:
    for name in ("put, take", "put, remove"):
        for begun in BEGUN.values():
            assert explore(scenario(COURSES[name], begun), max_preemptions=2) > 100
