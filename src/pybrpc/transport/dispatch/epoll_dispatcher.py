"""EpollDispatcher: waits with epoll; a daemon thread, started when first needed, runs its turns.

A caller that blocks for a response may poll instead of that thread: see PollerRole. Between turns
the polling thread may run inline tasks, such as fast handlers, while a standby thread waits: see
StandbyPoller. One thread at a time runs turns, and the poller role changes hands between turns
only. What a turn does is in TurnRunner; this module decides in which thread it is done.
"""

from __future__ import annotations

import contextlib
import threading
import time
from functools import partial
from threading import get_ident

from pybrpc.base.deadline import NEVER, remaining_s
from pybrpc.base.flags import OnceFlag
from pybrpc.base.guard import TRANSPORT
from pybrpc.base.thread_start import start_thread
from pybrpc.transport.dispatch.event_dispatcher import (
    Continuation,
    DispatcherClosedError,
    InlineTask,
)
from pybrpc.transport.dispatch.poller_role import LONGEST_DELAY_S, PollerRole, Waiter
from pybrpc.transport.dispatch.shutdown_queue import ShutdownQueue
from pybrpc.transport.dispatch.standby import InlineTasks
from pybrpc.transport.dispatch.step_queue import StepQueue, Work, run_work
from pybrpc.transport.dispatch.timers import Timer
from pybrpc.transport.dispatch.turn_runner import LONGEST_POLL_S, TurnRunner

MAX_FAILED_POLLS = 10
FAILED_POLL_PAUSE_S = 0.1

LAST_WORK_S = 1.0
"""Seconds for which a dispatcher that closes still accepts completions that others cause."""


