"""Which thread runs the turns: the dispatcher's own thread, or a caller that waits."""

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
from pybrpc.transport.dispatch.step_queue import FunctionWork
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


def wait_once(dispatcher: EpollDispatcher, pollers: set[int]) -> None:
    """Wait for a turn that comes a moment later, and note the thread that ran it."""
    waiter = Waiter()

    def end() -> None:
        pollers.add(threading.get_ident())
        waiter.end()

    dispatcher.call_at(time.monotonic() + 0.0005, end)
    assert dispatcher.wait(waiter, time.monotonic() + WAIT_S)


def wait_until_polling(dispatcher: EpollDispatcher) -> None:
    """Wait again and again, until a turn is run by the thread that waits."""
    pollers: set[int] = set()
    end = time.monotonic() + WAIT_S
    while threading.get_ident() not in pollers:
        assert time.monotonic() < end, "it never polled"
        wait_once(dispatcher, pollers)


def in_a_thread(function: object) -> None:
    in_threads(1, lambda index: function())  # type: ignore[operator]


def test_caller_that_waits_alone_polls_for_itself(epoll: EpollDispatcher) -> None:
    in_a_thread(lambda: wait_until_polling(epoll))


def test_main_thread_never_polls(epoll: EpollDispatcher) -> None:
    """Ctrl-C would end a turn in the middle."""
    pollers: set[int] = set()
    for _ in range(ROUNDS):
        wait_once(epoll, pollers)
    assert threading.get_ident() not in pollers


def test_no_caller_polls_while_there_is_background_work(
    epoll: EpollDispatcher,
) -> None:
    pollers: set[int] = set()

    def run() -> None:
        epoll.require_polling()
        for _ in range(ROUNDS):
            wait_once(epoll, pollers)
        assert threading.get_ident() not in pollers
        epoll.release_polling()
        wait_until_polling(epoll)

    in_a_thread(run)


def test_posted_function_runs_in_the_turn_of_a_caller_that_polls(epoll: EpollDispatcher) -> None:
    waiter, polls = Waiter(), threading.Event()
    ran: list[bool] = []

    def note_whether_a_caller_polls() -> None:
        if threading.get_ident() != epoll._thread.ident:
            polls.set()

    def poll() -> None:
        while not polls.is_set():
            wait_once(epoll, set())
            epoll.post(
                lambda: polls.set() if epoll._role.polling_thread != epoll._thread.ident else None
            )
        assert epoll.wait(waiter, time.monotonic() + WAIT_S)

    thread = threading.Thread(target=poll)
    thread.start()
    assert polls.wait(WAIT_S)
    epoll.post(lambda: ran.append(epoll.is_current()))
    epoll.post(waiter.end)
    thread.join(WAIT_S)
    assert ran == [True]


@pytest.mark.slow
def test_caller_is_served_when_another_one_that_polls_gives_up(epoll: EpollDispatcher) -> None:
    """The deadline of the one that polls comes while the other still waits."""
    for _ in range(50):
        patient, over = Waiter(), threading.Event()

        def wait_long(patient: Waiter = patient, over: threading.Event = over) -> None:
            assert epoll.wait(patient, time.monotonic() + WAIT_S)
            over.set()

        def poll(patient: Waiter = patient) -> None:
            for _ in range(TURNS_ALONE + 1):
                wait_once(epoll, set())
            assert not epoll.wait(Waiter(), time.monotonic() + 0.002)
            epoll.call_at(time.monotonic(), patient.end)

        threads = [threading.Thread(target=poll), threading.Thread(target=wait_long)]
        for thread in threads:
            thread.start()
        assert over.wait(WAIT_S)
        for thread in threads:
            thread.join(WAIT_S)


def test_wait_returns_false_at_its_deadline(epoll: EpollDispatcher) -> None:
    def run() -> None:
        for _ in range(TURNS_ALONE + 1):
            wait_once(epoll, set())
        assert not epoll.wait(Waiter(), time.monotonic() + 0.001)
        assert not epoll.wait(Waiter(), time.monotonic() - 1)

    in_a_thread(run)


def test_close_while_a_caller_polls_runs_what_was_posted(epoll: EpollDispatcher) -> None:
    polls, ran = threading.Event(), []
    left: list[bool] = []

    def run() -> None:
        for _ in range(ROUNDS):
            wait_once(epoll, set())
        polls.set()
        left.append(epoll.wait(Waiter(), time.monotonic() + 0.2))

    thread = threading.Thread(target=run)
    thread.start()
    assert polls.wait(WAIT_S)
    epoll.post(lambda: ran.append(1))
    epoll.close()
    assert not epoll._thread.is_alive()
    thread.join(WAIT_S)
    assert (ran, left) == ([1], [False])


