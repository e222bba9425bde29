"""Binds this process to processor cores. Linux alone can."""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from collections.abc import Iterable, Mapping

from pybrpc.base.checked_options import checked_count

_TASKS = "/proc/self/task"

_lock = threading.Lock()
"""Held while threads are bound: two who bind at once would mix their cores."""


def can_bind() -> bool:
    """Whether this system can bind a process to cores."""
    return hasattr(os, "sched_setaffinity") and os.path.isdir(_TASKS)


def check_bindable(cores: frozenset[int]) -> None:
    """ValueError if this process can't use one of `cores`; NotImplementedError where the system
    can't bind a process."""
    if not can_bind():
        raise NotImplementedError("binding a process to cores needs Linux")
    with _lock:
        _check_available(cores)


def checked_cores(name: str, cores: object) -> frozenset[int]:
    """The core, or cores, of an option called `name`: numbers from 0, one at least, else a
    ValueError; a TypeError if they are no numbers."""
    if isinstance(cores, int):
        return frozenset((checked_count(name, cores),))
    if isinstance(cores, str | bytes) or not isinstance(cores, Iterable):
        raise TypeError(f"{name} must be the number of a core, or several, not {cores!r}")
    found = list(cores)
    for core in found:
        if isinstance(core, bool) or not isinstance(core, int):
            raise TypeError(f"each of {name} must be the number of a core, not {core!r}")
        checked_count(f"each of {name}", core)
    if not found:
        raise ValueError(f"{name} must name one core at least")
    return frozenset(found)


def bind_threads(cores: frozenset[int]) -> dict[int, frozenset[int]]:
    """Bind all threads of this process, and so the threads that they will start; return the cores
    that each might use before, by the id that the system has given to the thread.

    As `check_bindable`, and then nothing is changed; OSError.
    """
    check_bindable(cores)
    with _lock:
        before: dict[int, frozenset[int]] = {}
        # A thread that was not bound yet may start another one meanwhile.
        while fresh := _threads() - before.keys():
            for thread in fresh:
                before[thread] = _bind(thread, cores)
        return before


def restore_threads(before: Mapping[int, frozenset[int]]) -> None:
    """Give each thread the cores of `before`; give a thread that is not in it those that the first
    thread of the process had."""
    usual = before.get(os.getpid()) or max(before.values(), key=len)
    with _lock:
        done: set[int] = set()
        while fresh := _threads() - done:
            for thread in fresh:
                _bind(thread, before.get(thread) or usual)
            done |= fresh


def parse_cores(text: str) -> frozenset[int]:
    """The cores of a list such as "0-3,8", as `taskset -c` takes it. ValueError."""
    found: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise ValueError(f'cores must be a list such as "0-3,8", not {text!r}')
        cores = range(int(first), int(last or first) + 1)
        if not cores or cores[-1] >= _MOST_CORES:
            raise ValueError(f'cores must be a list such as "0-3,8", not {text!r}')
        found.update(cores)
    return frozenset(found)


def share_of(cores: Iterable[int], number: int, count: int) -> frozenset[int]:
    """The cores of the process `number`, from 0, of `count`: each core is of one process; if there
    are fewer cores than processes, each process has one."""
    ordered = sorted(cores)
    return frozenset(ordered[number::count] or [ordered[number % len(ordered)]])


_MOST_CORES = 4096


def _threads() -> set[int]:
    return {int(name) for name in os.listdir(_TASKS)}


def _check_available(cores: frozenset[int]) -> None:
    """Bind the calling thread, to see which cores it gets: nothing else says it."""
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, cores)
        got = os.sched_getaffinity(0)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        got = set()
    if got != cores:
        os.sched_setaffinity(0, before)
        missing = ", ".join(map(str, sorted(cores - got)))
        raise ValueError(f"this process can't use the cores {missing}")
    os.sched_setaffinity(0, before)


def _bind(thread: int, cores: frozenset[int]) -> frozenset[int]:
    """Return the cores from before; empty if the thread has ended."""
    with contextlib.suppress(ProcessLookupError):
        before = frozenset(os.sched_getaffinity(thread))
        os.sched_setaffinity(thread, cores)
        return before
    return frozenset()
