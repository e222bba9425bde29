"""TimeoutQueue on a dispatcher and a clock that the test moves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pybrpc.rpc import timeout_queue
from pybrpc.rpc.bounded_steps import MAX_PER_STEP
from pybrpc.rpc.timeout_queue import GRACE_S, TimeoutQueue, TimeoutQueues
from pybrpc.transport.dispatch.event_dispatcher import DispatcherClosedError


class Clock:
    """Stands in for the time module and for a dispatcher: timers run when the test moves it."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.timers: list[tuple[float, Callable[[], None]]] = []
        self.posted: list[Callable[[], None]] = []
        self.steps: list[float] = []
        self.raised: list[BaseException] = []
        self.error: Exception | None = None
        self.fired = 0
        self.is_closed = False

    def monotonic(self) -> float:
        return self.now

    def call_at(self, deadline: float, function: Callable[[], None]) -> None:
        if self.is_closed:
            raise DispatcherClosedError
        if self.error is not None:
            raise self.error
        self.timers.append((deadline, function))

    def post(self, function: Callable[[], None]) -> None:
        self.posted.append(function)

    def run(self, function: Callable[[], None]) -> None:
        """Run `function`, and what it posts, each in a turn of its own."""
        self.posted.append(function)
        while self.posted:
            self.steps.append(self.now)
            try:
                self.posted.pop(0)()
            except BaseException as error:
                self.raised.append(error)

    def advance(self, seconds: float) -> None:
        end = self.now + seconds
        while due := [timer for timer in self.timers if timer[0] <= end]:
            timer = min(due, key=lambda timer: timer[0])
            self.timers.remove(timer)
            self.now = max(self.now, timer[0])
            self.fired += 1
            self.run(timer[1])
        self.now = end


class Call:
    def __init__(self, clock: Clock, timeout_s: float) -> None:
        self.deadline = clock.now + timeout_s
        self.expired_at: list[float] = []
        self._clock = clock

    def expire(self) -> bool:
        self.expired_at.append(self._clock.now)
        return True

    def give_up(self) -> None:
        raise AssertionError("it has ended when it expired")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    clock = Clock()
    monkeypatch.setattr(timeout_queue, "time", clock)
    yield clock
    assert clock.raised == []


@pytest.fixture
def queues(clock: Clock) -> TimeoutQueues:
    return TimeoutQueues(clock)  # type: ignore[arg-type]


def add(queues: TimeoutQueues, clock: Clock, timeout_s: float) -> Call:
    call = Call(clock, timeout_s)
    queues.of(timeout_s).add(call)
    return call


def test_call_expires_once_at_its_deadline(queues: TimeoutQueues, clock: Clock) -> None:
    call = add(queues, clock, 5)
    clock.advance(4.99)
    assert call.expired_at == []
    clock.advance(100)
    assert call.expired_at == [1005]


def test_ended_call_does_not_expire(queues: TimeoutQueues, clock: Clock) -> None:
    call = add(queues, clock, 5)
    queues.of(5).discard(call)
    queues.of(5).discard(call)
    clock.advance(100)
    assert call.expired_at == []


def test_calls_expire_each_at_its_own_deadline(queues: TimeoutQueues, clock: Clock) -> None:
    calls = []
    for _ in range(10):
        calls.append(add(queues, clock, 5))
        clock.advance(1)
    clock.advance(100)
    assert [call.expired_at for call in calls] == [[1005 + i] for i in range(10)]


def test_timeouts_of_different_length_do_not_wait_for_each_other(
    queues: TimeoutQueues, clock: Clock
) -> None:
    long, short = add(queues, clock, 50), add(queues, clock, 5)
    assert len(queues) == 2
    clock.advance(100)
    assert (short.expired_at, long.expired_at) == ([1005], [1050])


def test_queue_needs_one_timer_under_steady_traffic(queues: TimeoutQueues, clock: Clock) -> None:
    """It fires about once per timeout, not once per call."""
    for _ in range(1000):
        call = add(queues, clock, 5)
        clock.advance(0.01)
        queues.of(5).discard(call)
    assert clock.fired <= 3
    assert len(clock.timers) <= 1


def test_calls_with_close_deadlines_expire_in_one_call_of_the_timer(
    queues: TimeoutQueues, clock: Clock
) -> None:
    calls = []
    for _ in range(100):
        calls.append(add(queues, clock, 5))
        clock.advance(0.00001)
    clock.advance(100)
    assert all(len(call.expired_at) == 1 for call in calls)
    assert clock.fired <= 3


def test_no_call_expires_early(queues: TimeoutQueues, clock: Clock) -> None:
    calls = []
    for _ in range(500):
        calls.append(add(queues, clock, 5))
        clock.advance(0.0004)
    clock.advance(100)
    late = [call.expired_at[0] - call.deadline for call in calls]
    assert min(late) >= 0
    assert max(late) <= 2 * timeout_queue.GRAIN_S


