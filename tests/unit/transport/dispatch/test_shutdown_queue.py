"""ShutdownQueue: what is accepted runs, before any caller that is refused goes on."""

from __future__ import annotations

import functools
import threading

import pytest

from pybrpc.testing.step_scheduler import StepScheduler, TracedRef, explore
from pybrpc.transport.dispatch import shutdown_queue as module
from pybrpc.transport.dispatch.epoll_dispatcher import EpollDispatcher
from pybrpc.transport.dispatch.event_dispatcher import DispatcherClosedError
from pybrpc.transport.dispatch.shutdown_queue import ShutdownQueue
from tests.fakes.threads import WAIT_S


def test_function_runs_once_or_is_refused_after_all_others_in_every_interleaving(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    outcomes: set[tuple[str, ...]] = set()

    def scenario(scheduler: StepScheduler) -> None:
        monkeypatch.setattr(module, "atomic_ref", functools.partial(TracedRef, scheduler))
        posts = ShutdownQueue()
        happened: list[str] = []

        def end() -> None:
            while not posts.seal_if_empty():
                for function in posts.take():
                    function()

        def post(name: str) -> None:
            if not posts.push(lambda: happened.append(f"{name} is run")):
                happened.append(f"{name} is refused")

        scheduler.run(end, lambda: post("first"), lambda: post("second"))
        kinds = [what.split()[-1] for what in happened]
        assert len({what.split()[0] for what in happened}) == len(happened) == 2
        assert kinds == sorted(kinds, reverse=True), "run after another one was refused"
        outcomes.add(tuple(kinds))

    assert explore(scenario, max_preemptions=3) > 50
    assert outcomes == {("run", "run"), ("run", "refused"), ("refused", "refused")}


def test_queue_gives_functions_oldest_first_until_it_is_sealed() -> None:
    posts = ShutdownQueue()
    ran: list[int] = []
    for number in range(3):
        assert posts.push(functools.partial(ran.append, number))
    assert not posts.seal_if_empty()
    for function in posts.take():
        function()
    assert ran == [0, 1, 2]
    assert posts.seal_if_empty()
    assert posts.seal_if_empty()
    assert not posts.push(lambda: None)


def test_closing_dispatcher_accepts_cleanups_until_its_last_turn_is_over() -> None:
    dispatcher = EpollDispatcher()
    is_in_turn, may_go_on = threading.Event(), threading.Event()
    ran: list[str] = []

    def last() -> None:
        is_in_turn.set()
        assert may_go_on.wait(WAIT_S)
        ran.append("the last turn")

    def close_in_a_turn() -> None:
        dispatcher._stop()
        dispatcher._runner.posted.append(last)

    dispatcher.post(close_in_a_turn)
    assert is_in_turn.wait(WAIT_S)
    with pytest.raises(DispatcherClosedError):
        dispatcher.post(lambda: ran.append("never"))
    dispatcher.post_cleanup(lambda: ran.append("the cleanup"))
    may_go_on.set()
    assert dispatcher._ended.wait(WAIT_S)
    assert ran == ["the last turn", "the cleanup"]
    with pytest.raises(DispatcherClosedError):
        dispatcher.post_cleanup(lambda: ran.append("never"))
    dispatcher.close_descriptors()


def test_cleanup_is_refused_by_a_dispatcher_that_closed_without_a_turn() -> None:
    dispatcher = EpollDispatcher()
    dispatcher.close()
    with pytest.raises(DispatcherClosedError):
        dispatcher.post_cleanup(lambda: None)
