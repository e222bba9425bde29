"""Inline tasks between turns, and the thread that polls when one of them takes long."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from pybrpc.testing.step_scheduler import ScheduleFailure, StepScheduler, explore_randomly
from pybrpc.transport.dispatch import standby
from pybrpc.transport.dispatch.epoll_dispatcher import EpollDispatcher
from pybrpc.transport.dispatch.poller_role import Waiter
from pybrpc.transport.dispatch.standby import StandbyPoller
from tests.fakes.dispatchers import run_inside
from tests.fakes.threads import WAIT_S
from tests.schedules.dispatchers import TracedDispatcher
from tests.schedules.traced import TracedCounter, TracedLock

FOR_EVER_S = 3600.0


class Work:
    """An inline task that lasts until it may end."""

    def __init__(self, may_end: bool = True) -> None:
        self.begun, self.may_end, self.ended = (threading.Event() for _ in range(3))
        self.handed_over = threading.Event()
        self.thread = 0
        if may_end:
            self.may_end.set()

    def run(self, is_handed_over: Callable[[], bool]) -> None:
        self.thread = threading.get_ident()
        self.begun.set()
        self.may_end.wait(WAIT_S)
        self.ended.set()

    def hand_over(self) -> None:
        self.handed_over.set()

    def end(self) -> None:
        self.may_end.set()
        assert self.ended.wait(WAIT_S)


@pytest.fixture
def epoll() -> Iterator[EpollDispatcher]:
    dispatcher = EpollDispatcher()
    dispatcher.require_polling()
    run_inside(dispatcher, lambda: None)
    yield dispatcher
    dispatcher.close()


def run_inline(dispatcher: EpollDispatcher, *tasks: object) -> None:
    """Have the tasks run; asks until a thread stands by, awake."""
    accepted: list[bool] = []

    def try_it() -> None:
        if dispatcher._inline.standby.is_available():
            accepted.extend(dispatcher.run_after_turn(task) for task in tasks)  # type: ignore[arg-type]

    deadline = time.monotonic() + WAIT_S
    while not accepted and time.monotonic() < deadline:
        if not dispatcher._inline.has_standby:
            start = functools.partial(
                dispatcher._inline.start_standby_thread, dispatcher._run_standby
            )
            run_inside(dispatcher, start)
        run_inside(dispatcher, try_it)
    assert accepted
    assert all(accepted)


def test_task_runs_in_the_polling_thread_outside_of_turns(epoll: EpollDispatcher) -> None:
    in_turn: list[bool] = []

    class Looking(Work):
        def run(self, is_handed_over: Callable[[], bool]) -> None:
            in_turn.append(epoll.is_current())
            super().run(is_handed_over)

    work = Looking()
    run_inline(epoll, work)
    assert work.ended.wait(WAIT_S)
    assert in_turn == [False]
    assert work.thread in {epoll._thread.ident, epoll._inline.standby_thread.ident}


def test_turns_go_on_while_a_task_lasts(epoll: EpollDispatcher) -> None:
    work = Work(may_end=False)
    run_inline(epoll, work)
    assert work.begun.wait(WAIT_S)
    pollers: list[int] = []
    run_inside(epoll, lambda: pollers.append(threading.get_ident()))
    assert work.handed_over.wait(WAIT_S)
    assert pollers != [work.thread]
    assert not work.ended.is_set()
    work.end()


def test_task_behind_a_long_one_is_handed_over(epoll: EpollDispatcher) -> None:
    first, second = Work(may_end=False), Work()
    run_inline(epoll, first, second)
    assert second.handed_over.wait(WAIT_S)
    first.end()
    run_inline(epoll, Work())
    assert not second.begun.is_set()


def test_task_can_ask_whether_it_was_handed_over(
    epoll: EpollDispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standby, "MAX_INLINE_S", FOR_EVER_S)
    answers: list[bool] = []

    class Asking(Work):
        def run(self, is_handed_over: Callable[[], bool]) -> None:
            answers.append(is_handed_over())
            epoll._inline.standby.hand_over_now()
            assert self.handed_over.wait(WAIT_S)
            answers.append(is_handed_over())
            super().run(is_handed_over)

    work = Asking()
    run_inline(epoll, work)
    assert work.ended.wait(WAIT_S)
    assert answers == [False, True]


@pytest.mark.python_only
def test_task_that_only_waits_for_a_processor_is_handed_over_later(
    epoll: EpollDispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After MAX_RUNNING_S."""
    asked = threading.Event()

    def is_blocked(native_id: int) -> bool:
        assert native_id in {thread.native_id for thread in threading.enumerate()}
        asked.set()
        return False

    monkeypatch.setattr(standby, "is_blocked", is_blocked)
    monkeypatch.setattr(standby, "MAX_RUNNING_S", FOR_EVER_S)
    work = Work(may_end=False)
    run_inline(epoll, work)
    assert asked.wait(WAIT_S)
    asked.clear()
    assert asked.wait(WAIT_S)
    assert not work.handed_over.is_set()
    monkeypatch.setattr(standby, "MAX_RUNNING_S", 0.0)
    assert work.handed_over.wait(WAIT_S)
    work.end()