def test_empty_queue_is_removed(queues: TimeoutQueues, clock: Clock) -> None:
    for i in range(100):
        queue = queues.of(i)
        call = add(queues, clock, i)
        queue.discard(call)
    clock.advance(200)
    assert len(queues) == 0
    assert clock.timers == []


def test_call_added_to_a_removed_queue_expires(queues: TimeoutQueues, clock: Clock) -> None:
    queue = queues.of(5)
    add(queues, clock, 5)
    clock.advance(10)
    assert len(queues) == 0
    call = Call(clock, 5)
    queue.add(call)
    clock.advance(10)
    assert call.expired_at == [1015]


def test_call_added_while_the_last_one_expires_expires_too(
    queues: TimeoutQueues, clock: Clock
) -> None:
    added: list[Call] = []

    class Adding(Call):
        def expire(self) -> bool:
            added.append(add(queues, clock, 5))
            return super().expire()

    queues.of(5).add(Adding(clock, 5))
    clock.advance(100)
    assert [call.expired_at for call in added] == [[1010]]


def test_call_that_ends_while_another_expires_does_not_expire(
    queues: TimeoutQueues, clock: Clock
) -> None:
    """Both were due; ending the first ended the second."""

    class Ending(Call):
        def expire(self) -> bool:
            queues.of(5).discard(second)
            return super().expire()

    first, second = Ending(clock, 5), Call(clock, 5)
    for call in (first, second):
        queues.of(5).add(call)
    clock.advance(100)
    assert (first.expired_at, second.expired_at) == ([1005], [])


