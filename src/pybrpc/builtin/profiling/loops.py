"""The asyncio loops of this process and their tasks, as seen from any thread.

asyncio has no list of loops. Until Python 3.13 it has one set of all tasks, which name their loops;
from 3.14 on each thread has its own, and a loop is found in the frames of the thread that runs it.
All these are read while loops run: a set that changes meanwhile raises RuntimeError, and is read
again a few times.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from asyncio import AbstractEventLoop
from collections.abc import Iterable
from types import FrameType
from typing import Any

from pybrpc.builtin.profiling.profile import MAX_NAME

MAX_LOOPS = 64
ATTEMPTS = 5
"""Times that a set is read which changes meanwhile."""
LOOPS_ARE_KEPT_FOR = 100
"""Times that `RunningTasks` uses the loops that it has found."""
_MAX_FRAMES = 200
_NAMES_OF_LOOPS = ("self", "loop", "_loop")


def known_loops() -> list[AbstractEventLoop]:
    """The loops that run or have tasks, at most `MAX_LOOPS`. Some may be missing. Any thread."""
    found = {id(loop): loop for loop in (*_loops_of_tasks(), *loops_in_frames())}
    return [loop for loop in found.values() if not _is_closed(loop)][:MAX_LOOPS]


def tasks_of(loop: AbstractEventLoop) -> list[asyncio.Task[Any]] | None:
    """The tasks of `loop` that are not done; `None` if they can't be read, or change too fast."""
    for _ in range(ATTEMPTS):
        try:
            return list(asyncio.all_tasks(loop))
        except RuntimeError:
            continue
        except BaseException:  # a task of a class of the user was asked for its loop
            return None
    return None


def task_name(task: object) -> str:
    """The name that a task was given; of a task without one, that of its coroutine."""
    try:
        if not isinstance(task, asyncio.Task):
            return type(task).__name__[:MAX_NAME]
        name = str(asyncio.Task.get_name(task))
        if name.startswith("Task-") and name[5:].isdigit():
            name = str(getattr(asyncio.Task.get_coro(task), "__qualname__", name))
        return name[:MAX_NAME]
    except BaseException:  # what the user made may raise anything
        return "(unreadable)"


class RunningTasks:
    """The tasks that run, asked again and again: loops are looked for at times only."""

    def __init__(self) -> None:
        self._loops: list[AbstractEventLoop] = []
        self._asked = 0

    def names(self) -> dict[FrameType, str]:
        """The names of the tasks that run now, by the frames of their coroutines."""
        found: dict[FrameType, str] = {}
        for task in self._tasks():
            frame = frame_of_coroutine(coroutine_of(task))
            if frame is not None:
                found[frame] = task_name(task)
        return found

    def _tasks(self) -> list[object]:
        if sys.version_info < (3, 14):
            return list(dict(asyncio.tasks._current_tasks).values())  # type: ignore[attr-defined]
        if self._asked % LOOPS_ARE_KEPT_FOR == 0:
            self._loops = known_loops()
        self._asked += 1
        tasks = (asyncio.current_task(loop) for loop in self._loops)
        return [task for task in tasks if task is not None]


def coroutine_of(task: object) -> object:
    """The coroutine of a task; `None` if it has none."""
    return asyncio.Task.get_coro(task) if isinstance(task, asyncio.Task) else None


def frame_of_coroutine(coroutine: object) -> FrameType | None:
    """The frame of a coroutine or generator; `None` if it has ended, or is compiled."""
    for name in ("cr_frame", "gi_frame", "ag_frame"):
        try:
            frame = getattr(coroutine, name, None)
        except BaseException:
            return None
        if isinstance(frame, FrameType):
            return frame
    return None


def loops_in_frames() -> list[AbstractEventLoop]:
    """The loops that the threads of this process run, as local variables show them. Without a GIL
    these can't be read while they change: none then."""
    if not getattr(sys, "_is_gil_enabled", lambda: True)():
        return []
    own = threading.get_ident()
    found: dict[int, AbstractEventLoop] = {}
    for ident, innermost in sys._current_frames().items():
        frame: FrameType | None = innermost if ident != own else None
        for _ in range(_MAX_FRAMES):
            if frame is None:
                break
            for loop in _loops_in(frame):
                found[id(loop)] = loop
            frame = frame.f_back
    return list(found.values())


def _loops_in(frame: FrameType) -> Iterable[AbstractEventLoop]:
    names = frame.f_code.co_varnames[: frame.f_code.co_argcount + 4]
    if not any(name in names for name in _NAMES_OF_LOOPS):
        return
    values = frame.f_locals
    for name in _NAMES_OF_LOOPS:
        value = values.get(name)
        if isinstance(value, asyncio.Runner) or type(value).__module__.startswith("pybrpc."):
            kept = getattr(value, "__dict__", {})
            value = kept.get("_loop") or kept.get("loop")
        if isinstance(value, AbstractEventLoop):
            yield value


def _loops_of_tasks() -> list[AbstractEventLoop]:
    found: dict[int, AbstractEventLoop] = {}
    for name in ("_all_tasks", "_scheduled_tasks", "_eager_tasks"):
        for task in _copied(getattr(asyncio.tasks, name, ())):
            if isinstance(task, asyncio.Future):
                loop = asyncio.Future.get_loop(task)
                found[id(loop)] = loop
    return list(found.values())


def _copied(values: Iterable[object]) -> list[object]:
    for _ in range(ATTEMPTS):
        try:
            return list(values)
        except RuntimeError:
            continue
    return []


def _is_closed(loop: AbstractEventLoop) -> bool:
    try:
        return loop.is_closed()
    except BaseException:
        return True