def test_task_that_computes_is_handed_over_all_the_same(epoll: EpollDispatcher) -> None:
    class Computing(Work):
        def run(self, is_handed_over: Callable[[], bool]) -> None:
            deadline = time.monotonic() + WAIT_S
            while not self.handed_over.is_set() and time.monotonic() < deadline:
                sum(range(100))
            super().run(is_handed_over)

    work = Computing()
    run_inline(epoll, work)
    assert work.handed_over.wait(WAIT_S)
    assert work.ended.wait(WAIT_S)


def test_both_threads_hand_over_to_each_other_again_and_again(epoll: EpollDispatcher) -> None:
    threads = set()
    for _ in range(20):
        work = Work(may_end=False)
        run_inline(epoll, work)
        assert work.handed_over.wait(WAIT_S)
        work.end()
        threads.add(work.thread)
    assert len(threads) == 2


def test_task_is_refused_while_no_thread_stands_by(epoll: EpollDispatcher) -> None:
    work = Work(may_end=False)
    run_inline(epoll, work)
    assert work.handed_over.wait(WAIT_S)
    accepted: list[bool] = []
    run_inside(epoll, lambda: accepted.append(epoll.run_after_turn(Work())))
    assert accepted == [False]
    work.end()


def test_task_is_refused_outside_of_turns(epoll: EpollDispatcher) -> None:
    run_inline(epoll, Work())
    assert not epoll.run_after_turn(Work())


def test_sleeping_standby_thread_is_woken_for_tasks(epoll: EpollDispatcher) -> None:
    for _ in range(3):
        run_inline(epoll, Work())
        while not epoll._inline.standby._is_asleep:
            time.sleep(0.001)
        work = Work(may_end=False)
        run_inline(epoll, work)
        assert work.handed_over.wait(WAIT_S)
        work.end()


