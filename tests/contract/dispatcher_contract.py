"""The contract of every EventDispatcher: each function is run for each implementation."""

from __future__ import annotations

import errno
import socket as plain
import struct
import threading
import time

from pybrpc.base.deadline import NEVER
from pybrpc.transport.dispatch.event_dispatcher import EventDispatcher
from tests.fakes.dispatchers import run_inside
from tests.fakes.threads import WAIT_S, in_threads


def runs_what_is_posted_in_order(dispatcher: EventDispatcher) -> None:
    ran: list[int] = []
    for number in range(100):
        dispatcher.post(lambda number=number: ran.append(number))
    run_inside(dispatcher, lambda: None)
    assert ran == list(range(100))


def runs_all_that_many_threads_post(dispatcher: EventDispatcher) -> None:
    """Each thread waits for what it posted, so the dispatcher falls asleep again and again."""
    rounds = 500

    def run(index: int) -> None:
        ran = threading.Semaphore(0)
        for _ in range(rounds):
            dispatcher.post(ran.release)
            assert ran.acquire(timeout=WAIT_S), "a wake-up was lost"

    in_threads(4, run)


def runs_what_is_posted_inside_a_turn(dispatcher: EventDispatcher) -> None:
    ran = threading.Event()
    dispatcher.post(lambda: dispatcher.post(lambda: dispatcher.post(ran.set)))
    assert ran.wait(WAIT_S)


def is_current_only_inside_a_turn(dispatcher: EventDispatcher) -> None:
    seen: list[bool] = []
    assert not dispatcher.is_current()
    run_inside(dispatcher, lambda: seen.append(dispatcher.is_current()))
    assert seen == [True]
    assert not dispatcher.is_current()


def calls_a_timer_once_its_deadline_has_passed(dispatcher: EventDispatcher) -> None:
    called: list[float] = []
    over = threading.Event()
    deadline = time.monotonic() + 0.02
    dispatcher.call_at(deadline, lambda: (called.append(time.monotonic()), over.set()))
    assert over.wait(WAIT_S)
    assert called[0] >= deadline - 0.001


def calls_timers_in_the_order_of_their_deadlines(dispatcher: EventDispatcher) -> None:
    called: list[int] = []
    over = threading.Event()

    def set_all() -> None:
        now = time.monotonic()
        for number in (3, 1, 2):
            dispatcher.call_at(now + number * 0.01, lambda number=number: called.append(number))
        dispatcher.call_at(now + 0.05, over.set)

    dispatcher.post(set_all)
    assert over.wait(WAIT_S)
    assert called == [1, 2, 3]


def does_not_call_a_cancelled_timer(dispatcher: EventDispatcher) -> None:
    called: list[str] = []
    over = threading.Event()
    soon = time.monotonic() + 0.3
    cancelled_outside = dispatcher.call_at(soon, lambda: called.append("outside"))
    cancelled_outside.cancel()
    cancelled_outside.cancel()

    def set_and_cancel() -> None:
        dispatcher.call_at(soon, lambda: called.append("inside")).cancel()

    run_inside(dispatcher, set_and_cancel)
    dispatcher.call_at(soon + 0.02, over.set)
    assert over.wait(WAIT_S)
    assert called == []


def accepts_timers_that_never_come(dispatcher: EventDispatcher) -> None:
    """A deadline that is years away must neither end the dispatcher nor pass now."""
    called: list[str] = []
    timers = [
        dispatcher.call_at(deadline, lambda: called.append("called"))
        for deadline in (NEVER, time.monotonic() + 1e8, time.monotonic() + 1e15)
    ]
    for _ in range(3):
        run_inside(dispatcher, lambda: None)
    assert called == []
    for timer in timers:
        timer.cancel()


def calls_readers_and_writers_while_ready(dispatcher: EventDispatcher) -> None:
    near, far = plain.socketpair()
    with near, far:
        near.setblocking(False)
        read, wrote = threading.Semaphore(0), threading.Event()

        def on_readable() -> None:
            near.recv(1)
            read.release()

        def on_writable() -> None:
            dispatcher.remove_writer(near.fileno())
            wrote.set()

        run_inside(dispatcher, lambda: dispatcher.add_reader(near.fileno(), on_readable))
        run_inside(dispatcher, lambda: dispatcher.add_writer(near.fileno(), on_writable))
        assert wrote.wait(WAIT_S)
        far.send(b"ab")
        assert read.acquire(timeout=WAIT_S)
        assert read.acquire(timeout=WAIT_S)
        run_inside(dispatcher, lambda: dispatcher.remove_reader(near.fileno()))
        far.send(b"c")
        run_inside(dispatcher, lambda: None)
        assert near.recv(1) == b"c"


def reports_a_reset_that_comes_together_with_data(dispatcher: EventDispatcher) -> None:
    received: list[object] = []
    over = threading.Event()
    with plain.create_server(("127.0.0.1", 0)) as listener:
        near = plain.create_connection(listener.getsockname())
        far, _ = listener.accept()
    with near:
        near.setblocking(False)

        def on_readable() -> None:
            try:
                received.append(near.recv(10))
            except ConnectionResetError as error:
                received.append(error.errno)
                dispatcher.remove_reader(near.fileno())
                over.set()

        def send_and_reset() -> None:
            far.send(b"data")
            far.setsockopt(plain.SOL_SOCKET, plain.SO_LINGER, struct.pack("ii", 1, 0))
            far.close()

        run_inside(dispatcher, lambda: dispatcher.add_reader(near.fileno(), on_readable))
        run_inside(dispatcher, send_and_reset)
        assert over.wait(WAIT_S)
        assert received == [b"data", errno.ECONNRESET]


def removing_an_unknown_descriptor_does_nothing(dispatcher: EventDispatcher) -> None:
    near, far = plain.socketpair()
    with near, far:
        raised: list[Exception] = []

        def remove() -> None:
            try:
                dispatcher.remove_reader(near.fileno())
                dispatcher.remove_writer(near.fileno())
            except Exception as error:
                raised.append(error)

        run_inside(dispatcher, remove)
        assert raised == []


def goes_on_after_a_continuation_raised(dispatcher: EventDispatcher) -> None:
    def fail() -> None:
        raise ValueError("a continuation raised")

    dispatcher.post(fail)
    dispatcher.call_at(time.monotonic(), fail)
    run_inside(dispatcher, lambda: None)


CONTRACT = [
    runs_what_is_posted_in_order,
    runs_all_that_many_threads_post,
    runs_what_is_posted_inside_a_turn,
    is_current_only_inside_a_turn,
    calls_a_timer_once_its_deadline_has_passed,
    calls_timers_in_the_order_of_their_deadlines,
    does_not_call_a_cancelled_timer,
    accepts_timers_that_never_come,
    calls_readers_and_writers_while_ready,
    reports_a_reset_that_comes_together_with_data,
    removing_an_unknown_descriptor_does_nothing,
    goes_on_after_a_continuation_raised,
]
