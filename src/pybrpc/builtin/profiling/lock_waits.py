"""LockWaits: which stacks wait for locks, and for how long.

A thread waits for a lock if two samples after each other find it in the same call of `acquire`, or
at the beginning of the same `with`, and if it has used no processor time between them.
Threads that wait for work are left out: they wait for a Condition, or in functions that are listed
here. A Semaphore waits for a Condition too, and counts.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Mapping
from types import FrameType
from typing import NamedTuple

from pybrpc.builtin.profiling.called_names import CalledNames
from pybrpc.builtin.profiling.cpu_sampler import MAX_THREADS
from pybrpc.builtin.profiling.loops import RunningTasks
from pybrpc.builtin.profiling.profile import ProfileBuilder, SampleKey
from pybrpc.builtin.profiling.stacks import (
    CpuClock,
    StackReader,
    ThreadName,
    cpu_ns_of_thread,
    group_name,
    thread_names,
)

LOCK_CALLS = frozenset(("acquire", "__enter__", "with"))
WAITS_FOR_WORK = (
    ("threading.py", "Condition.wait"),
    ("threading.py", "Thread._wait_for_tstate_lock"),
    ("pybrpc/base/waiting.py", "acquire_until"),
    ("pybrpc/base/flags.py", "WakeSignal.wait"),
    ("pybrpc/transport/dispatch/poller_role.py", "PollerRole.acquire_blocking"),
)
"""Ends of file names, and functions in which a thread has nothing to do."""
SEMAPHORE = ("threading.py", "Semaphore.acquire")


class _Seen(NamedTuple):
    """Where a thread was in a sample."""

    frame: int
    offset: int
    cpu_ns: int | None


class LockWaits:
    """Takes samples of all threads but the one that calls it."""

    def __init__(
        self,
        *,
        frames: Callable[[], Mapping[int, FrameType]] = sys._current_frames,
        names: Callable[[], Mapping[int, ThreadName]] = thread_names,
        cpu_clock: CpuClock = cpu_ns_of_thread,
        clock_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._frames = frames
        self._names = names
        self._cpu_clock = cpu_clock
        self._clock_ns = clock_ns
        self._reader = StackReader()
        self._tasks = RunningTasks()
        self._called = CalledNames()
        self._seen: dict[int, _Seen] = {}
        self._counted: set[int] = set()
        self._last_ns = 0
        self.builder = ProfileBuilder(2)
        """Values: waits that have begun, and their nanoseconds."""

    def take(self) -> None:
        """Take one sample."""
        now_ns = self._clock_ns()
        passed_ns, self._last_ns = now_ns - self._last_ns, now_ns
        names, own, seen = self._names(), threading.get_ident(), dict[int, _Seen]()
        tasks = self._tasks.names()
        for ident, frame in list(self._frames().items())[:MAX_THREADS]:
            if ident == own or not self._is_at_lock(frame):
                continue
            name = names.get(ident)
            native = None if name is None else name.native_id
            cpu_ns = None if native is None else self._cpu_clock(native)
            now = seen[ident] = _Seen(id(frame), frame.f_lasti, cpu_ns)
            if self._seen.get(ident) != now:
                self._counted.discard(ident)
                continue
            stack, task = self._reader.stack_of(frame, tasks)
            group = group_name(name.name) if name is not None else "(unnamed thread)"
            is_new = ident not in self._counted
            self._counted.add(ident)
            self.builder.add(SampleKey(stack, group, task), int(is_new), passed_ns)
        self._counted &= seen.keys()
        self._seen = seen

    def _is_at_lock(self, frame: FrameType) -> bool:
        if self._called.by(frame) not in LOCK_CALLS:
            return False
        if not _is_in(frame, WAITS_FOR_WORK):
            return True
        caller = frame.f_back
        return caller is not None and _is_in(caller, (SEMAPHORE,))


def _is_in(frame: FrameType, functions: tuple[tuple[str, str], ...]) -> bool:
    file, name = frame.f_code.co_filename, frame.f_code.co_qualname
    return any(name == function and file.endswith(end) for end, function in functions)
