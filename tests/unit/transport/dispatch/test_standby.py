"""Errands between turns, and who drives when one of them takes long."""

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
from tests.schedules.traced import TracedLock

FOR_EVER_S = 3600.0


class Work:
    """An errand that lasts until it may end."""

    def __init__(self, may_end: bool = True) -> None:
        self.begun, self.may_end, self.ended = (threading.Event() for _ in range(3))
        self.handed_over = threading.Event()
        self.thread = 0
        if may_end:
            self.may_end.set()

    def run(self, is_relieved: Callable[[], bool]) -> None:
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


def lend(dispatcher: EpollDispatcher, *errands: object) -> None:
    """Have them run; asks until somebody stands by, awake."""
    is_lent: list[bool] = []

    def try_it() -> None:
        if dispatcher._relief.is_at_hand():
            is_lent.extend(dispatcher.lend(errand) for errand in errands)  # type: ignore[arg-type]

    deadline = time.monotonic() + WAIT_S
    while not is_lent and time.monotonic() < deadline:
        if not dispatcher._has_relief:
            run_inside(dispatcher, dispatcher._start_relief)
        run_inside(dispatcher, try_it)
    assert is_lent
    assert all(is_lent)


def test_an_errand_runs_in_the_thread_that_drives_but_in_no_turn(epoll: EpollDispatcher) -> None:
    in_turn: list[bool] = []

    class Looking(Work):
        def run(self, is_relieved: Callable[[], bool]) -> None:
            in_turn.append(epoll.is_current())
            super().run(is_relieved)

    work = Looking()
    lend(epoll, work)
    assert work.ended.wait(WAIT_S)
    assert in_turn == [False]
    assert work.thread in {epoll._thread.ident, epoll._relief_thread.ident}


def test_turns_go_on_while_an_errand_lasts(epoll: EpollDispatcher) -> None:
    work = Work(may_end=False)
    lend(epoll, work)
    assert work.begun.wait(WAIT_S)
    drivers: list[int] = []
    run_inside(epoll, lambda: drivers.append(threading.get_ident()))
    assert work.handed_over.wait(WAIT_S)
    assert drivers != [work.thread]
    assert not work.ended.is_set()
    work.end()


def test_what_waits_behind_a_long_errand_is_handed_over(epoll: EpollDispatcher) -> None:
    first, second = Work(may_end=False), Work()
    lend(epoll, first, second)
    assert second.handed_over.wait(WAIT_S)
    first.end()
    lend(epoll, Work())
    assert not second.begun.is_set()


def test_the_two_threads_relieve_each_other_again_and_again(epoll: EpollDispatcher) -> None:
    threads = set()
    for _ in range(20):
        work = Work(may_end=False)
        lend(epoll, work)
        assert work.handed_over.wait(WAIT_S)
        work.end()
        threads.add(work.thread)
    assert len(threads) == 2


def test_nothing_is_lent_while_nobody_stands_by(epoll: EpollDispatcher) -> None:
    work = Work(may_end=False)
    lend(epoll, work)
    assert work.handed_over.wait(WAIT_S)
    is_lent: list[bool] = []
    run_inside(epoll, lambda: is_lent.append(epoll.lend(Work())))
    assert is_lent == [False]
    work.end()


def test_nothing_is_lent_outside_a_turn(epoll: EpollDispatcher) -> None:
    lend(epoll, Work())
    assert not epoll.lend(Work())


def test_one_that_sleeps_is_roused(epoll: EpollDispatcher) -> None:
    for _ in range(3):
        lend(epoll, Work())
        while not epoll._relief._is_asleep:
            time.sleep(0.001)
        work = Work(may_end=False)
        lend(epoll, work)
        assert work.handed_over.wait(WAIT_S)
        work.end()