class EpollDispatcher:
    """An EventDispatcher with a thread of its own."""

    __slots__ = (
        "__weakref__",
        "_close_once",
        "_ended",
        "_failed_polls",
        "_inline",
        "_is_closing",
        "_is_started",
        "_main_thread",
        "_name",
        "_refuses_work",
        "_role",
        "_run_once",
        "_runner",
        "_shutdown_queue",
        "_start_once",
        "_thread",
    )

    budget = None
    flushes_at_turn_end = True

    def __init__(self, name: str = "pybrpc-dispatcher") -> None:
        self._name = name
        self._runner = TurnRunner(name)
        self._shutdown_queue = ShutdownQueue()
        self._role = PollerRole()
        self._inline = InlineTasks(self._role, name)
        self._is_closing = False
        self._is_started = False
        self._refuses_work = False
        self._failed_polls = 0
        self._ended = threading.Event()
        self._start_once = OnceFlag()
        self._run_once = OnceFlag()
        self._close_once = OnceFlag()
        self._main_thread = threading.main_thread().ident
        self._thread: threading.Thread | None = None

    @property
    def turns(self) -> int:
        """Number of turns begun."""
        return self._runner.turns

    # --- the interface of EventDispatcher ---

    def is_current(self) -> bool:
        return get_ident() == self._role.polling_thread

    def post(self, function: Continuation) -> None:
        if self._is_closing:
            raise DispatcherClosedError(f"{self!r} is closed")
        self._runner.posted.append(function)
        self._wake()
        if self._is_closing:
            self._withdraw(function)

    def _wake(self) -> None:
        """There is something to do: have a turn run soon."""
        if self._runner.is_sleeping:
            self._runner.fds.wake()
        elif self._role.is_vacant():
            self._role.wake_own_thread()
        elif not self._is_started:
            self.start()

    def _withdraw(self, function: Continuation) -> None:
        """Closed while `function` was posted: either the thread has run it, or it never will."""
        try:
            self._runner.posted.remove(function)
        except (ValueError, IndexError):
            return
        raise DispatcherClosedError(f"{self!r} is closed")

    def post_cleanup(self, function: Continuation) -> None:
        """As in EventDispatcher: accepted until the last turn is over."""
        with contextlib.suppress(DispatcherClosedError):
            self.post(function)
            return
        if not self._shutdown_queue.push(function):
            raise DispatcherClosedError(f"{self!r} is closed")

    def complete(self, work: Work) -> None:
        self._add_work(self._runner.completions, work)

    def post_costly(self, work: Work) -> None:
        self._add_work(self._runner.costly, work)

    def _add_work(self, queue: StepQueue, work: Work) -> None:
        if not self._is_closing:
            queue.add(work)
            if not self.is_current():
                self._wake()
            if not self._is_closing or not queue.withdraw(work):
                return
        # It closes: accepted until the last turn is over.
        if self._refuses_work or not self._shutdown_queue.push(partial(run_work, work)):
            raise DispatcherClosedError(f"{self!r} is closed")

    def call_at(self, deadline: float, function: Continuation) -> Timer:
        timer = Timer(deadline, function)
        if deadline == NEVER:
            return timer
        if self.is_current():
            self._runner.timers.add(timer)
        else:
            self.post(lambda: self._runner.timers.add(timer))
        return timer

    def add_reader(self, fd: int, function: Continuation) -> None:
        self._runner.fds.add_reader(fd, function)

    def remove_reader(self, fd: int) -> None:
        self._runner.fds.remove_reader(fd)

    def set_silent(self, fd: int, is_silent: bool) -> bool:
        """Whether `fd` gives no events: `is_silent`. See FdEvents; for DirectDispatcher."""
        return self._runner.fds.set_silent(fd, is_silent)

    def add_writer(self, fd: int, function: Continuation) -> None:
        self._runner.fds.add_writer(fd, function)

    def remove_writer(self, fd: int) -> None:
        self._runner.fds.remove_writer(fd)

    def run_after_turn(self, task: InlineTask) -> bool:
        if not self._inline.is_open or not self.is_current():
            return False
        if not self._inline.has_standby:
            self._inline.start_standby_thread(self._run_standby)
        return self._inline.add(task)

    def require_polling(self) -> None:
        """As in EventDispatcher: until `release_polling` no caller polls."""
        if self._role.require_polling() and not self.is_current():
            self._role.relay.end()
            if self._runner.is_sleeping:
                self._runner.fds.wake()
            elif self._role.is_vacant():
                self._role.wake_own_thread()

    def release_polling(self) -> None:
        self._role.release_polling()

    def expects_writes(self) -> bool:
        """Whether a turn comes soon, and callers that are woken until then are likely to write."""
        return self._role.relay.is_open

    def wait(self, waiter: Waiter, deadline: float) -> bool:
        """Block until `waiter.is_over`, and poll meanwhile if no other thread polls.

        False if the monotonic clock passed `deadline` first. Not inside a turn.
        """
        if get_ident() == self._main_thread:
            # A signal handler that raises here, such as Ctrl-C's, would end a turn in the middle,
            # and lose the responses of other callers.
            return self._wait_without_polling(waiter, deadline)
        role = self._role
        if self._inline.standby.inline_thread == get_ident():
            self._inline.standby.hand_over_now()
        role.register(waiter)
        try:
            while not waiter.is_over:
                if self._may_caller_poll() and role.acquire():
                    self._poll_for(waiter, deadline)
                elif not waiter.sleep(deadline):
                    break
                if not waiter.is_over and time.monotonic() >= deadline:
                    break
        except BaseException:
            if self.is_current():  # interrupted before `_poll_for` began
                role.release()
                role.wake_own_thread()
            raise
        finally:
            role.forget(waiter)
        return waiter.is_over

    # --- a caller's thread ---

    def _wait_without_polling(self, waiter: Waiter, deadline: float) -> bool:
        self.require_polling()
        try:
            return waiter.sleep(deadline)
        finally:
            self.release_polling()

    def _may_caller_poll(self) -> bool:
        """Whether nothing is left to the dispatcher's own thread."""
        return not (
            self._role.has_background_work()
            or self._is_closing
            or not self._runner.completions.is_empty()
        )

    def _poll_for(self, waiter: Waiter, deadline: float) -> None:
        """Run turns until `waiter.is_over`, then release the role.

        Completions, which are user code, are left to the dispatcher's own thread. Raises what was
        set in this thread from outside meanwhile.
        """
        role, runner = self._role, self._runner
        try:
            while not waiter.is_over and self._may_caller_poll():
                left_s = deadline - time.monotonic()
                if left_s <= 0:
                    break
                self._turn(left_s, True)
                if runner.interruption is not None:
                    break
        finally:
            interruption = runner.take_interruption()
            role.release()
            if (
                runner.has_work()
                or self._is_closing
                or role.has_background_work()
                or role.has_waiters()
            ):
                role.wake_own_thread()
        if interruption is not None:
            raise interruption

    # --- the dispatcher's own threads ---

    def start(self) -> None:
        """Start the thread now rather than with the first `post`."""
        if not self._start_once.try_set():
            return
        try:
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            start_thread(self._thread)
        except BaseException:
            # A signal handler raised, or there is no room for a thread: the next post tries again.
            self._start_once.clear()
            raise

    def _run(self) -> None:
        if not self._run_once.try_set():
            return
        self._thread = threading.current_thread()
        self._is_started = True
        self._inline.standby.claim()
        self._run_loops(True)

    def _run_standby(self) -> None:
        self._run_loops(False)

    def _run_loops(self, polls: bool) -> None:
        """Poll, or wait as the standby thread, until the dispatcher is closed.

        Another thread can set an exception in this one, as time limits do which come too late. It
        is logged, wherever it strikes, and ends no thread.
        """
        is_over = False
        try:
            while not is_over:
                try:
                    if self._poll_and_stand_by(polls):
                        self._end_loops()
                    is_over = True
                except BaseException as error:
                    name = threading.current_thread().name
                    TRANSPORT.caught("%s was interrupted", name, error=error)
                    polls = self._polls_still()
        finally:
            if not is_over:  # a second exception, in the handling of the first
                self._replace_thread()

    def _polls_still(self) -> bool:
        """After an interruption: whether this thread polls. False: it is the standby thread."""
        inline = self._inline
        if not inline.standby.is_mine():
            return False
        if inline.is_paused:
            self._take_over()
        return True

    def _replace_thread(self) -> None:
        thread = threading.current_thread()
        is_standby = thread is self._inline.standby_thread
        ident = get_ident()
        target = partial(self._run_again, ident)
        new = threading.Thread(target=target, name=thread.name, daemon=True)
        if is_standby:
            self._inline.standby_thread = new
        else:
            self._thread = new
        new.start()

    def _run_again(self, replaced: int) -> None:
        """Go on instead of the thread `replaced`."""
        standby = self._inline.standby
        polls = standby.claimed_by in (replaced, 0)
        if polls:
            standby.claim()
            if self._role.polling_thread == replaced or self._inline.is_paused:
                self._take_over()
        self._run_loops(polls)

    def _poll_and_stand_by(self, polls: bool) -> bool:
        """Poll until closed; after each handover, wait as the standby thread. False if the other
        thread ends it."""
        standby = self._inline.standby
        while not polls or not self._run_loop():
            polls = True
            if not standby.wait_for_handover():
                return False
            self._take_over()
        return True

    def _end_loops(self) -> None:
        self._inline.standby.end()
        self._ended.set()
        if self._failed_polls and self._runner.fds.seal():
            self.close_descriptors()

    def _take_over(self) -> None:
        """Poll instead of the thread that runs inline tasks."""
        self._inline.resume()
        self._runner.posted.extend(self._inline.take_begun())

    def _run_loop(self) -> bool:
        """Run turns, or wait while callers do, until closed. False after a handover."""
        role = self._role
        while not self._is_closing:
            if self.is_current() or role.acquire():
                if not self._run_turns():
                    return False
                role.release()
            role.release_if_lost(self._runner.turns)
            self._let_callers_poll()
        if not self.is_current():
            role.acquire_blocking()
        self._runner.run_all()
        self._run_cleanups()
        role.pause()
        return True

    def _run_turns(self) -> bool:
        """Run turns until callers may as well poll for themselves. False after a handover."""
        inline = self._inline
        if inline.tasks and not inline.run():
            return False  # an interruption has left them
        inline.is_open = True
        while not self._is_closing:
            if not self._try_turn():
                continue
            if inline.tasks and not inline.run():
                return False
            if self._role.relay.has_begun:
                self._role.wait_for_relay()
            if self._role.should_give_way():
                break
        inline.is_open = False
        return True

    def _try_turn(self) -> bool:
        """Run a turn. False if it could not poll, such as after another part of the process has
        closed the descriptors. After MAX_FAILED_POLLS in a row the dispatcher closes: it accepts
        nothing more, so that nobody waits for it in vain.
        """
        try:
            self._turn(LONGEST_POLL_S, False)
        except BaseException as error:
            TRANSPORT.caught("%r can't poll", self, error=error)
            self._failed_polls += 1
            if self._failed_polls >= MAX_FAILED_POLLS:
                self._is_closing = True
            elif self._failed_polls > 1:  # the first may be an exception set from outside
                time.sleep(FAILED_POLL_PAUSE_S)
            return False
        self._failed_polls = 0
        return True

    def _let_callers_poll(self) -> None:
        """Wait as long as callers run turns."""
        role = self._role
        turns = -1
        while turns != self._runner.turns and not self._is_closing:
            turns = self._runner.turns
            role.wait_until_needed(self._runner.has_work() or self._is_closing)
            if self._runner.has_work() or role.has_background_work() or role.has_waiters():
                break

    def _turn(self, longest_s: float, is_callers: bool) -> None:
        chain = self._role.chain
        if chain:
            # A thread of the chain that died, or can't run, delays the others by this time at most.
            longest_s = min(longest_s, LONGEST_DELAY_S)
        self._runner.run_turn(longest_s, is_callers)
        self._role.wake_callers(not is_callers and not self._inline.tasks)

    # --- closing ---

    def close(self, timeout_s: float = 5.0) -> None:
        """Run the posted functions, end the thread and wait for it. Blocks; not inside a turn."""
        if self._is_closing or not self._close_once.try_set():
            return
        thread = self._thread
        is_over = thread is None or not thread.is_alive()
        if not is_over:
            self.post(self._stop)
            is_over = self._join(time.monotonic() + timeout_s)
        self._is_closing = True
        if is_over:
            self._run_cleanups()
        if is_over and self._runner.fds.seal():
            self.close_descriptors()

    def _stop(self) -> None:
        self._is_closing = True

    def _join(self, deadline: float) -> bool:
        """Wait for the last turn, and for the threads except one that runs inline tasks."""
        if not self._ended.wait(remaining_s(deadline)):
            return False
        for thread in (self._thread, self._inline.standby_thread):
            if thread is not None and thread.ident not in (
                self._inline.standby.inline_thread,
                get_ident(),
            ):
                thread.join(remaining_s(deadline))
        return True

    def _run_cleanups(self) -> None:
        """In the thread of the last turn or, if no turn was ever run, in the one that closes."""
        refuses_work_at = time.monotonic() + LAST_WORK_S
        while not self._shutdown_queue.seal_if_empty():
            for function in self._shutdown_queue.take():
                self._runner.call(function)
            self._runner.run_all()
            if time.monotonic() >= refuses_work_at:
                # A callback may call again and again: its calls fail at once, for ever.
                self._refuses_work = True

    def close_descriptors(self) -> None:
        """After a fork: close the descriptors, without changing the epoll that the parent uses."""
        self._is_closing = True
        self._shutdown_queue.seal()
        self._inline.standby.end()
        self._runner.fds.close()

    def __repr__(self) -> str:
        state = "closed" if self._is_closing else "running" if self._is_started else "not started"
        readers = len(self._runner.fds.readers)
        return f"<EpollDispatcher {state}, {readers} readers, {self.turns} turns>"
