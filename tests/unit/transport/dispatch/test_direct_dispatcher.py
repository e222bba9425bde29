"""DirectDispatcher over a running EpollDispatcher. Interleavings: test_direct_interleavings."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from pybrpc.base.deadline import NEVER
from pybrpc.transport.dispatch.direct_dispatcher import DirectDispatcher
from pybrpc.transport.dispatch.direct_waiter import DirectWaiter
from pybrpc.transport.dispatch.epoll_dispatcher import EpollDispatcher
from pybrpc.transport.dispatch.event_dispatcher import DispatcherClosedError
from tests.fakes.dispatchers import run_inside
from tests.fakes.threads import WAIT_S, wait_until


class Line:
    """A connection of two descriptors, whose reader ends the waiter of a response."""

    def __init__(self, epoll: EpollDispatcher) -> None:
        self.near, self.far = socket.socketpair()
        self.near.setblocking(False)
        self.direct = DirectDispatcher(epoll)
        self.waiter: DirectWaiter | None = None
        self.readers: list[int] = []
        run_inside(epoll, lambda: self.direct.add_reader(self.near.fileno(), self._read))

    def _read(self) -> None:
        self.readers.append(threading.get_ident())
        assert self.direct.is_current()
        try:
            data = self.near.recv(100)
        except BlockingIOError:
            return
        if data and self.waiter is not None:
            self.waiter.end()
        elif not data:
            self.direct.remove_reader(self.near.fileno())

    def enter(self) -> DirectWaiter:
        self.waiter = DirectWaiter()
        assert self.direct.try_enter(self.waiter)
        return self.waiter

    def close(self) -> None:
        self.waiter = None
        self.near.close()
        self.far.close()


@pytest.fixture
def line(epoll: EpollDispatcher) -> Iterator[Line]:
    made = Line(epoll)
    yield made
    run_inside(epoll, lambda: made.direct.remove_reader(made.near.fileno()))
    made.close()


def test_caller_reads_and_the_shared_dispatcher_does_not(line: Line) -> None:
    for _ in range(3):
        waiter = line.enter()
        assert "read by thread" in repr(line.direct)
        line.far.send(b"response")
        line.direct.read_for(waiter, NEVER)
        assert waiter.is_over
        assert waiter.entered is None
    assert line.readers == [threading.get_ident()] * 3
    assert "silent" in repr(line.direct)


def test_nobody_enters_before_there_is_a_reader_or_while_another_one_has(
    line: Line, epoll: EpollDispatcher
) -> None:
    assert not DirectDispatcher(epoll).try_enter(DirectWaiter())
    waiter = line.enter()
    other = DirectWaiter()
    assert not line.direct.try_enter(other)
    line.direct.leave(other)  # it has nothing to leave
    assert waiter.entered is line.direct
    line.direct.leave(waiter)


def test_deadline_ends_the_wait_and_the_shared_dispatcher_reads_on(line: Line) -> None:
    waiter = line.enter()
    line.direct.read_for(waiter, time.monotonic() + 0.02)
    assert not waiter.is_over
    line.far.send(b"late")
    wait_until(lambda: waiter.is_over)
    assert line.readers != [threading.get_ident()]


def test_what_is_posted_calls_the_caller_back_and_is_run_in_order(line: Line) -> None:
    waiter = line.enter()
    ran: list[Any] = []

    def post() -> None:
        for number in range(3):
            line.direct.post(lambda number=number: ran.append(number))
        line.direct.post_cleanup(lambda: ran.append("end"))

    threading.Timer(0.02, post).start()
    line.direct.read_for(waiter, time.monotonic() + WAIT_S)
    assert not waiter.is_over
    wait_until(lambda: len(ran) == 4)
    assert ran == [0, 1, 2, "end"]


def test_what_the_caller_posts_itself_it_runs_itself(line: Line) -> None:
    waiter = line.enter()
    ran: list[int] = []
    line.direct.post(lambda: ran.append(threading.get_ident()))
    line.far.send(b"response")
    line.direct.read_for(waiter, NEVER)
    assert ran == [threading.get_ident()]
    assert waiter.is_over


def test_what_it_has_posted_and_not_run_is_run_by_the_shared_dispatcher(line: Line) -> None:
    waiter = line.enter()
    ran: list[int] = []
    line.direct.post(lambda: ran.append(threading.get_ident()))
    line.direct.leave(waiter)
    wait_until(lambda: len(ran) == 1)
    assert ran != [threading.get_ident()]


def test_writer_of_a_caller_is_called_in_its_thread_and_handed_over(line: Line) -> None:
    waiter = line.enter()
    threads: list[int] = []

    def write() -> None:
        threads.append(threading.get_ident())
        if len(threads) == 2 or threads[-1] != threading.get_ident():
            line.direct.remove_writer(line.near.fileno())
            line.far.send(b"response")

    line.direct.add_writer(line.near.fileno(), write)
    line.direct.read_for(waiter, NEVER)
    assert threads == [threading.get_ident()] * 2

    waiter = line.enter()
    line.direct.add_writer(line.near.fileno(), lambda: handed_over(threading.get_ident()))
    others: list[int] = []

    def handed_over(thread: int) -> None:
        others.append(thread)
        line.direct.remove_writer(line.near.fileno())

    line.direct.leave(waiter)
    wait_until(lambda: len(others) == 1)
    assert others != [threading.get_ident()]


def test_silent_connection_that_its_peer_closes_is_read_once(line: Line) -> None:
    waiter = line.enter()
    line.far.send(b"response")
    line.direct.read_for(waiter, NEVER)
    line.far.send(b"x")
    assert not line.direct.has_ended()
    line.far.shutdown(socket.SHUT_WR)
    wait_until(lambda: len(line.readers) > 1)
    assert line.readers[-1] != threading.get_ident()


def test_call_that_nobody_reads_for_is_read_by_the_shared_dispatcher(line: Line) -> None:
    waiter = line.enter()
    line.far.send(b"response")
    line.direct.read_for(waiter, NEVER)
    line.waiter = later = DirectWaiter()
    line.direct.require_reader()
    line.far.send(b"response")
    wait_until(lambda: later.is_over)
    assert line.readers[-1] != threading.get_ident()


def test_exception_of_a_function_reaches_the_caller_and_the_turns_are_given_back(
    line: Line,
) -> None:
    waiter = line.enter()

    def fail() -> None:
        raise LookupError

    line.direct.post(fail)
    with pytest.raises(LookupError):
        line.direct.read_for(waiter, NEVER)
    line.direct.leave(line.enter())


def test_on_a_closed_dispatcher_nothing_is_posted_and_the_one_who_posts_runs_it() -> None:
    epoll = EpollDispatcher()
    line = Line(epoll)
    ran: list[str] = []
    epoll.close()
    with pytest.raises(DispatcherClosedError):
        line.direct.post(lambda: ran.append("posted"))
    with pytest.raises(DispatcherClosedError):
        line.direct.post_cleanup(lambda: ran.append("cleanup"))
    assert not line.direct.try_enter(DirectWaiter())
    assert ran == []
    line.close()


def test_caller_that_has_the_turns_runs_the_cleanup_of_a_closed_dispatcher() -> None:
    epoll = EpollDispatcher()
    line = Line(epoll)
    waiter = line.enter()
    ran: list[str] = []
    epoll.close()
    line.direct.post_cleanup(lambda: ran.append("cleanup"))
    line.direct.read_for(waiter, time.monotonic() + WAIT_S)
    assert ran == ["cleanup"]
    line.close()
