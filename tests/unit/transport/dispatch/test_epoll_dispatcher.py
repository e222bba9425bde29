"""EpollDispatcher, beyond the contract of all dispatchers (tests/contract)."""

from __future__ import annotations

import contextlib
import logging
import os
import threading

import pytest

from pybrpc.transport.dispatch.epoll_dispatcher import EpollDispatcher
from pybrpc.transport.dispatch.event_dispatcher import DispatcherClosedError
from tests.fakes.dispatchers import run_inside
from tests.fakes.threads import WAIT_S, in_threads


def test_new_dispatcher_starts_no_thread() -> None:
    threads = threading.active_count()
    dispatcher = EpollDispatcher()
    assert "not started" in repr(dispatcher)
    assert threading.active_count() == threads
    dispatcher.close()


def test_first_posts_of_many_threads_start_one_thread(epoll: EpollDispatcher) -> None:
    threads = threading.active_count()
    ran = threading.Semaphore(0)
    in_threads(8, lambda index: epoll.post(ran.release))
    for _ in range(8):
        assert ran.acquire(timeout=WAIT_S)
    assert threading.active_count() == threads + 1


@pytest.mark.parametrize("is_used", [False, True])
def test_close_closes_the_descriptors_and_may_be_called_again(is_used: bool) -> None:
    """The fixture that counts descriptors judges."""
    for _ in range(20):
        dispatcher = EpollDispatcher()
        if is_used:
            dispatcher.post(lambda: None)
        dispatcher.close()
        dispatcher.close()
        assert "closed" in repr(dispatcher)


def test_close_runs_functions_posted_before() -> None:
    dispatcher = EpollDispatcher()
    ran: list[int] = []
    for number in range(10):
        dispatcher.post(lambda number=number: ran.append(number))
    dispatcher.close()
    assert ran == list(range(10))


def test_closed_dispatcher_refuses_posts_and_timers() -> None:
    dispatcher = EpollDispatcher()
    run_inside(dispatcher, lambda: None)
    dispatcher.close()
    with pytest.raises(DispatcherClosedError, match="is closed"):
        dispatcher.post(lambda: None)
    with pytest.raises(DispatcherClosedError):
        dispatcher.call_at(0.0, lambda: None)


def test_post_that_races_with_close_is_run_or_refused() -> None:
    """Never neither: a thread that posts the continuation of a write must know."""
    for _ in range(100):
        dispatcher = EpollDispatcher()
        run_inside(dispatcher, lambda: None)
        ran: list[int] = []
        accepted: list[int] = []

        def run(
            index: int,
            dispatcher: EpollDispatcher = dispatcher,
            ran: list[int] = ran,
            accepted: list[int] = accepted,
        ) -> None:
            if index == 0:
                dispatcher.close()
                return
            with contextlib.suppress(DispatcherClosedError):
                for number in range(1000):
                    dispatcher.post(lambda: ran.append(1))
                    accepted.append(number)

        in_threads(3, run)
        assert len(ran) == len(accepted)


def test_post_just_after_the_last_turn_is_refused() -> None:
    """The one moment in which no thread would run it: `post` began before the thread ended."""
    dispatcher = EpollDispatcher()
    run_inside(dispatcher, lambda: None)

    class ClosesOnAppend(type(dispatcher._runner.posted)):  # type: ignore[misc]
        def append(self, item: object) -> None:
            dispatcher._runner.posted = real
            dispatcher.close()
            real.append(item)

    real = dispatcher._runner.posted
    dispatcher._runner.posted = ClosesOnAppend()
    ran: list[int] = []
    with pytest.raises(DispatcherClosedError):
        dispatcher.post(lambda: ran.append(1))
    assert ran == []


def test_is_current_is_false_in_a_thread_with_the_identifier_of_the_ended_one() -> None:
    dispatcher = EpollDispatcher()
    run_inside(dispatcher, lambda: None)
    number = dispatcher._thread.ident
    dispatcher.close()
    seen: list[tuple[int, bool]] = []
    for _ in range(20):
        thread = threading.Thread(
            target=lambda: seen.append((threading.get_ident(), dispatcher.is_current()))
        )
        thread.start()
        thread.join(WAIT_S)
    assert [current for ident, current in seen if ident == number] == [
        False for ident, _ in seen if ident == number
    ]
    assert not any(current for _, current in seen)


def test_exception_of_a_continuation_is_logged(
    epoll: EpollDispatcher, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise ValueError("a continuation raised")

    with caplog.at_level(logging.ERROR, "pybrpc"):
        epoll.post(fail)
        run_inside(epoll, lambda: None)
    assert "a continuation raised" in caplog.text


def test_removing_a_descriptor_that_is_closed_is_no_error(epoll: EpollDispatcher) -> None:
    reader, writer = os.pipe()

    def watch_close_remove() -> None:
        epoll.add_reader(reader, lambda: None)
        os.close(reader)
        epoll.remove_reader(reader)

    run_inside(epoll, watch_close_remove)
    os.close(writer)
    run_inside(epoll, lambda: None)


def test_removing_a_reader_after_close_does_nothing() -> None:
    dispatcher = EpollDispatcher()
    reader, writer = os.pipe()
    run_inside(dispatcher, lambda: dispatcher.add_reader(reader, lambda: None))
    dispatcher.close()
    dispatcher.remove_reader(reader)
    os.close(reader)
    os.close(writer)