@pytest.mark.parametrize("seed", range(3))
def test_all_callers_are_served_while_others_come_and_go(epoll: EpollDispatcher, seed: int) -> None:
    """Some have deadlines that pass, and there is background work now and then."""

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
    assert not epoll._role.has_background_work()
    assert not epoll._role.has_waiters()


# --- every schedule ---


def callers_and_the_own_thread(scheduler: StepScheduler, kind: type[TracedDispatcher]) -> None:
    """Two callers, one of them twice, the dispatcher's own thread, some background work, and a
    completion, which only that thread may run."""
    dispatcher = kind(scheduler)
    left = [1, 2, 3]

    def end() -> None:
        left.pop()
        if not left:
            dispatcher._is_closing = True
            dispatcher._role._own_thread_signal._lock._is_locked = False  # type: ignore[attr-defined]
            dispatcher.fds.wake()

    def call(name: str, times: int) -> None:
        for number in range(times):
            dispatcher.call(TracedWaiter(scheduler, f"{name}{number}"))
        end()

    def require_polling() -> None:
        dispatcher.require_polling()
        dispatcher.post(lambda: None)
        dispatcher.release_polling()
        dispatcher.complete(FunctionWork(complete, None, "a completion"))

    def complete(_: None) -> None:
        completed_in.append(threading.get_ident())
        end()

    def run() -> None:
        own_thread.append(threading.get_ident())
        dispatcher._run()

    completed_in: list[int] = []
    own_thread: list[int] = []
    try:
        scheduler.run(run, lambda: call("a", 2), lambda: call("b", 1), require_polling)
    finally:
        dispatcher.close_descriptors()
    assert completed_in == own_thread


@pytest.fixture
def gives_way_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """The dispatcher's own thread gives way as soon as it can."""
    monkeypatch.setattr(poller_role, "TURNS_ALONE", 1)


@pytest.mark.slow
@pytest.mark.python_only
@pytest.mark.usefixtures("gives_way_soon")
def test_some_thread_polls_while_any_waits_in_thousands_of_schedules() -> None:
    """Waits with a timeout never end by themselves here."""
    explore_randomly(
        lambda scheduler: callers_and_the_own_thread(scheduler, TracedDispatcher), range(3000)
    )


class ForgetsWaiters(TracedDispatcher):
    """A mutant: a caller that releases the role does not look for others that wait."""

    def _poll_for(self, waiter: Waiter, deadline: float) -> None:
        while not (waiter.is_over or self._role.has_background_work() or self._is_closing):
            self._turn(0, True)
        self._role.release()


class ForgetsCompletions(TracedDispatcher):
    """A mutant: a caller that polls does not wake the other thread for completions."""

    def _may_caller_poll(self) -> bool:
        return not (self._role.has_background_work() or self._is_closing)

    def _poll_for(self, waiter: Waiter, deadline: float) -> None:
        role = self._role
        while not (waiter.is_over or role.has_background_work() or self._is_closing):
            self._turn(0, True)
        role.release()
        if self._runner.posted or role.has_background_work() or role.has_waiters():
            role.wake_own_thread()


class LeavesTheChainAsleep(TracedDispatcher):
    """A mutant: the end of a turn wakes no caller."""

    def _turn(self, longest_s: float, is_callers: bool) -> None:
        self._runner.run_turn(0, is_callers)


class WaitsBlindly(TracedDispatcher):
    """A mutant: the dispatcher's own thread waits without a last look."""

    def _let_callers_poll(self) -> None:
        self._role._is_own_thread_waiting = True
        self._role._own_thread_signal.wait(1)
        self._role._is_own_thread_waiting = False


@pytest.mark.python_only
@pytest.mark.usefixtures("gives_way_soon")
@pytest.mark.parametrize(
    "mutant", [ForgetsWaiters, ForgetsCompletions, LeavesTheChainAsleep, WaitsBlindly]
)
def test_mutant_is_caught(mutant: type[TracedDispatcher]) -> None:
    with pytest.raises(ScheduleFailure, match="every thread waits"):
        explore_randomly(
            lambda scheduler: callers_and_the_own_thread(scheduler, mutant), range(1500)
        )
