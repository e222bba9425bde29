"""The threads of a dispatcher go on after an exception that another thread has set in them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pybrpc.transport.dispatch import poller_role
from pybrpc.transport.dispatch.epoll_dispatcher import EpollDispatcher
from pybrpc.transport.dispatch.poller_role import PollerRole, Waiter
from pybrpc.transport.dispatch.standby import InlineTasks, StandbyPoller
from pybrpc.transport.dispatch.step_queue import FunctionWork, StepQueue
from pybrpc.transport.dispatch.turn_runner import TurnRunner
from tests.fakes.dispatchers import run_inside
from tests.fakes.threads import WAIT_S, wait_until

pytestmark = pytest.mark.python_only


class Boom(BaseException):
    """Raised by a time limit that comes too late."""


class RaisesOnce:
    """Has a method raise once in the threads of the dispatcher, before or after it is called."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, owner: type, name: str, late: bool) -> None:
        self.raised = threading.Event()
        self.is_armed = True
        whole = getattr(owner, name)

        def method(*arguments: Any) -> Any:
            if not late:
                self._raise()
            result = whole(*arguments)
            if late:
                self._raise()
            return result

        monkeypatch.setattr(owner, name, method)

    def _raise(self) -> None:
        if self.is_armed and threading.current_thread().name.startswith("struck"):
            self.is_armed = False
            self.raised.set()
            raise Boom


@pytest.fixture
def epoll(monkeypatch: pytest.MonkeyPatch) -> Iterator[EpollDispatcher]:
    monkeypatch.setattr(poller_role, "TURNS_ALONE", 1)
    dispatcher = EpollDispatcher("struck")
    yield dispatcher
    dispatcher.close(WAIT_S)
    assert repr(dispatcher).startswith("<EpollDispatcher closed")


def runs_work(epoll: EpollDispatcher) -> None:
    run_inside(epoll, lambda: None)
    over = threading.Event()
    epoll.complete(FunctionWork(lambda _: over.set(), None, "work"))
    assert over.wait(WAIT_S)


def poll_for_a_while(epoll: EpollDispatcher) -> None:
    """As a caller does, to which the own thread gives way."""
    for _ in range(5):
        waiter = Waiter()
        epoll.post(waiter.end)
        epoll.wait(waiter, time.monotonic() + 0.2)


OWN = [
    (PollerRole, "wait_until_needed"),
    (PollerRole, "acquire"),
    (PollerRole, "release"),
    (PollerRole, "pause"),
    (PollerRole, "should_give_way"),
    (TurnRunner, "run_turn"),
    (TurnRunner, "has_work"),
    (StepQueue, "run_step"),
]


@pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(("owner", "name"), OWN, ids=[name for _, name in OWN])
def test_own_thread_goes_on(
    epoll: EpollDispatcher, monkeypatch: pytest.MonkeyPatch, owner: type, name: str, late: bool
) -> None:
    once = RaisesOnce(monkeypatch, owner, name, late)
    for _ in range(50):
        runs_work(epoll)
        caller = threading.Thread(target=poll_for_a_while, args=(epoll,))
        caller.start()
        caller.join()
        if once.raised.is_set():
            break
    assert once.raised.is_set()
    runs_work(epoll)


class Task:
    def __init__(self) -> None:
        self.over = threading.Event()

    def run(self, is_handed_over: Callable[[], bool]) -> None:
        self.over.set()

    def hand_over(self) -> None:
        self.over.set()


INLINE = [
    (InlineTasks, "run"),
    (InlineTasks, "resume"),
    (InlineTasks, "take_begun"),
    (PollerRole, "pause"),
    (PollerRole, "resume"),
    (StandbyPoller, "begin_inline"),
    (StandbyPoller, "end_inline"),
    (StandbyPoller, "is_handed_over"),
    (StandbyPoller, "wait_for_handover"),
    (StandbyPoller, "_is_overdue"),
]


@pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(("owner", "name"), INLINE, ids=[name for _, name in INLINE])
def test_thread_that_runs_inline_tasks_and_the_other_go_on(
    epoll: EpollDispatcher, monkeypatch: pytest.MonkeyPatch, owner: type, name: str, late: bool
) -> None:
    epoll.require_polling()
    runs_work(epoll)
    once = RaisesOnce(monkeypatch, owner, name, late)
    accepted: list[Task] = []

    def offer() -> None:
        task = Task()
        if epoll.run_after_turn(task):
            accepted.append(task)
        if len(accepted) % 10 == 9:
            epoll._inline.standby.hand_over_now()

    for _ in range(3000):
        run_inside(epoll, offer)
        if once.raised.is_set() or len(accepted) > 200:
            break
    once.is_armed = False
    done = len(accepted)
    wait_until(lambda: all(task.over.is_set() for task in accepted))
    for _ in range(3000):
        run_inside(epoll, offer)
        if len(accepted) > done:
            break
    assert len(accepted) > done, "tasks run inline again"
    wait_until(lambda: all(task.over.is_set() for task in accepted))
    epoll.release_polling()


def test_thread_that_dies_while_it_handles_an_exception_is_replaced(
    epoll: EpollDispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    runs_work(epoll)
    first = epoll._thread
    RaisesOnce(monkeypatch, EpollDispatcher, "_polls_still", False)
    RaisesOnce(monkeypatch, EpollDispatcher, "_try_turn", True)
    for _ in range(2):
        run_inside(epoll, lambda: None)
    assert first is not None
    first.join(WAIT_S)
    assert not first.is_alive()
    runs_work(epoll)
    assert epoll._thread is not first


def test_role_that_an_interrupted_caller_has_kept_is_released(epoll: EpollDispatcher) -> None:
    assert epoll._role._lock.acquire(False)
    runs_work(epoll)


def test_caller_that_is_interrupted_before_it_polls_releases_the_role(
    epoll: EpollDispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    once = RaisesOnce(monkeypatch, EpollDispatcher, "_poll_for", False)
    found: list[BaseException] = []

    def call() -> None:
        try:
            epoll.wait(Waiter(), float("inf"))
        except Boom as error:
            found.append(error)

    caller = threading.Thread(target=call, name="struck caller")
    caller.start()
    caller.join(WAIT_S)
    assert once.raised.is_set()
    assert len(found) == 1
    runs_work(epoll)
