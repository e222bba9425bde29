"""The contract of every EventDispatcher: each function is run for each implementation."""

from __future__ import annotations

import contextlib
import errno
import socket as plain
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator

from pybrpc.base.deadline import NEVER
from pybrpc.transport.dispatch.event_dispatcher import EventDispatcher
from pybrpc.transport.dispatch.turn_runner import TURN_S
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


class Turns:
    """Counts turns of a dispatcher from `start` to `stop`."""

    def __init__(self, dispatcher: EventDispatcher) -> None:
        self._dispatcher = dispatcher
        self._is_over = False
        self.begun = 0

    def start(self) -> None:
        """In a turn."""
        if not self._is_over:
            self.begun += 1
            self._dispatcher.post(self.start)

    def stop(self) -> None:
        self._is_over = True


def work_long(dispatcher: EventDispatcher) -> None:
    """Spend all the time that one turn has for descriptors, in a turn."""
    time.sleep(TURN_S)
    if dispatcher.budget is not None:
        dispatcher.budget.charge(TURN_S)


@contextlib.contextmanager
def ready_pairs(count: int, data: bytes) -> Iterator[list[plain.socket]]:
    """Sockets in which `data` waits."""
    with contextlib.ExitStack() as stack:
        near = []
        for _ in range(count):
            ours, theirs = (stack.enter_context(sock) for sock in plain.socketpair())
            ours.setblocking(False)
            theirs.send(data)
            near.append(ours)
        yield near


def runs_few_long_readers_in_one_turn_and_each_in_its_order(dispatcher: EventDispatcher) -> None:
    """Those that are ready again come after those that have waited. At first nobody knows that
    they are long."""
    count, times = 8, 6
    turns, called, over = Turns(dispatcher), list[tuple[int, int]](), threading.Event()

    def reader(number: int, sock: plain.socket) -> Callable[[], None]:
        def read() -> None:
            sock.recv(1)
            called.append((turns.begun, number))
            work_long(dispatcher)
            if len(called) == count * times:
                turns.stop()
                over.set()

        return read

    with ready_pairs(count, b"x" * times) as near:

        def begin() -> None:
            turns.start()
            for number, sock in enumerate(near):
                dispatcher.add_reader(sock.fileno(), reader(number, sock))

        run_inside(dispatcher, begin)
        assert over.wait(WAIT_S)
        run_inside(dispatcher, lambda: [dispatcher.remove_reader(sock.fileno()) for sock in near])
    order = [number for _, number in called]
    assert sorted(order[:count]) == list(range(count))
    assert order == order[:count] * times
    # The count of turns goes up somewhere inside a turn.
    assert max(Counter(turn for turn, _ in called[3 * count :]).values()) <= 2


def does_not_call_a_reader_that_is_removed_while_it_waits_for_its_turn(
    dispatcher: EventDispatcher,
) -> None:
    called: list[int] = []

    with ready_pairs(8, b"x") as near:

        def reader(number: int) -> Callable[[], None]:
            def read() -> None:
                called.append(number)
                work_long(dispatcher)
                if len(called) == 25:
                    dispatcher.post(lambda: dispatcher.post(remove_all))

            return read

        def remove_all() -> None:
            removed_at.append(len(called))
            for sock in near:
                dispatcher.remove_reader(sock.fileno())
            is_removed.set()

        removed_at: list[int] = []
        is_removed = threading.Event()

        def begin() -> None:
            for number, sock in enumerate(near):
                dispatcher.add_reader(sock.fileno(), reader(number))

        run_inside(dispatcher, begin)
        assert is_removed.wait(WAIT_S)
        for _ in range(20):
            run_inside(dispatcher, lambda: None)
        assert 25 <= len(called) < 32
        assert removed_at == [len(called)]


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
    runs_few_long_readers_in_one_turn_and_each_in_its_order,
    does_not_call_a_reader_that_is_removed_while_it_waits_for_its_turn,
    removing_an_unknown_descriptor_does_nothing,
    goes_on_after_a_continuation_raised,
]
"""The rules for dispatchers of any number of descriptors."""

OF_MANY_READERS = (
    runs_few_long_readers_in_one_turn_and_each_in_its_order,
    does_not_call_a_reader_that_is_removed_while_it_waits_for_its_turn,
)
CONTRACT_OF_ONE_READER = [rule for rule in CONTRACT if rule not in OF_MANY_READERS]
"""The rules for a dispatcher of one connection."""
