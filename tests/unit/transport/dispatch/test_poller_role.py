"""Who runs the turns: the dispatcher's own thread, or a caller that waits."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator

import pytest

from pybrpc.testing.step_scheduler import ScheduleFailure, StepScheduler, explore_randomly
from pybrpc.transport.dispatch import poller_role
from pybrpc.transport.dispatch.epoll_dispatcher import EpollDispatcher
from pybrpc.transport.dispatch.poller_role import TURNS_ALONE, Waiter
from tests.fakes.dispatchers import run_inside
from tests.fakes.threads import WAIT_S, in_threads
from tests.schedules.dispatchers import TracedDispatcher, TracedWaiter

ROUNDS = 20 * TURNS_ALONE


@pytest.fixture
def epoll() -> Iterator[EpollDispatcher]:
    dispatcher = EpollDispatcher()
    run_inside(dispatcher, lambda: None)
    yield dispatcher
    dispatcher.close()


def wait_once(dispatcher: EpollDispatcher, drivers: set[int]) -> None:
    """Wait for a turn that comes a moment later, and note who ran it."""
    waiter = Waiter()

    def end() -> None:
        drivers.add(threading.get_ident())
        waiter.end()

    dispatcher.call_at(time.monotonic() + 0.0005, end)
    assert dispatcher.wait(waiter, time.monotonic() + WAIT_S)


def wait_until_driving(dispatcher: EpollDispatcher) -> None:
    """Wait again and again, until a turn is run by the thread that waits."""
    drivers: set[int] = set()
    end = time.monotonic() + WAIT_S
    while threading.get_ident() not in drivers:
        assert time.monotonic() < end, "it never drove"
        wait_once(dispatcher, drivers)


def in_a_thread(function: object) -> None:
    in_threads(1, lambda index: function())  # type: ignore[operator]


def test_a_caller_alone_drives_itself(epoll: EpollDispatcher) -> None:
    in_a_thread(lambda: wait_until_driving(epoll))


def test_the_main_thread_never_drives(epoll: EpollDispatcher) -> None:
    """Ctrl-C would tear a turn apart."""
    drivers: set[int] = set()
    for _ in range(ROUNDS):
        wait_once(epoll, drivers)
    assert threading.get_ident() not in drivers


def test_nobody_drives_but_the_dispatcher_while_something_is_attended(
    epoll: EpollDispatcher,
) -> None:
    drivers: set[int] = set()

    def run() -> None:
        epoll.require_polling()
        for _ in range(ROUNDS):
            wait_once(epoll, drivers)
        assert threading.get_ident() not in drivers
        epoll.release_polling()
        wait_until_driving(epoll)

    in_a_thread(run)


def test_what_is_posted_while_a_caller_drives_runs_in_its_turn(epoll: EpollDispatcher) -> None:
    waiter, drives = Waiter(), threading.Event()
    ran: list[bool] = []

    def drive() -> None:
        while not drives.is_set():
            wait_once(epoll, set())
            epoll.post(lambda: drives.set() if epoll._seat.driver != epoll._thread.ident else None)
        assert epoll.wait(waiter, time.monotonic() + WAIT_S)

    thread = threading.Thread(target=drive)
    thread.start()
    assert drives.wait(WAIT_S)
    epoll.post(lambda: ran.append(epoll.is_current()))
    epoll.post(waiter.end)
    thread.join(WAIT_S)
    assert ran == [True]


@pytest.mark.slow
def test_who_waits_is_served_when_the_one_who_drives_has_enough(epoll: EpollDispatcher) -> None:
    """Its deadline comes while the others still wait."""
    for _ in range(50):
        patient, over = Waiter(), threading.Event()

        def wait_long(patient: Waiter = patient, over: threading.Event = over) -> None:
            assert epoll.wait(patient, time.monotonic() + WAIT_S)
            over.set()

        def drive(patient: Waiter = patient) -> None:
            for _ in range(TURNS_ALONE + 1):
                wait_once(epoll, set())
            assert not epoll.wait(Waiter(), time.monotonic() + 0.002)
            epoll.call_at(time.monotonic(), patient.end)

        threads = [threading.Thread(target=drive), threading.Thread(target=wait_long)]
        for thread in threads:
            thread.start()
        assert over.wait(WAIT_S)
        for thread in threads:
            thread.join(WAIT_S)


def test_a_deadline_that_passes_is_told(epoll: EpollDispatcher) -> None:
    def run() -> None:
        for _ in range(TURNS_ALONE + 1):
            wait_once(epoll, set())
        assert not epoll.wait(Waiter(), time.monotonic() + 0.001)
        assert not epoll.wait(Waiter(), time.monotonic() - 1)

    in_a_thread(run)


def test_close_while_a_caller_drives(epoll: EpollDispatcher) -> None:
    drives, ran = threading.Event(), []
    left: list[bool] = []

    def run() -> None:
        for _ in range(ROUNDS):
            wait_once(epoll, set())
        drives.set()
        left.append(epoll.wait(Waiter(), time.monotonic() + 0.2))

    thread = threading.Thread(target=run)
    thread.start()
    assert drives.wait(WAIT_S)
    epoll.post(lambda: ran.append(1))
    epoll.close()
    assert not epoll._thread.is_alive()
    thread.join(WAIT_S)
    assert (ran, left) == ([1], [False])


@pytest.mark.parametrize("seed", range(3))
def test_callers_that_come_and_go_are_all_served(epoll: EpollDispatcher, seed: int) -> None:
    """Some with deadlines that pass, while something is attended to now and then."""

    def run(index: int) -> None:
        choose = random.Random(seed * 100 + index)
        for _ in range(300):
            kind = choose.randrange(8)
            if kind == 0:
                epoll.wait(Waiter(), time.monotonic() + choose.random() / 1000)
            elif kind == 1:
                epoll.require_polling()
                time.sleep(choose.random() / 1000)
                epoll.release_polling()
            elif kind == 2:
                time.sleep(choose.random() / 200)
            else:
                wait_once(epoll, set())

    in_threads(4, run)
    assert not epoll._seat.has_background_work()
    assert not epoll._seat.is_waited_at


# --- every schedule ---


def callers_and_a_thread(scheduler: StepScheduler, kind: type[TracedDispatcher]) -> None:
    """Two callers, one of them twice, the dispatcher's own thread, and an attention between."""
    dispatcher = kind(scheduler)
    left = [1, 2, 3]

    def leave() -> None:
        left.pop()
        if not left:
            dispatcher._is_closing = True
            dispatcher._seat._nap._is_locked = False  # type: ignore[attr-defined]
            dispatcher._wake()

    def call(name: str, times: int) -> None:
        for number in range(times):
            dispatcher.call(TracedWaiter(scheduler, f"{name}{number}"))
        leave()

    def require_polling() -> None:
        dispatcher.require_polling()
        dispatcher.post(lambda: None)
        dispatcher.release_polling()
        leave()

    try:
        scheduler.run(dispatcher._run, lambda: call("a", 2), lambda: call("b", 1), require_polling)
    finally:
        dispatcher.close_descriptors()


