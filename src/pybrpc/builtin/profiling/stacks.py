"""StackReader: the stacks of threads that run. ThreadNames: what these threads are called.

`sys._current_frames` and frames are read by one thread while others run. A stack may so mix two
moments that follow each other; each frame in it was there. No code of the user runs here: names are
read as the base classes keep them.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import CodeType, FrameType

from pybrpc.builtin.profiling.profile import MAX_FILE, MAX_NAME, Frame, Stack

MAX_DEPTH = 128
"""Innermost frames of a stack that are kept."""
MAX_CACHED_FRAMES = 50_000

MORE_FRAMES = Frame("(more frames)")
_CPU_CLOCK_OF_THREAD = 6
"""Linux: bits of a clock that counts the time of one thread (include/linux/posix-timers.h)."""


class StackReader:
    """Reads stacks; the same function at the same line is one `Frame`. One thread at a time."""

    def __init__(self) -> None:
        self._frames: dict[tuple[CodeType, int], Frame] = {}

    def stack_of(
        self, innermost: FrameType | None, tasks: Mapping[FrameType, str] | None = None
    ) -> tuple[Stack, str]:
        """The stack that ends with `innermost`, and the name of the task that runs in it.

        `tasks`: the names of running tasks, by the frames of their coroutines
        """
        found: list[Frame] = []
        task = ""
        frame = innermost
        while frame is not None and len(found) < MAX_DEPTH:
            found.append(self.frame_of(frame))
            if tasks and not task:
                task = tasks.get(frame, "")
            frame = frame.f_back
        if frame is not None:
            found.append(MORE_FRAMES)
        found.reverse()
        return tuple(found), task

    def frame_of(self, frame: FrameType) -> Frame:
        """One frame, with the line that runs."""
        code, line = frame.f_code, frame.f_lineno or 0
        known = self._frames.get((code, line))
        if known is None:
            known = Frame(code.co_qualname[:MAX_NAME], code.co_filename[:MAX_FILE], line)
            if len(self._frames) < MAX_CACHED_FRAMES:
                self._frames[code, line] = known
        return known


@dataclass(frozen=True, slots=True)
class ThreadName:
    """A thread that `threading` knows."""

    ident: int
    name: str
    native_id: int | None
    is_daemon: bool


def thread_names() -> dict[int, ThreadName]:
    """All threads that `threading` knows, by their idents."""
    found: dict[int, ThreadName] = {}
    for thread in threading.enumerate():
        known = vars(thread)
        ident = known.get("_ident")
        if isinstance(ident, int):
            native = known.get("_native_id")
            found[ident] = ThreadName(
                ident,
                str(known.get("_name", ""))[:MAX_NAME],
                native if isinstance(native, int) else None,
                bool(known.get("_daemonic", False)),
            )
    return found


def cpu_ns_of_thread(native_id: int) -> int | None:
    """CPU time of a thread of this process; `None` if it has ended, or if the system has no such
    clock (macOS)."""
    if sys.platform != "linux":
        return None
    try:
        return time.clock_gettime_ns((~native_id << 3) | _CPU_CLOCK_OF_THREAD)
    except OSError:
        return None


CpuClock = Callable[[int], int | None]


def group_name(name: str) -> str:
    """The name of a thread without the number at its end: workers of a pool are one group."""
    bare = name.rstrip("0123456789")
    return name if bare == name or not bare else f"{bare}*"
