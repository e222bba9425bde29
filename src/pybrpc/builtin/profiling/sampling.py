"""sample_until: calls a function at a rate, for some seconds, with bounds for what that costs.

The pauses vary, so that work which is done every 10 ms is not always, or never, what is seen.

A thread that wakes gets the GIL where another one gives it up: within its switch interval of 5 ms
that is mostly in a system call. A loop whose tasks are short would always be seen as it polls. So
a sample that is to see threads where they work waits once more, for a moment, with a switch
interval so short that the thread which runs is stopped where it is. This lasts for one or two
hundredths of the time.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import random
import sys
import time
from collections.abc import Callable, Iterator

DEFAULT_SECONDS = 10.0
MAX_SECONDS = 60.0
PERIOD_S = 0.01
MAX_SHARE = 0.1
"""The most of the time that samples take, of one processor; there are fewer of them then."""
MAX_PAUSE_S = 0.5
"""A stop is noticed within this time."""

SHORT_INTERVAL_S = 1e-6
"""Switch interval while a sample waits for its moment."""
MAX_MOMENT_S = 200e-6
_PR_SET_TIMERSLACK, _PR_GET_TIMERSLACK = 29, 30
"""prctl(2)"""


def wait_for_moment(sleep: Callable[[float], object] = time.sleep) -> None:
    """Return at a random moment of what the other threads do. The switch interval is as before
    then, or as another thread has set it meanwhile."""
    before_s = sys.getswitchinterval()
    sys.setswitchinterval(SHORT_INTERVAL_S)
    try:
        sleep(random.uniform(0.0, MAX_MOMENT_S))
    finally:
        if abs(sys.getswitchinterval() - SHORT_INTERVAL_S) < 0.5e-6:
            sys.setswitchinterval(before_s)


@contextlib.contextmanager
def fine_timers() -> Iterator[None]:
    """Have waits of this thread end in time: Linux makes them up to 50 us longer otherwise, and a
    sample that is late sees what follows."""
    prctl = _prctl()
    before = prctl(_PR_GET_TIMERSLACK, 0, 0, 0, 0) if prctl is not None else 0
    if prctl is None or before <= 0:
        yield
        return
    prctl(_PR_SET_TIMERSLACK, 1, 0, 0, 0)
    try:
        yield
    finally:
        prctl(_PR_SET_TIMERSLACK, before, 0, 0, 0)


@functools.cache
def _prctl() -> Callable[[int, int, int, int, int], int] | None:
    if sys.platform != "linux":
        return None
    try:
        function = ctypes.CDLL(None).prctl
    except (OSError, AttributeError):
        return None
    function.argtypes = (ctypes.c_int, *[ctypes.c_ulong] * 4)
    function.restype = ctypes.c_int
    return function


def sample_until(
    take: Callable[[], object],
    seconds: float,
    is_over: Callable[[], bool],
    period_s: float = PERIOD_S,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], object] = time.sleep,
    cost_clock: Callable[[], float] = time.thread_time,
) -> float:
    """Call `take` about every `period_s`, for `seconds`, or until `is_over()`. Blocks; return how
    many seconds that took. What `take` raises is raised."""
    started = clock()
    due = started
    while clock() - started < seconds and not is_over():
        before_cost = cost_clock()
        take()
        cost = cost_clock() - before_cost
        after = clock()
        pause = period_s * random.uniform(0.5, 1.5)
        due = max(due + pause, after + cost * (1.0 / MAX_SHARE - 1.0))
        left = min(due - after, started + seconds - after, MAX_PAUSE_S)
        due = min(due, after + MAX_PAUSE_S)
        if left > 0:
            sleep(left)
    return clock() - started
