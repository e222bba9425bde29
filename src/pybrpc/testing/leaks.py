"""assert_no_leaks: a test fails that leaves threads, descriptors, connections or tasks behind."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import threading
import time
import warnings
from collections.abc import Callable, Hashable
from typing import Any, Self

from pybrpc.base.deadline import checked_timeout_s
from pybrpc.transport.dispatch.direct_waiter import forget_poller
from pybrpc.transport.memory_listeners import endpoints_in_memory
from pybrpc.transport.runtime import default_runtime
from pybrpc.transport.socket_table import SOCKETS

DEFAULT_GRACE_S = 5.0

CANCEL_TURNS = 100
"""Turns of a loop in which tasks that were canceled may end."""

_SHARED_THREADS = {
    "pybrpc-dispatcher-standby",
    "pybrpc-resolve",
    "pybrpc-sampler",
    "pybrpc-spans",
    "pybrpc-streams",
}
"""Those of the library that stay, or end when they had nothing to do for a while."""

Things = dict[Hashable, str]
"""Things of one kind, each with words for people."""


class LeakCheck:
    """The context manager of `assert_no_leaks`."""

    _is_entered = True  # if the constructor raises

    def __init__(self, grace_s: float) -> None:
        self._grace_s = grace_s
        self._is_entered = False
        self._before: dict[str, Things] = {}
        self._made_at: dict[threading.Thread, str] = {}
        self._lost_tasks: Things = {}

    # --- for tests of threads ---

    def __enter__(self) -> Self:
        self._is_entered = True
        if asyncio._get_running_loop() is not None:
            raise RuntimeError("in an asyncio loop: use `async with assert_no_leaks()`")
        self._begin()
        return self

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        _watch.remove(self)
        if error is not None:
            return
        ends_at, pause_s = time.monotonic() + self._grace_s, 0.001
        while (left := self._left()) and time.monotonic() < ends_at:
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, 0.5)
        self._fail(left)

    # --- for tests of asyncio ---

    async def __aenter__(self) -> Self:
        self._is_entered = True
        self._begin()
        self._before["task"] = _tasks()
        return self

    async def __aexit__(self, kind: object, error: object, traceback: object) -> None:
        _watch.remove(self)
        if error is not None:
            return
        ends_at, pause_s = time.monotonic() + self._grace_s, 0.001
        while (left := self._left(_tasks())) and time.monotonic() < ends_at:
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, 0.5)
        self._fail(left)

    # --- inside ---

    def __del__(self, warn: Callable[..., None] = warnings.warn) -> None:
        if not self._is_entered:
            text = "assert_no_leaks() has checked nothing: it is for `with`, around what is checked"
            warn(text, RuntimeWarning, stacklevel=2, source=self)

    def _begin(self) -> None:
        # The thread and the descriptors that all channels and servers of the process share stay.
        default_runtime().dispatcher.start()
        gc.collect()
        self._lost_tasks = {}  # it may be used again
        self._before = _found()
        _watch.add(self)

    def _left(self, tasks: Things | None = None) -> list[str]:
        """List in words the things that are there now and were not before."""
        forget_poller()
        gc.collect()  # what only a circle of references keeps is no leak
        found = _found()
        found["task"] = self._lost_tasks | (tasks or {})
        return [
            f"{kind}: {text}{self._where(thing)}"
            for kind, things in found.items()
            for thing, text in things.items()
            if thing not in self._before.get(kind, {})
        ]

    def _where(self, thing: Hashable) -> str:
        where = self._made_at.get(thing) if isinstance(thing, threading.Thread) else None
        return f", started at {where}" if where else ""

    def _fail(self, left: list[str]) -> None:
        if left:
            lines = "\n  ".join(left)
            raise AssertionError(f"left over after {self._grace_s:g} seconds:\n  {lines}")

    def note_thread(self, thread: threading.Thread, line: str) -> None:
        """A thread is being started at that line."""
        self._made_at[thread] = line

    def note_tasks(self, tasks: Things) -> None:
        """The end of their loop cancels these tasks without a word, or they are never run again."""
        self._lost_tasks.update(tasks)


class _Watch:
    """Sees, while there are checks, where threads are started and how loops end.

    Checks may overlap in any order: the first one has the methods replaced, the last one puts back
    what was there.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._checks: tuple[LeakCheck, ...] = ()
        self._undo: list[Callable[[], None]] = []

    def add(self, check: LeakCheck) -> None:
        """Tell a check from now on."""
        with self._lock:
            if not self._checks:
                self._watch_threads()
                self._watch_loops()
            self._checks += (check,)

    def remove(self, check: LeakCheck) -> None:
        """Tell a check nothing more."""
        with self._lock:
            checks = list(self._checks)
            checks.remove(check)
            self._checks = tuple(checks)
            while not checks and self._undo:
                self._undo.pop()()

    def _watch_threads(self) -> None:
        def note_and_start(start: Callable[..., None], thread: threading.Thread) -> None:
            line = _caller_of()
            for check in self._checks:
                check.note_thread(thread, line)
            start(thread)

        self._replace(threading.Thread, "start", note_and_start)

    def _watch_loops(self) -> None:
        """Look at the tasks before `asyncio.Runner`, so `asyncio.run` too, cancels them, and when a
        loop is closed, which leaves them as they are. A runner whose block has raised ends as that
        error wants it."""
        raising: set[int] = set()

        def look_and_cancel(close: Callable[..., None], runner: asyncio.Runner) -> None:
            loop = vars(runner).get("_loop")
            try:
                if loop is not None and id(runner) not in raising:
                    _end_canceled(loop)
                    self._note_tasks_of(loop)
            finally:
                close(runner)

        def leave(leave: Callable[..., None], runner: asyncio.Runner, *error: Any) -> None:
            if error[0] is not None:
                raising.add(id(runner))
            try:
                leave(runner, *error)
            finally:
                raising.discard(id(runner))

        def look_and_close(close: Callable[..., None], loop: asyncio.AbstractEventLoop) -> None:
            self._note_tasks_of(loop)
            close(loop)

        self._replace(asyncio.Runner, "close", look_and_cancel)
        self._replace(asyncio.Runner, "__exit__", leave)
        self._replace(asyncio.BaseEventLoop, "close", look_and_close)
        uvloop: Any = sys.modules.get("uvloop")
        if uvloop is not None:
            self._replace(uvloop.Loop, "close", look_and_close)

    def _note_tasks_of(self, loop: asyncio.AbstractEventLoop) -> None:
        lost: Things = {object(): text for text in _tasks(loop).values()}
        for check in self._checks:
            check.note_tasks(lost)

    def _replace(self, owner: type, name: str, function: Callable[..., None]) -> None:
        """Have `function` be called instead of a method, with that method as first argument."""
        is_own = name in vars(owner)
        method = getattr(owner, name)

        def replaced(*arguments: Any) -> None:
            function(method, *arguments)

        def undo() -> None:
            if vars(owner).get(name) is not replaced:
                return  # others have put their own there meanwhile, and it may stay
            if is_own:
                setattr(owner, name, method)
            else:
                delattr(owner, name)

        setattr(owner, name, replaced)
        self._undo.append(undo)