def test_who_blocks_in_an_errand_is_relieved_at_once(
    epoll: EpollDispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And is brought what it waits for."""
    monkeypatch.setattr(standby, "PATIENCE_S", FOR_EVER_S)
    waiter = Waiter()
    waited: list[bool] = []

    class Blocking(Work):
        def run(self, is_relieved: Callable[[], bool]) -> None:
            epoll.post(waiter.end)
            waited.append(epoll.wait(waiter, time.monotonic() + WAIT_S))
            super().run(is_relieved)

    work = Blocking()
    lend(epoll, work)
    assert work.ended.wait(WAIT_S)
    assert waited == [True]


def test_an_errand_that_raises_ends_nothing(
    epoll: EpollDispatcher, caplog: pytest.LogCaptureFixture
) -> None:
    class Raising(Work):
        def run(self, is_relieved: Callable[[], bool]) -> None:
            raise SystemExit(1)

    work = Work()
    lend(epoll, Raising())
    lend(epoll, work)
    assert work.ended.wait(WAIT_S)
    assert "an errand of" in caplog.text


def test_without_a_second_thread_nothing_is_lent(
    epoll: EpollDispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    is_lent: list[bool] = []
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        run_inside(epoll, lambda: is_lent.append(epoll.lend(Work())))
    run_inside(epoll, lambda: is_lent.append(epoll.lend(Work())))
    assert is_lent == [False, False]


def test_close_does_not_wait_for_an_errand() -> None:
    dispatcher = EpollDispatcher()
    run_inside(dispatcher, lambda: None)
    work = Work(may_end=False)
    lend(dispatcher, work)
    assert work.begun.wait(WAIT_S)
    dispatcher.close()
    assert not work.ended.is_set()
    assert not dispatcher._wake_fds
    work.end()
    for thread in (dispatcher._thread, dispatcher._relief_thread):
        thread.join(WAIT_S)
        assert not thread.is_alive()


def test_close_inside_an_errand() -> None:
    dispatcher = EpollDispatcher()
    run_inside(dispatcher, lambda: None)

    class Closing(Work):
        def run(self, is_relieved: Callable[[], bool]) -> None:
            dispatcher.close()
            super().run(is_relieved)

    work = Closing()
    lend(dispatcher, work)
    assert work.ended.wait(WAIT_S)
    for thread in (dispatcher._thread, dispatcher._relief_thread):
        thread.join(WAIT_S)
        assert not thread.is_alive()


# --- every schedule ---


class NappingLock(TracedLock):
    """A timed acquire may give up at any time."""

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        if timeout < 0:
            return super().acquire(blocking)
        self._scheduler.point("nap")
        is_mine, self._is_locked = not self._is_locked, True
        return is_mine


class TracedStandby(StandbyPoller):
    """Comes to a point of the scheduler before each access to what two threads share."""

    def __init__(self, scheduler: StepScheduler) -> None:
        self._scheduler = scheduler
        self._sleeps = False
        super().__init__()
        self._token = TracedLock(scheduler, "the token", is_locked=True)  # type: ignore[assignment]
        self._bell = NappingLock(scheduler, "the bell", is_locked=True)  # type: ignore[assignment]

    @property
    def _is_asleep(self) -> bool:  # type: ignore[override]
        self._scheduler.point("look who sleeps")
        return self._sleeps

    @_is_asleep.setter
    def _is_asleep(self, sleeps: bool) -> None:
        self._scheduler.point("fall asleep" if sleeps else "awake")
        self._sleeps = sleeps

    def is_at_hand(self) -> bool:
        return self.is_standing_by


class ErrandDispatcher(TracedDispatcher):
    """Says when two turns run at once."""

    relief_class: type[TracedStandby] = TracedStandby

    def __init__(self, scheduler: StepScheduler) -> None:
        super().__init__(scheduler)
        self._relief = self.relief_class(scheduler)
        self._has_relief = True
        self.is_in_turn = False
        self.faults: list[str] = []
        self.require_polling()

    def _turn(self, longest_s: float) -> None:
        if self.is_in_turn:
            self.faults.append("two turns at once")
        self.is_in_turn = True
        super()._turn(longest_s)
        self.is_in_turn = False


class InlineTask:
    """May wait for what only another turn can bring."""

    def __init__(self, dispatcher: ErrandDispatcher, blocks: bool) -> None:
        self._dispatcher = dispatcher
        self._blocks = blocks
        self._is_answered = False
        self.is_seen_to = False

    def run(self, is_relieved: Callable[[], bool]) -> None:
        scheduler = self._dispatcher._scheduler
        if self._blocks:
            self._dispatcher.post(self._answer)
            scheduler.point("blocks")
            while not self._is_answered:
                scheduler.wait_for_others()
        self.is_seen_to = True

    def _answer(self) -> None:
        self._is_answered = True

    def hand_over(self) -> None:
        self.is_seen_to = True


def errands_and_two_threads(scheduler: StepScheduler, kind: type[ErrandDispatcher]) -> None:
    """Three turns lend errands, two at a time; the last two pairs begin with one that blocks."""
    dispatcher = kind(scheduler)
    errands = [
        [InlineTask(dispatcher, blocks), InlineTask(dispatcher, False)] for blocks in (0, 1, 1)
    ]

    def lend(pair: list[InlineTask]) -> None:
        for errand in pair:
            if not dispatcher.lend(errand):
                errand.hand_over()

    def ask() -> None:
        for pair in errands:
            dispatcher.post(functools.partial(lend, pair))
            scheduler.point("asked")
            while not all(errand.is_seen_to for errand in pair):
                scheduler.wait_for_others()
        dispatcher.post(dispatcher._stop)

    try:
        scheduler.run(dispatcher._run, dispatcher._live_beside, ask)
    finally:
        dispatcher.close_descriptors()
    assert not dispatcher.faults
    assert all(errand.is_seen_to for pair in errands for errand in pair)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Relieved at any time."""
    monkeypatch.setattr(standby, "PATIENCE_S", 0.0)


@pytest.mark.slow
@pytest.mark.python_only
@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("calm_naps", [0, 1])
def test_under_every_schedule_one_drives(calm_naps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """And somebody does, though an errand blocks; nothing that was lent is forgotten."""
    monkeypatch.setattr(standby, "CALM_NAPS", calm_naps)
    explore_randomly(
        lambda scheduler: errands_and_two_threads(scheduler, ErrandDispatcher), range(1000)
    )


class ComesBackBlindly(TracedStandby):
    """A mutant: who comes back doesn't look whether somebody else drives."""

    def come_back(self) -> bool:
        super().come_back()
        return True


class SleepsBlindly(TracedStandby):
    """A mutant: without a last look."""

    def _sleep(self, errands: int) -> None:
        self._is_asleep = True
        self._bell.acquire()
        self._is_asleep = False


class RousesNobody(TracedStandby):
    """A mutant: who steps aside doesn't look who sleeps."""

    def begin_inline(self) -> None:
        self._errands += 1
        self._token.release()


class RelievesWithoutToken(TracedStandby):
    """A mutant: looks at the token, and doesn't take it."""

    def wait_for_handover(self) -> bool:
        self.is_standing_by = True
        while not self._is_over:
            if not self._token.locked():
                return True
            self._scheduler.wait_for_others()
        return False


class ForgetsErrands(ErrandDispatcher):
    """A mutant: hands nothing over."""

    def _take_over(self) -> None:
        self._seat.driver = threading.get_ident()


@pytest.mark.python_only
@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    "mutant", [ComesBackBlindly, SleepsBlindly, RousesNobody, RelievesWithoutToken, ForgetsErrands]
)
def test_mutants_are_caught(mutant: type, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standby, "CALM_NAPS", 0)
    kind = mutant
    if issubclass(mutant, StandbyPoller):
        kind = type("Mutated", (ErrandDispatcher,), {"relief_class": mutant})
    with pytest.raises(ScheduleFailure):
        explore_randomly(lambda scheduler: errands_and_two_threads(scheduler, kind), range(1000))