def test_task_that_blocks_in_a_call_is_handed_over_at_once(
    epoll: EpollDispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And it gets what it waits for."""
    monkeypatch.setattr(standby, "MAX_INLINE_S", FOR_EVER_S)
    waiter = Waiter()
    waited: list[bool] = []

    class Blocking(Work):
        def run(self, is_handed_over: Callable[[], bool]) -> None:
            epoll.post(waiter.end)
            waited.append(epoll.wait(waiter, time.monotonic() + WAIT_S))
            super().run(is_handed_over)

    work = Blocking()
    run_inline(epoll, work)
    assert work.ended.wait(WAIT_S)
    assert waited == [True]


def test_task_that_raises_is_logged_and_ends_nothing(
    epoll: EpollDispatcher, caplog: pytest.LogCaptureFixture
) -> None:
    class Raising(Work):
        def run(self, is_handed_over: Callable[[], bool]) -> None:
            raise SystemExit(1)

    work = Work()
    run_inline(epoll, Raising())
    run_inline(epoll, work)
    assert work.ended.wait(WAIT_S)
    assert "an inline task of" in caplog.text


def test_tasks_are_refused_if_no_second_thread_can_start(
    epoll: EpollDispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    accepted: list[bool] = []
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        run_inside(epoll, lambda: accepted.append(epoll.run_after_turn(Work())))
    run_inside(epoll, lambda: accepted.append(epoll.run_after_turn(Work())))
    assert accepted == [False, False]


def test_close_does_not_wait_for_a_task() -> None:
    dispatcher = EpollDispatcher()
    run_inside(dispatcher, lambda: None)
    work = Work(may_end=False)
    run_inline(dispatcher, work)
    assert work.begun.wait(WAIT_S)
    dispatcher.close()
    assert not work.ended.is_set()
    assert all(file.closed for file in dispatcher._runner.fds.wake_files)
    work.end()
    for thread in (dispatcher._thread, dispatcher._inline.standby_thread):
        thread.join(WAIT_S)
        assert not thread.is_alive()


def test_close_inside_a_task() -> None:
    dispatcher = EpollDispatcher()
    run_inside(dispatcher, lambda: None)

    class Closing(Work):
        def run(self, is_handed_over: Callable[[], bool]) -> None:
            dispatcher.close()
            super().run(is_handed_over)

    work = Closing()
    run_inline(dispatcher, work)
    assert work.ended.wait(WAIT_S)
    for thread in (dispatcher._thread, dispatcher._inline.standby_thread):
        thread.join(WAIT_S)
        assert not thread.is_alive()


# --- every schedule ---


class ImpatientLock(TracedLock):
    """A lock for which a wait with a timeout may give up at any time."""

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        if timeout < 0:
            return super().acquire(blocking)
        self._scheduler.point("wait with a timeout")
        is_mine, self._is_locked = not self._is_locked, True
        return is_mine


class TracedStandby(StandbyPoller):
    """A StandbyPoller with a traced flag, signal and `_is_asleep`."""

    def __init__(self, scheduler: StepScheduler) -> None:
        self._scheduler = scheduler
        self._sleeps = False
        super().__init__()
        self._is_claimed._count = TracedCounter(scheduler, "the claim")
        self._is_claimed.try_set()
        self._signal._lock = ImpatientLock(scheduler, "the signal", is_locked=True)  # type: ignore[assignment]

    @property
    def _is_asleep(self) -> bool:  # type: ignore[override]
        self._scheduler.point("look whether it sleeps")
        return self._sleeps

    @_is_asleep.setter
    def _is_asleep(self, sleeps: bool) -> None:
        self._scheduler.point("fall asleep" if sleeps else "awake")
        self._sleeps = sleeps

    def is_available(self) -> bool:
        return self.is_waiting


class InlineDispatcher(TracedDispatcher):
    """A traced dispatcher that notes when two turns run at once."""

    standby_class: type[TracedStandby] = TracedStandby

    def __init__(self, scheduler: StepScheduler) -> None:
        super().__init__(scheduler)
        self._inline.standby = self.standby_class(scheduler)
        self._inline.has_standby = True
        self.is_in_turn = False
        self.faults: list[str] = []
        self.require_polling()

    def _turn(self, longest_s: float, is_callers: bool) -> None:
        if self.is_in_turn:
            self.faults.append("two turns at once")
        self.is_in_turn = True
        super()._turn(longest_s, is_callers)
        self.is_in_turn = False


class InlineTask:
    """A task that may wait for a function that only another turn runs."""

    def __init__(self, dispatcher: InlineDispatcher, blocks: bool) -> None:
        self._dispatcher = dispatcher
        self._blocks = blocks
        self._is_answered = False
        self.is_done = False

    def run(self, is_handed_over: Callable[[], bool]) -> None:
        scheduler = self._dispatcher._scheduler
        if self._blocks:
            self._dispatcher.post(self._answer)
            scheduler.point("blocks")
            while not self._is_answered:
                scheduler.wait_for_others()
        self.is_done = True

    def _answer(self) -> None:
        self._is_answered = True

    def hand_over(self) -> None:
        self.is_done = True


def tasks_and_two_threads(scheduler: StepScheduler, kind: type[InlineDispatcher]) -> None:
    """Three turns accept two tasks each; the last two pairs begin with one that blocks."""
    dispatcher = kind(scheduler)
    pairs = [
        [InlineTask(dispatcher, blocks), InlineTask(dispatcher, False)] for blocks in (0, 1, 1)
    ]

    def begin(pair: list[InlineTask]) -> None:
        for task in pair:
            if not dispatcher.run_after_turn(task):
                task.hand_over()

    def ask() -> None:
        for pair in pairs:
            dispatcher.post(functools.partial(begin, pair))
            scheduler.point("asked")
            while not all(task.is_done for task in pair):
                scheduler.wait_for_others()
        dispatcher.post(dispatcher._stop)

    try:
        scheduler.run(dispatcher._run, dispatcher._run_standby, ask)
    finally:
        dispatcher.close_descriptors()
    assert not dispatcher.faults
    assert all(task.is_done for pair in pairs for task in pair)


@pytest.fixture
def hands_over_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tasks are handed over at any time."""
    monkeypatch.setattr(standby, "MAX_INLINE_S", 0.0)
    monkeypatch.setattr(standby, "MAX_RUNNING_S", 0.0)


@pytest.mark.slow
@pytest.mark.python_only
@pytest.mark.usefixtures("hands_over_soon")
@pytest.mark.parametrize("idle_waits", [0, 1])
def test_one_thread_polls_and_each_task_is_done_in_thousands_of_schedules(
    idle_waits: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One polls though a task blocks; no task that was accepted is forgotten."""
    monkeypatch.setattr(standby, "IDLE_WAITS", idle_waits)
    explore_randomly(
        lambda scheduler: tasks_and_two_threads(scheduler, InlineDispatcher), range(1000)
    )


class EndsBlindly(TracedStandby):
    """A mutant: a thread that ends inline work does not look whether another one polls."""

    def end_inline(self) -> bool:
        super().end_inline()
        return True


class SleepsBlindly(TracedStandby):
    """A mutant: sleeps without a last look."""

    def _sleep(self, begun: int) -> None:
        self._is_asleep = True
        self._signal.wait()
        self._is_asleep = False


class WakesNoThread(TracedStandby):
    """A mutant: a thread that begins inline work does not look whether the other one sleeps."""

    def begin_inline(self) -> None:
        self._begun += 1
        self._is_claimed.clear()


class PollsWithoutClaim(TracedStandby):
    """A mutant: looks at the claim, and does not set it."""

    def wait_for_handover(self) -> bool:
        self.is_waiting = True
        while not self._is_ended:
            if not self._is_claimed.is_set():
                return True
            self._scheduler.wait_for_others()
        return False


class ForgetsTasks(InlineDispatcher):
    """A mutant: hands no task over."""

    def _take_over(self) -> None:
        self._role.resume()


@pytest.mark.python_only
@pytest.mark.usefixtures("hands_over_soon")
@pytest.mark.parametrize(
    "mutant", [EndsBlindly, SleepsBlindly, WakesNoThread, PollsWithoutClaim, ForgetsTasks]
)
def test_mutant_is_caught(mutant: type, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standby, "IDLE_WAITS", 0)
    kind = mutant
    if issubclass(mutant, StandbyPoller):
        kind = type("Mutated", (InlineDispatcher,), {"standby_class": mutant})
    with pytest.raises(ScheduleFailure):
        explore_randomly(lambda scheduler: tasks_and_two_threads(scheduler, kind), range(1000))
