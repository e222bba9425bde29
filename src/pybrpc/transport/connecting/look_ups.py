"""LookUps: looks names up in a few threads, as getaddrinfo blocks.

All connects that wait for one name share one look-up. Its result is handed to those that wait when
it arrives, and is not kept: the system has caches. A look-up of which nobody waits for the result
any more is dropped, unless it has begun: getaddrinfo can't be interrupted. So names whose look-ups
hang can occupy all threads. Then others wait, each until its own deadline.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable

from pybrpc.base.endpoint import Endpoint
from pybrpc.base.flags import OnceFlag
from pybrpc.base.guard import TRANSPORT, run_guarded
from pybrpc.base.thread_start import start_thread
from pybrpc.transport.connecting.resolver import Address, resolve

MAX_THREADS = 16
"""Names that are looked up at the same time."""

MIN_SWEPT = 64

Resolved = list[Address] | BaseException
OnResolved = Callable[[Resolved], None]


class LookUp:
    """One look-up, and those that wait for it."""

    __slots__ = ("endpoint", "waiters")

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.waiters: dict[LookUpWaiter, None] = {}
        """A dict keeps their order, and one of them leaves in one step."""


class LookUpWaiter:
    """Waits for the result of a look-up. Gets it once, mostly in another thread."""

    __slots__ = ("_look_up", "on_done")

    def __init__(self, look_up: LookUp, on_done: OnResolved) -> None:
        self._look_up = look_up
        self.on_done = on_done

    def cancel(self) -> None:
        """Wait no more. Any thread, also in destructors: it takes no lock.

        A result that arrives just now may still be handed over.
        """
        self._look_up.waiters.pop(self, None)


class LookUps:
    """All look-ups of this process. Any thread; its lock is held for a few steps only.

    A thread begins when there is a look-up for it, and ends when there is none left.
    """

    def __init__(self, max_threads: int = MAX_THREADS) -> None:
        self._max_threads = max_threads
        self._lock = threading.Lock()
        self._queued: dict[Endpoint, LookUp] = {}
        self._begun: dict[Endpoint, LookUp] = {}
        self._threads = 0
        self._sweep_at = MIN_SWEPT

    def add(self, endpoint: Endpoint, on_done: OnResolved) -> LookUpWaiter:
        """Look `endpoint` up, unless that is being done; then call `on_done` in another thread.

        If no thread can be started, `on_done` is called here, with an OSError.
        """
        with self._lock:
            look_up = self._begun.get(endpoint) or self._queued.get(endpoint)
            if look_up is None:
                self._sweep()
                look_up = self._queued[endpoint] = LookUp(endpoint)
            waiter = LookUpWaiter(look_up, on_done)
            look_up.waiters[waiter] = None
            needs_thread = bool(self._queued) and self._threads < self._max_threads
            if needs_thread:
                self._threads += 1
        if needs_thread:
            self._start_thread()
        return waiter

    def _sweep(self) -> None:
        """Drop what is queued and awaited no more, once there is twice as much as the last time."""
        if len(self._queued) < self._sweep_at:
            return
        self._queued = {key: each for key, each in self._queued.items() if each.waiters}
        self._sweep_at = max(MIN_SWEPT, 2 * len(self._queued))

    def _start_thread(self) -> None:
        claim = OnceFlag()
        thread = threading.Thread(
            target=self._run, args=[claim], name="pybrpc-resolve", daemon=True
        )
        try:
            start_thread(thread)
        except BaseException as error:
            # A signal handler may have raised although the thread runs: one of both takes the flag.
            if claim.try_set():
                self._on_no_thread(error)
            if not isinstance(error, RuntimeError | MemoryError):
                raise

    def _on_no_thread(self, error: BaseException) -> None:
        """No thread was started. If none runs, nobody would ever begin what is queued."""
        with self._lock:
            self._threads -= 1
            left = [] if self._threads else list(self._queued.values())
            if left:
                self._queued.clear()
        for look_up in left:
            _hand_over(look_up, OSError(errno.EAGAIN, f"no thread to look it up: {error}"))

    def _run(self, claim: OnceFlag) -> None:
        """A thread: do one look-up after another, until none is queued."""
        if not claim.try_set():
            return
        while (look_up := self._take_next()) is not None:
            result = _resolved(look_up.endpoint)
            with self._lock:
                del self._begun[look_up.endpoint]
            # From here on nobody can join it.
            _hand_over(look_up, result)

    def _take_next(self) -> LookUp | None:
        """Begin the look-up that has waited longest. `None`: this thread is to end."""
        with self._lock:
            while self._queued:
                look_up = self._queued.pop(next(iter(self._queued)))
                if look_up.waiters:
                    self._begun[look_up.endpoint] = look_up
                    return look_up
            self._threads -= 1
            return None

    def __repr__(self) -> str:
        return f"<LookUps {len(self._begun)} begun, {len(self._queued)} queued>"


def _resolved(endpoint: Endpoint) -> Resolved:
    """The addresses, or whatever the look-up raised: not all of it is an OSError."""
    try:
        return resolve(endpoint)
    except BaseException as error:
        # The frames of its traceback would keep what they refer to.
        return error.with_traceback(None)


def _hand_over(look_up: LookUp, result: Resolved) -> None:
    waiters, look_up.waiters = look_up.waiters, {}
    for waiter in list(waiters):
        run_guarded(
            waiter.on_done, result, what=f"a look-up of {look_up.endpoint.host}", log=TRANSPORT
        )


_look_ups = LookUps()


def resolve_in_background(endpoint: Endpoint, on_done: OnResolved) -> LookUpWaiter:
    """Look a name up in another thread; `on_done` is called there, or here if there is none.

    `on_done` gets the addresses, or what the look-up raised.
    """
    return _look_ups.add(endpoint, on_done)


def _after_fork_in_child() -> None:
    """The threads are the parent's, and one of them may have held the lock."""
    global _look_ups
    _look_ups = LookUps()


os.register_at_fork(after_in_child=_after_fork_in_child)