_watch = _Watch()


def assert_no_leaks(*, grace: float = DEFAULT_GRACE_S) -> LeakCheck:
    """For `with`, and in asyncio for `async with`: AssertionError if anything is left over at its
    end that was not there at its begin.

        with assert_no_leaks():
            with channel_for(SERVICE, EchoService()) as channel:
                ...

    That is: threads; descriptors; connections of pybrpc; channels that were not closed; servers in
    memory; calls that wait for a response; tasks. The text names each, for threads with the line
    that started it, for tasks with the line where it waits. What ends within `grace` seconds is no
    leak; the block waits that long at most, and not at all if nothing is left. The dispatcher
    thread and the other threads that pybrpc keeps for the whole process don't count.

    A task that was canceled is none either if it ends without waiting for anything more; one that
    its loop is closed with is.

    While the block runs it watches `threading.Thread.start` and the ends of loops, in the whole
    process: other threads should start nothing meanwhile. If the block raises, that error
    comes out, and nothing is checked. Without a `with` nothing is checked either: a RuntimeWarning
    says so.
    """
    grace_s = checked_timeout_s(grace, "grace")
    if grace_s is None:
        raise TypeError("grace must be a number of seconds")
    return LeakCheck(grace_s)


def _found() -> dict[str, Things]:
    """All things that there are now, by kind, but for tasks."""
    sources = default_runtime().connections.all()
    return {
        "thread": {
            thread: f"{thread.name!r}"
            for thread in threading.enumerate()
            if thread.name not in _SHARED_THREADS
        },
        "descriptor": _descriptors(),
        "connection": {socket.id: repr(socket) for socket in SOCKETS.all()},
        "channel": {id(source): f"{source!r} is used by a channel" for source in sources},
        "call": {
            (id(source), number): f"of {source!r}"
            for source in sources
            for number in range(_calls_of(source))
        },
        "server": {endpoint: str(endpoint) for endpoint in endpoints_in_memory()},
    }


def _calls_of(source: Any) -> int:
    """Calls that wait for a response, or for a connection."""
    connections = [each.in_flight for each in source.connections]
    return int(sum(connections) + getattr(source.statistics(), "waiting", 0))


def _descriptors() -> Things:
    """Each open descriptor: its number, and what it is open on."""
    found: Things = {}
    for number in os.listdir("/proc/self/fd" if os.path.isdir("/proc/self/fd") else "/dev/fd"):
        try:
            os.fstat(int(number))
            target = os.readlink(f"/proc/self/fd/{number}")
        except (OSError, ValueError):
            if not _is_open(number):
                continue  # the one that listdir itself had open
            target = "?"
        found[number, target] = f"{number}, which is {target}"
    return found


def _is_open(number: str) -> bool:
    try:
        os.fstat(int(number))
    except (OSError, ValueError):
        return False
    return True


def _tasks(loop: asyncio.AbstractEventLoop | None = None) -> Things:
    """The tasks of a loop that have not ended, but for the running one."""
    running = asyncio.current_task() if loop is None else None
    return {
        task: f"{task.get_name()!r}{_place_of(task)}"
        for task in asyncio.all_tasks(loop)
        if task is not running
    }


def _end_canceled(loop: asyncio.AbstractEventLoop) -> None:
    """Let tasks end that were canceled and wait for nothing more. A task that waits for a task, and
    so on, needs as many turns of the loop."""
    for _ in range(CANCEL_TURNS):
        if loop.is_closed() or loop.is_running():
            return
        if not any(task.cancelling() for task in asyncio.all_tasks(loop)):
            return
        loop.run_until_complete(asyncio.sleep(0))


def _place_of(task: asyncio.Task[Any]) -> str:
    frames = task.get_stack(limit=1)
    if not frames:
        return ""
    frame = frames[-1]
    code = frame.f_code
    return f", which waits at {code.co_filename}:{frame.f_lineno}, in {code.co_qualname}"


def _caller_of() -> str:
    """The line that has started a thread: that of the last frame outside of `threading`."""
    frame = sys._getframe()
    while frame.f_back is not None and frame.f_code.co_filename in (threading.__file__, __file__):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}, in {frame.f_code.co_qualname}"