@pytest.fixture
def soon_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The dispatcher's thread gives way as soon as it can; everybody may drive."""
    monkeypatch.setattr(poller_role, "TURNS_ALONE", 1)


@pytest.mark.slow
@pytest.mark.python_only
@pytest.mark.usefixtures("soon_alone")
def test_nobody_waits_while_nobody_drives() -> None:
    """Under thousands of schedules, in which naps never end by themselves."""
    explore_randomly(
        lambda scheduler: callers_and_a_thread(scheduler, TracedDispatcher), range(3000)
    )


class ForgetsWhoWaits(TracedDispatcher):
    """A mutant: who leaves the seat looks for nobody."""

    def _drive_for(self, waiter: Waiter, deadline: float) -> None:
        while not (waiter.is_over or self._seat.has_background_work() or self._is_closing):
            self._turn(0)
        self._seat.leave()


class LeavesTheChain(TracedDispatcher):
    """A mutant: a turn wakes nobody at its end."""

    def _turn(self, longest_s: float) -> None:
        events = self._poll(0)
        self._run_ready(events)
        while self._posted:
            self._call(self._posted.popleft())


class NapsBlindly(TracedDispatcher):
    """A mutant: the dispatcher's thread naps without a last look."""

    def _let_others_drive(self) -> None:
        self._seat._is_napping = True
        self._seat._nap.acquire(timeout=1)
        self._seat._is_napping = False


@pytest.mark.python_only
@pytest.mark.usefixtures("soon_alone")
@pytest.mark.parametrize("mutant", [ForgetsWhoWaits, LeavesTheChain, NapsBlindly])
def test_mutants_are_caught(mutant: type[TracedDispatcher]) -> None:
    with pytest.raises(ScheduleFailure, match="every thread waits"):
        explore_randomly(lambda scheduler: callers_and_a_thread(scheduler, mutant), range(1500))
