"""CpuSampler: which stacks the processor time of each thread goes to.

The system counts the time of each thread; a sample gives what has been added since the last one to
the stack that the thread has now. So a thread that waits costs nothing and is not in the profile. A
thread that works for a short time and waits again is mostly seen as it waits, in a function of
`WAITS`: what it has used goes to the next sample that sees it at work, or to the function that
waits if there is none.

Where the system has no such clocks (macOS), or if wall times are wanted, each thread is counted
with the time that has passed.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Mapping
from types import FrameType

from pybrpc.builtin.profiling.called_names import CalledNames
from pybrpc.builtin.profiling.loops import RunningTasks
from pybrpc.builtin.profiling.profile import Profile, ProfileBuilder, SampleKey, ValueType
from pybrpc.builtin.profiling.sampling import (
    PERIOD_S,
    fine_timers,
    sample_until,
    wait_for_moment,
)
from pybrpc.builtin.profiling.stacks import (
    CpuClock,
    StackReader,
    ThreadName,
    cpu_ns_of_thread,
    group_name,
    thread_names,
)

WAITS = frozenset(
    (
        "accept",
        "acquire",
        "control",
        "join",
        "poll",
        "run_forever",
        "run_until_complete",
        "select",
        "sleep",
        "wait",
        "with",
    )
)
"""Functions in C that wait, by name, and a `with` of a lock. A loop of uvloop is one call."""
MAX_THREADS = 1_000
"""Threads that one sample looks at."""


class CpuSampler:
    """Takes samples of all threads but the one that calls it."""

    def __init__(
        self,
        *,
        is_wall: bool = False,
        frames: Callable[[], Mapping[int, FrameType]] = sys._current_frames,
        names: Callable[[], Mapping[int, ThreadName]] = thread_names,
        cpu_clock: CpuClock = cpu_ns_of_thread,
        clock_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """`is_wall`: the time that passes, also of threads that wait."""
        self._frames = frames
        self._names = names
        self._cpu_clock = cpu_clock
        self._clock_ns = clock_ns
        self._reader = StackReader()
        self._tasks = RunningTasks()
        self._builder = ProfileBuilder(2)
        self._called = CalledNames()
        self._cpu_ns: dict[int, int] = {}
        self._kept: dict[int, tuple[SampleKey, int]] = {}
        """Time of threads that were seen as they waited, by their idents, with the stack that
        waits."""
        self._last_ns: int | None = None
        self.is_wall = is_wall or cpu_clock(threading.get_native_id()) is None
        self.samples = 0

    def take(self) -> None:
        """Take one sample."""
        now_ns = self._clock_ns()
        passed_ns = 0 if self._last_ns is None else now_ns - self._last_ns
        is_first, self._last_ns = self._last_ns is None, now_ns
        names, own = self._names(), threading.get_ident()
        tasks = self._tasks.names()
        counted: dict[int, int] = {}
        for ident, frame in list(self._frames().items())[:MAX_THREADS]:
            if ident == own:
                continue
            name = names.get(ident)
            spent_ns = passed_ns if self.is_wall else self._spent_ns(name, counted, is_first)
            if spent_ns > 0:
                stack, task = self._reader.stack_of(frame, tasks)
                group = group_name(name.name) if name is not None else "(unnamed thread)"
                waits = not self.is_wall and self._called.by(frame) in WAITS
                self._add(ident, SampleKey(stack, group, task), spent_ns, waits)
        self._cpu_ns = counted
        self.samples += 1

    def _add(self, ident: int, key: SampleKey, spent_ns: int, waits: bool) -> None:
        kept = self._kept.pop(ident, None)
        if kept is not None:
            spent_ns += kept[1]
        if waits and (kept is not None or len(self._kept) < MAX_THREADS):
            self._kept[ident] = (key, spent_ns)
        else:
            self._builder.add(key, 1, spent_ns)

    def _spent_ns(self, name: ThreadName | None, counted: dict[int, int], is_first: bool) -> int:
        """Time that the thread has used since the last sample, or since its start after that."""
        if name is None or name.native_id is None:
            return 0
        used_ns = self._cpu_clock(name.native_id)
        if used_ns is None:
            return 0
        counted[name.native_id] = used_ns
        before_ns = self._cpu_ns.get(name.native_id, used_ns if is_first else 0)
        return used_ns - before_ns

    def profile(self, taken_at_s: float, duration_s: float) -> Profile:
        """The result. No sample may be taken after it."""
        for key, spent_ns in self._kept.values():
            self._builder.add(key, 1, spent_ns)
        self._kept.clear()
        kind = "wall" if self.is_wall else "cpu"
        return Profile(
            kind,
            (ValueType("samples", "count"), ValueType(kind, "nanoseconds")),
            self._builder.samples,
            taken_at_s,
            duration_s,
            round(PERIOD_S * 1e9),
            (f"{self.samples} samples of all threads in {duration_s:.1f} s",),
        )


def take_cpu_profile(
    seconds: float, is_over: Callable[[], bool], *, is_wall: bool = False
) -> Profile:
    """Sample all threads but this one for `seconds`, or until `is_over()`. Blocks."""
    sampler = CpuSampler(is_wall=is_wall)
    taken_at_s = time.time()

    def take() -> None:
        wait_for_moment()
        sampler.take()

    with fine_timers():
        duration_s = sample_until(take, seconds, is_over)
    return sampler.profile(taken_at_s, duration_s)
