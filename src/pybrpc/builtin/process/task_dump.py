"""The tasks of all asyncio loops, each with the chain of what it awaits.

They are read in a thread while their loops run: a chain may mix two moments that follow each other.
No repr of an object of the user is asked for, only names of types.
"""

from __future__ import annotations

import asyncio
from asyncio import AbstractEventLoop
from dataclasses import dataclass
from typing import Any

from pybrpc.builtin.profiling.loops import (
    coroutine_of,
    frame_of_coroutine,
    known_loops,
    task_name,
    tasks_of,
)
from pybrpc.builtin.profiling.profile import MAX_NAME, Frame, Stack
from pybrpc.builtin.profiling.stacks import StackReader

MAX_CHAIN = 64
"""Coroutines of one chain."""
MAX_TASKS = 2_000
"""Tasks that are shown of all loops."""
MAX_SHOWN_FRAMES = 20_000
"""Coroutines of all of them; chains after that are left out."""
_AWAITED = ("cr_await", "gi_yieldfrom", "ag_await")


@dataclass(frozen=True, slots=True)
class TaskDump:
    """A task at one moment."""

    number: int
    """Its id; the same as long as the task lives."""
    name: str
    state: str
    """ "running", "waiting", "ready" or "done"; "unknown" of a class that is not asyncio's."""
    chain: Stack
    """Its coroutine, what that awaits, and so on."""
    waits_for: str
    """The last thing that is awaited; "" if it waits for nothing."""
    awaited_task: int
    """The number of the task that it waits for; 0 if it waits for something else."""


@dataclass(frozen=True, slots=True)
class LoopDump:
    """A loop and its tasks."""

    name: str
    tasks: list[TaskDump]
    left_out: int = 0
    is_unreadable: bool = False
    """Its tasks can't be read, or have changed too fast."""


def loop_dumps(limit: int = MAX_TASKS) -> list[LoopDump]:
    """The loops that this process is known to have. Any thread; never waits for a loop."""
    found: list[LoopDump] = []
    reader, frames_left = StackReader(), MAX_SHOWN_FRAMES
    for index, loop in enumerate(known_loops(), 1):
        name = f"loop {index} ({type(loop).__name__[:MAX_NAME]})"
        tasks = tasks_of(loop)
        if tasks is None:
            found.append(LoopDump(name, [], is_unreadable=True))
            continue
        tasks.sort(key=task_name)
        running = _current_task(loop)
        shown: list[TaskDump] = []
        for task in tasks[:limit]:
            if frames_left <= 0:
                break
            shown.append(_dumped(task, task is running, reader))
            frames_left -= len(shown[-1].chain)
        limit -= len(shown)
        found.append(LoopDump(name, shown, len(tasks) - len(shown)))
    return found


def _dumped(task: asyncio.Task[Any], is_running: bool, reader: StackReader) -> TaskDump:
    if not isinstance(task, asyncio.Task):  # of a class of the user
        return TaskDump(id(task), task_name(task), "unknown", (), "", 0)
    chain, end = await_chain(coroutine_of(task), reader)
    waiter = getattr(task, "_fut_waiter", None)
    if asyncio.Task.done(task):
        state = "done"
    elif is_running:
        state = "running"
    else:
        state = "ready" if waiter is None else "waiting"
    awaited = id(waiter) if isinstance(waiter, asyncio.Task) else 0
    if awaited:
        waits_for = f"task {task_name(waiter)}"
    else:
        waits_for = "" if waiter is None else type(waiter).__name__[:MAX_NAME]
    if state != "waiting":
        waits_for, awaited = "", 0
    elif not waits_for:
        waits_for = end
    return TaskDump(id(task), task_name(task), state, chain, waits_for, awaited)


def await_chain(coroutine: object, reader: StackReader) -> tuple[Stack, str]:
    """The frames of a coroutine and of all that it awaits, outermost first, and the name of the
    type of the object at the end which is no coroutine with a frame."""
    found: list[Frame] = []
    current: object = coroutine
    while current is not None and len(found) < MAX_CHAIN:
        frame = frame_of_coroutine(current)
        if frame is None:
            name = _compiled_name(current)
            if not name:
                return tuple(found), type(current).__name__[:MAX_NAME]
            found.append(Frame(name))
        else:
            found.append(reader.frame_of(frame))
        current = _awaited_by(current)
    return tuple(found), ""


def _compiled_name(coroutine: object) -> str:
    """The name of a coroutine that Cython has compiled, which has no frame."""
    try:
        if not any(hasattr(coroutine, name) for name in _AWAITED):
            return ""
        return str(getattr(coroutine, "__qualname__", ""))[:MAX_NAME]
    except BaseException:  # any object may be awaited
        return ""


def _awaited_by(coroutine: object) -> object:
    for name in _AWAITED:
        try:
            awaited = getattr(coroutine, name, None)
        except BaseException:
            return None
        if awaited is not None:
            return awaited
    return None


def _current_task(loop: AbstractEventLoop) -> object:
    try:
        return asyncio.current_task(loop)
    except RuntimeError:
        return None
