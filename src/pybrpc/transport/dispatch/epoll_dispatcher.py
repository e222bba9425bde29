"""EpollDispatcher: waits with epoll; a daemon thread that is started when first needed drives it.

A thread that blocks for an answer may drive it too: see PollerRole. Between turns the thread that
drives may run errands, such as fast handlers, while a second one stands by: see StandbyPoller. Turns are
run by one thread at a time, and the seat changes hands between turns only.

Posting wakes the driver with one write to an eventfd, and only if it sleeps or is about to: it
raises `_is_sleeping` before it looks at the queue for the last time, and a poster looks at the flag
after it has queued. One of the two sees the other.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import logging
import os
import threading
import time
from collections import deque
from threading import get_ident

from pybrpc.base.atomic import atomic_counter
from pybrpc.base.deadline import NEVER, remaining_s
from pybrpc.transport.dispatch.event_dispatcher import Continuation, DispatcherClosedError
from pybrpc.transport.dispatch.fd_events import READ, WRITE, Poller, make_poller, make_wake_fds
from pybrpc.transport.dispatch.poller_role import NAP_S, NOBODY, PollerRole, Waiter
from pybrpc.transport.dispatch.shutdown_queue import ShutdownQueue
from pybrpc.transport.dispatch.standby import InlineTask, StandbyPoller

logger = logging.getLogger("pybrpc")

LONGEST_POLL_S = 86400.0
"""What epoll takes at most is 2**31 ms; a timer farther away is looked at again."""

CLOSE_LOOKS = 100
CLOSE_PAUSE_S = 0.001

_sequence = itertools.count()


class _Timer:
    __slots__ = ("deadline", "function", "sequence")

    def __init__(self, deadline: float, function: Continuation) -> None:
        self.deadline = deadline
        self.function: Continuation | None = function
        self.sequence = next(_sequence)

    def cancel(self) -> None:
        self.function = None

    def __lt__(self, other: _Timer) -> bool:
        return (self.deadline, self.sequence) < (other.deadline, other.sequence)


class EpollDispatcher:
    """An EventDispatcher with a thread of its own."""

    __slots__ = (
        "__weakref__",
        "_close_token",
        "_ended",
        "_errands",
        "_errands_begun",
        "_has_relief",
        "_is_closing",
        "_is_sleeping",
        "_is_started",
        "_main_thread",
        "_may_lend",
        "_name",
        "_poller",
        "_posted",
        "_readers",
        "_relief",
        "_relief_thread",
        "_run_token",
        "_seat",
        "_shutdown_queue",
        "_start_token",
        "_thread",
        "_timers",
        "_wake_fd",
        "_wake_fds",
        "_wake_write_fd",
        "_wakers",
        "_writers",
        "turns",
    )

    flushes_at_turn_end = True

    def __init__(self, name: str = "pybrpc-dispatcher") -> None:
        self._poller: Poller = make_poller()
        self._wake_fd, self._wake_write_fd = make_wake_fds()
        self._wake_fds = {self._wake_fd, self._wake_write_fd}
        self._poller.register(self._wake_fd, READ)
        self._readers: dict[int, Continuation] = {}
        self._writers: dict[int, Continuation] = {}
        self._posted: deque[Continuation] = deque()
        self._shutdown_queue = ShutdownQueue()
        self._timers: list[_Timer] = []
        self._is_sleeping = False
        self._is_closing = False
        self._is_started = False
        self._seat = PollerRole()
        self._relief = StandbyPoller()
        self._has_relief = False
        self._relief_thread: threading.Thread | None = None
        self._errands: list[InlineTask] = []
        self._errands_begun: list[InlineTask] = []
        self._may_lend = False
        self._ended = threading.Event()
        self._start_token = threading.Lock()
        self._run_token = threading.Lock()
        self._close_token = threading.Lock()
        self._wakers = atomic_counter()
        self._name = name
        self._main_thread = threading.main_thread().ident
        self._thread: threading.Thread | None = None
        self.turns = 0

    def start(self) -> None:
        """Start the thread now rather than with the first `post`."""
        if not self._start_token.acquire(blocking=False):
            return
        try:
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()
        except BaseException:
            # A signal handler raised, or there is no room for a thread: the next post tries again.
            self._start_token.release()
            raise

    def is_current(self) -> bool:
        return get_ident() == self._seat.driver

    def post(self, function: Continuation) -> None:
        if self._is_closing:
            raise DispatcherClosedError(f"{self!r} is closed")
        self._posted.append(function)
        if self._is_sleeping:
            self._wake()
        elif self._seat.is_empty:
            self._seat.rouse()
        elif not self._is_started:
            self.start()
        if self._is_closing:
            self._take_back(function)

    def post_cleanup(self, function: Continuation) -> None:
        """As in EventDispatcher: taken until the last turn is over."""
        with contextlib.suppress(DispatcherClosedError):
            self.post(function)
            return
        if not self._shutdown_queue.push(function):
            raise DispatcherClosedError(f"{self!r} is closed")

    def call_at(self, deadline: float, function: Continuation) -> _Timer:
        timer = _Timer(deadline, function)
        if deadline == NEVER:
            return timer
        if self.is_current():
            heapq.heappush(self._timers, timer)
        else:
            self.post(lambda: heapq.heappush(self._timers, timer))
        return timer

    def add_reader(self, fd: int, function: Continuation) -> None:
        self._set(self._readers, fd, function)

    def remove_reader(self, fd: int) -> None:
        self._unset(self._readers, fd)

    def add_writer(self, fd: int, function: Continuation) -> None:
        self._set(self._writers, fd, function)

    def remove_writer(self, fd: int) -> None:
        self._unset(self._writers, fd)

    def close(self, timeout_s: float = 5.0) -> None:
        """Run what was posted, end the thread and wait for it. Blocks; not inside a turn."""
        if self._is_closing or not self._close_token.acquire(blocking=False):
            return
        thread = self._thread
        is_over = thread is None or not thread.is_alive()
        if not is_over:
            self.post(self._stop)
            is_over = self._join(time.monotonic() + timeout_s)
        self._is_closing = True
        if is_over:
            self._run_cleanups()
        if is_over and self._nobody_wakes():
            self.close_descriptors()

    def _join(self, deadline: float) -> bool:
        """Wait for the last turn and for the threads, but not for one that is in an errand."""
        if not self._ended.wait(remaining_s(deadline)):
            return False
        for thread in (self._thread, self._relief_thread):
            if thread is not None and thread.ident not in (
                self._relief.aside,
                get_ident(),
            ):
                thread.join(remaining_s(deadline))
        return True

    def close_descriptors(self) -> None:
        """Close the descriptors without touching what they are registered with (after a fork)."""
        self._is_closing = True
        self._shutdown_queue.seal()
        self._relief.end()
        self._poller.close()
        fds, self._wake_fds = self._wake_fds, set()
        for fd in fds:
            os.close(fd)

    def __del__(self) -> None:
        # A signal handler that raised has left a thread counted in `_wake` for ever.
        for fd in getattr(self, "_wake_fds", None) or ():
            os.close(fd)

    def _wake(self) -> None:
        try:
            self._wakers.increment_and_get(1)
            if not self._is_closing:
                os.write(self._wake_write_fd, b"\1\0\0\0\0\0\0\0")
        except BlockingIOError:
            logger.debug("%r needs no waking: it has not read the last ones yet", self)
        finally:
            self._wakers.decrement_and_get(1)

    def _nobody_wakes(self) -> bool:
        """Wait until no thread is in `_wake`: it would write into what gets the number next."""
        for _ in range(CLOSE_LOOKS):
            if self._wakers.get() == 0:
                return True
            time.sleep(CLOSE_PAUSE_S)
        return False

    def _take_back(self, function: Continuation) -> None:
        """Closed while `function` was posted: either the thread has run it, or it never will."""
        try:
            self._posted.remove(function)
        except (ValueError, IndexError):
            return
        raise DispatcherClosedError(f"{self!r} is closed")

    def _stop(self) -> None:
        self._is_closing = True

    # --- who drives ---

    def require_polling(self) -> None:
        """As in EventDispatcher: until `release_polling` no caller drives."""
        if self._seat.require_polling(1) == 1 and not self.is_current():
            self._disturb()

    def release_polling(self) -> None:
        self._seat.require_polling(-1)

    def wait(self, waiter: Waiter, deadline: float) -> bool:
        """Block until `waiter.is_over`, and drive meanwhile if nobody else has to.

        False if the monotonic clock passed `deadline` first. Not inside a turn.
        """
        if get_ident() == self._main_thread:
            # A signal handler that raises here, such as Ctrl-C's, would tear a turn apart, and with
            # it the answers of others.
            return self._wait_driven(waiter, deadline)
        seat = self._seat
        if self._relief.aside == get_ident():
            self._relief.hasten()
        seat.register(waiter)
        try:
            while not waiter.is_over:
                if not seat.has_background_work() and not self._is_closing and seat.take():
                    self._drive_for(waiter, deadline)
                elif not waiter.sleep(deadline):
                    break
                if not waiter.is_over and time.monotonic() >= deadline:
                    break
        finally:
            seat.forget(waiter)
        return waiter.is_over

    def _wait_driven(self, waiter: Waiter, deadline: float) -> bool:
        self.require_polling()
        try:
            return waiter.sleep(deadline)
        finally:
            self.release_polling()

    def _drive_for(self, waiter: Waiter, deadline: float) -> None:
        """In the seat; leaves it at the end."""
        seat = self._seat
        try:
            while not (waiter.is_over or seat.has_background_work() or self._is_closing):
                left_s = deadline - time.monotonic()
                if left_s <= 0:
                    break
                self._turn(left_s)
        finally:
            seat.leave()
            if self._posted or self._is_closing or seat.has_background_work() or seat.is_waited_at:
                seat.rouse()

    def _disturb(self) -> None:
        """See that the dispatcher's own thread comes to drive."""
        if self._is_sleeping:
            self._wake()
        elif self._seat.is_empty:
            self._seat.rouse()

    def _run(self) -> None:
        if not self._run_token.acquire(blocking=False):
            return
        self._thread = threading.current_thread()
        self._is_started = True
        self._live()

    def _live(self) -> None:
        """Drive until the end, or until relieved; then stand by."""
        while not self._run_loop():
            if not self._relief.wait_for_handover():
                return
            self._take_over()
        self._relief.end()
        self._ended.set()

    def _run_loop(self) -> bool:
        """As the dispatcher's own thread; False if relieved."""
        while not self._is_closing:
            if self.is_current() or self._seat.take():
                if not self._drive():
                    return False
                self._seat.leave()
            self._let_others_drive()
        if not self.is_current():
            self._seat.acquire_blocking()
        while self._posted:
            self._call(self._posted.popleft())
        self._run_cleanups()
        self._seat.stop_driving()
        return True

    def _run_cleanups(self) -> None:
        """By the thread of the last turn, or without one by who closes."""
        while not self._shutdown_queue.seal_if_empty():
            for function in self._shutdown_queue.take():
                self._call(function)

    def _drive(self) -> bool:
        """In the seat, until callers can as well drive themselves; False if relieved."""
        self._may_lend = True
        while not self._is_closing:
            self._turn(LONGEST_POLL_S)
            if self._errands and not self._run_errands():
                return False
            if self._seat.should_give_way():
                break
        self._may_lend = False
        return True

    def _let_others_drive(self) -> None:
        """Nap as long as others do."""
        turns = NOBODY
        while turns != self.turns and not self._is_closing:
            turns = self.turns
            self._seat.nap(bool(self._posted or self._is_closing))
            if self._posted or self._seat.has_background_work() or self._seat.is_waited_at:
                break

    # --- errands ---

    def lend(self, errand: InlineTask) -> bool:
        """As in EventDispatcher: have the thread that drives run `errand` after this turn."""
        if not self._may_lend or not self.is_current() or not self._is_relief_at_hand():
            return False
        self._errands.append(errand)
        return True

    def _is_relief_at_hand(self) -> bool:
        if not self._has_relief:
            self._start_relief()
        return self._relief.is_at_hand()

    def _start_relief(self) -> None:
        """Once: without a second thread nothing is ever lent."""
        self._has_relief = True
        name = f"{self._name}-relief"
        thread = threading.Thread(target=self._live_beside, name=name, daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            logger.warning("%r can't start a second thread: %s", self, error)
        else:
            self._relief_thread = thread

    def _live_beside(self) -> None:
        if self._relief.wait_for_handover():
            self._take_over()
            self._live()

    def _run_errands(self) -> bool:
        """Outside of turns; False if relieved meanwhile."""
        relief = self._relief
        self._errands_begun, self._errands = self._errands, []
        self._may_lend = False
        self._seat.stop_driving()
        relief.begin_inline()
        for errand in self._errands_begun:
            if relief.is_relieved():
                break
            try:
                errand.run(relief.is_relieved)
            except BaseException:
                logger.exception("an errand of %r raised", self)
        if not relief.come_back():
            return False
        self._errands_begun = []
        self._seat.driver = get_ident()
        self._may_lend = True
        return True

    def _take_over(self) -> None:
        """Drive in place of who is in an errand."""
        self._seat.driver = get_ident()
        self._posted.extend(errand.hand_over for errand in self._errands_begun)
        self._errands_begun = []

    def _turn(self, longest_s: float) -> None:
        self.turns += 1
        if self._seat.chain:
            # A thread that died in the chain, or can't come up, holds nobody up for longer.
            longest_s = min(longest_s, NAP_S)
        timeout = self._seconds_to_next_timer(longest_s)
        self._is_sleeping = True
        if self._posted:
            timeout = 0
        events = self._poll(timeout)
        self._is_sleeping = False
        self._run_ready(events)
        if self._timers:
            self._run_due_timers()
        for _ in range(len(self._posted)):
            self._call(self._posted.popleft())
        self._seat.chain.wake_next()

    def _poll(self, timeout: float) -> list[tuple[int, int]]:
        return self._poller.poll(timeout)

    def _run_ready(self, events: list[tuple[int, int]]) -> None:
        for fd, mask in events:
            if fd == self._wake_fd:
                os.read(fd, 4096)
                continue
            # Errors and hang-ups come without being asked for, and wake reader and writer alike.
            if mask & ~WRITE and (reader := self._readers.get(fd)) is not None:
                self._call(reader)
            if mask & ~READ and (writer := self._writers.get(fd)) is not None:
                self._call(writer)

    def _seconds_to_next_timer(self, longest_s: float) -> float:
        timers = self._timers
        while timers:
            first = timers[0]
            if first.function is not None:
                left_s = max(0.0, first.deadline - time.monotonic())
                return min(left_s, longest_s, LONGEST_POLL_S)
            heapq.heappop(timers)
        return min(longest_s, LONGEST_POLL_S)

    def _run_due_timers(self) -> None:
        now = time.monotonic()
        while self._timers:
            first = self._timers[0]
            if first.deadline > now:
                return
            heapq.heappop(self._timers)
            if first.function is not None:
                self._call(first.function)

    def _call(self, function: Continuation) -> None:
        try:
            function()
        except BaseException:
            # SystemExit too: it would end the thread, and with it all connections, in silence.
            logger.exception("a continuation of %r raised", self)

    def _set(self, functions: dict[int, Continuation], fd: int, function: Continuation) -> None:
        was_known = fd in self._readers or fd in self._writers
        functions[fd] = function
        (self._poller.modify if was_known else self._poller.register)(fd, self._mask(fd))

    def _unset(self, functions: dict[int, Continuation], fd: int) -> None:
        if functions.pop(fd, None) is None:
            return
        mask = self._mask(fd)
        try:
            if mask:
                self._poller.modify(fd, mask)
            else:
                self._poller.unregister(fd)
        except (OSError, ValueError):
            logger.debug("descriptor %d was closed before it was unregistered", fd)

    def _mask(self, fd: int) -> int:
        return (READ if fd in self._readers else 0) | (WRITE if fd in self._writers else 0)

    def __repr__(self) -> str:
        state = "closed" if self._is_closing else "running" if self._is_started else "not started"
        return f"<EpollDispatcher {state}, {len(self._readers)} readers, {self.turns} turns>"