@pytest.mark.python_only
def test_call_added_by_a_thread_that_still_saw_the_queue_armed_expires(
    queues: TimeoutQueues, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the last look into the queue and the note that no timer runs."""
    added: list[Call] = []
    look = TimeoutQueue._oldest

    def look_and_let_another_add(queue: TimeoutQueue, calls: Any) -> object:
        found = look(queue, calls)
        if found is None and not added:
            added.append(add(queues, clock, 5))
        return found

    monkeypatch.setattr(TimeoutQueue, "_oldest", look_and_let_another_add)
    add(queues, clock, 5)
    clock.advance(100)
    assert [call.expired_at for call in added] == [[1010]]


def test_closed_dispatcher_is_no_error(queues: TimeoutQueues, clock: Clock) -> None:
    clock.is_closed = True
    add(queues, clock, 5)
    clock.is_closed = False
    second = add(queues, clock, 5)
    clock.advance(10)
    assert second.expired_at == [1005]


@pytest.mark.parametrize(("base_s", "step_s"), [(0.5, 0.001), (5, 0.01), (50, 0.1)])
def test_similar_timeouts_share_a_queue_and_expire_late_by_less_than_a_step(
    queues: TimeoutQueues, clock: Clock, base_s: float, step_s: float
) -> None:
    """As of a caller who hands down what is left of a deadline: never the same timeout twice."""
    timeouts = [base_s + 10 * step_s - i * step_s / 100 for i in range(1000)]
    calls = [add(queues, clock, timeout_s) for timeout_s in timeouts]
    assert len(queues) <= 12
    clock.advance(base_s + 12 * step_s)
    for call in calls:
        (expired_at,) = call.expired_at
        assert call.deadline <= expired_at < call.deadline + step_s + 2 * timeout_queue.GRAIN_S
    clock.advance(base_s)
    assert len(queues) == 0


class ChangedMeanwhile(dict[Call, None]):
    """A dict that another thread changes during an iteration."""

    disturbed = 0

    def __iter__(self) -> Iterator[Call]:
        if self.disturbed:
            self.disturbed -= 1
            raise RuntimeError("dictionary changed size during iteration")
        return super().__iter__()


@pytest.mark.python_only
def test_calls_added_and_removed_during_an_iteration_are_no_error(
    queues: TimeoutQueues, clock: Clock
) -> None:
    call = add(queues, clock, 5)
    queue = queues.of(5)
    calls = queue._calls = ChangedMeanwhile(queue._calls)  # type: ignore[arg-type,assignment]
    calls.disturbed = 3
    assert queue._oldest(calls) is call  # type: ignore[arg-type]
    calls.disturbed = 3
    clock.advance(10)
    assert call.expired_at == [1005]
    assert len(queue) == 0


def test_dispatcher_is_asked_for_only_when_needed(clock: Clock) -> None:
    class Maker:
        asked = 0

        @property
        def dispatcher(self) -> Clock:
            self.asked += 1
            return clock

    maker = Maker()
    queues = TimeoutQueues(None, maker)  # type: ignore[arg-type]
    assert maker.asked == 0
    calls = [add(queues, clock, timeout_s) for timeout_s in (5, 7)]
    assert maker.asked == 1
    assert queues.dispatcher is clock
    clock.advance(10)
    assert [call.expired_at for call in calls] == [[1005], [1007]]


# --- calls that another thread owns ---


class Owned(Call):
    """Its owner holds it at its deadline."""

    def __init__(self, clock: Clock, timeout_s: float) -> None:
        super().__init__(clock, timeout_s)
        self.given_up_at: list[float] = []

    def expire(self) -> bool:
        super().expire()
        return False

    def give_up(self) -> None:
        self.given_up_at.append(self._clock.now)


def add_owned(queues: TimeoutQueues, clock: Clock, timeout_s: float = 5) -> Owned:
    call = Owned(clock, timeout_s)
    queues.of(timeout_s).add(call)
    return call


def test_call_that_its_owner_lost_is_given_up_once_after_the_grace(
    queues: TimeoutQueues, clock: Clock
) -> None:
    call = add_owned(queues, clock)
    clock.advance(100)
    assert (call.expired_at, call.given_up_at) == ([1005], [1005 + GRACE_S])
    assert len(queues) == 0


def test_call_that_its_owner_ends_in_time_is_not_given_up(
    queues: TimeoutQueues, clock: Clock
) -> None:
    call = add_owned(queues, clock)
    queue = queues.of(5)
    clock.advance(5.5)
    assert len(queue) == 1
    assert queue.discard(call)
    clock.advance(100)
    assert call.given_up_at == []
    assert len(queues) == 0


@pytest.mark.parametrize("seconds", [0.0, 5.5])
def test_one_caller_of_discard_finds_the_call(
    queues: TimeoutQueues, clock: Clock, seconds: float
) -> None:
    call = add_owned(queues, clock)
    queue = queues.of(5)
    clock.advance(seconds)
    assert [queue.discard(call) for _ in range(3)] == [True, False, False]


def test_call_is_in_the_queue_while_it_expires(queues: TimeoutQueues, clock: Clock) -> None:
    """So its end, which `expire` brings about, finds it there."""
    found: list[bool] = []

    class Ending(Call):
        def expire(self) -> bool:
            found.append(queues.of(5).discard(self))
            return super().expire()

    queues.of(5).add(Ending(clock, 5))
    clock.advance(100)
    assert found == [True]


def test_lost_calls_are_given_up_among_calls_that_expire(
    queues: TimeoutQueues, clock: Clock
) -> None:
    lost, others = [], []
    for _ in range(20):
        lost.append(add_owned(queues, clock))
        others.append(add(queues, clock, 5))
        clock.advance(0.3)
    clock.advance(100)
    for call in others:
        assert len(call.expired_at) == 1
    for call in lost:
        (given_up_at,) = call.given_up_at
        assert GRACE_S <= given_up_at - call.deadline <= GRACE_S + 3 * timeout_queue.GRAIN_S


def test_entry_that_is_added_again_while_it_expires_expires_again(
    queues: TimeoutQueues, clock: Clock
) -> None:
    """As that of a hedge whose call is retried meanwhile."""

    class Again(Call):
        def expire(self) -> bool:
            if not self.expired_at:
                queues.of(5).discard(self)
                self.deadline = clock.now + 5
                queues.of(5).add(self)
            return super().expire()

    call = Again(clock, 5)
    queues.of(5).add(call)
    clock.advance(100)
    assert call.expired_at == [1005, 1010]


# --- what is raised, and how many expire at once ---


class Raising(Call):
    kind: type[BaseException] = ValueError

    def expire(self) -> bool:
        super().expire()
        raise self.kind

    def give_up(self) -> None:
        self.expired_at.append(self._clock.now)
        raise self.kind


@pytest.mark.parametrize("kind", [ValueError, SystemExit, GeneratorExit, MemoryError])
def test_expire_that_raises_loses_no_other_call_of_the_queue(
    queues: TimeoutQueues, clock: Clock, kind: type[BaseException]
) -> None:
    raising = []
    calls = []
    for _ in range(5):
        raising.append(Raising(clock, 5))
        raising[-1].kind = kind
        queues.of(5).add(raising[-1])
        calls.append(add(queues, clock, 5))
    clock.advance(100)
    later = add(queues, clock, 5)
    clock.advance(100)
    assert [call.expired_at for call in calls] == [[1005]] * 5
    assert [call.expired_at for call in raising] == [[1005, 1005 + GRACE_S]] * 5
    assert later.expired_at == [1105]
    assert len(queues) == 0
    assert {type(error) for error in clock.raised} == {kind}
    clock.raised.clear()


def test_many_calls_expire_in_bounded_steps(queues: TimeoutQueues, clock: Clock) -> None:
    calls = [add(queues, clock, 5) for _ in range(10 * MAX_PER_STEP)]
    clock.steps.clear()
    clock.advance(100)
    assert [call.expired_at for call in calls] == [[1005]] * len(calls)
    assert len(clock.steps) >= 10
    assert len(queues) == 0


def test_queue_whose_timer_can_not_be_set_sets_it_for_the_next_call(
    queues: TimeoutQueues, clock: Clock
) -> None:
    clock.error = RuntimeError("can't start new thread")
    with pytest.raises(RuntimeError):
        add(queues, clock, 5)
    clock.error = None
    second = add(queues, clock, 5)
    clock.advance(10)
    assert second.expired_at == [1005]
