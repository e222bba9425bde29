"""The stacks of all threads, and /threads, which shows them."""

from __future__ import annotations

import sys
import threading
from dataclasses import dataclass

from pybrpc.base.guard import escaped
from pybrpc.builtin.html import Html, join, tag
from pybrpc.builtin.layout import html_page
from pybrpc.builtin.page import PageEntry, PageRequest, PageResponse
from pybrpc.builtin.profiling.loops import RunningTasks
from pybrpc.builtin.profiling.profile import Stack
from pybrpc.builtin.profiling.stacks import (
    StackReader,
    ThreadName,
    cpu_ns_of_thread,
    thread_names,
)
from pybrpc.builtin.server_view import ServerView

MAX_THREADS = 1_000
"""Threads that are shown."""
MAX_SHOWN_FRAMES = 20_000
"""Frames of all of them; stacks after that are cut off."""


@dataclass(frozen=True, slots=True)
class ThreadDump:
    """A thread at one moment."""

    ident: int
    name: str
    native_id: int | None
    """As in /proc and top; `None` of a thread that `threading` does not know."""
    is_daemon: bool
    cpu_ns: int | None
    """Processor time since its start; `None` if the system does not say."""
    task: str
    """The asyncio task that runs in it; "" if none does."""
    stack: Stack

    def title(self) -> str:
        """One line about it."""
        parts = [self.name]
        if self.native_id is not None:
            parts.append(f"id {self.native_id}")
        if self.is_daemon:
            parts.append("daemon")
        if self.cpu_ns is not None:
            parts.append(f"{self.cpu_ns / 1e9:.3f} s of processor time")
        if self.task:
            parts.append(f"task {self.task}")
        return ", ".join(parts)


def thread_dumps(limit: int = MAX_THREADS) -> tuple[list[ThreadDump], int]:
    """The threads of this process, main thread first, and how many were left out. The thread that
    asks is among them."""
    names, tasks, reader = thread_names(), RunningTasks().names(), StackReader()
    frames = sys._current_frames()
    main = threading.main_thread().ident
    order = sorted(frames, key=lambda ident: (ident != main, _name(names, ident), ident))
    found: list[ThreadDump] = []
    frames_left = MAX_SHOWN_FRAMES
    for ident in order[:limit]:
        stack, task = reader.stack_of(frames[ident], tasks)
        stack = stack[-frames_left:] if frames_left > 0 else ()
        frames_left -= len(stack)
        known = names.get(ident)
        native = None if known is None else known.native_id
        cpu_ns = None if native is None else cpu_ns_of_thread(native)
        is_daemon = known is not None and known.is_daemon
        name = _name(names, ident)
        found.append(ThreadDump(ident, name, native, is_daemon, cpu_ns, task, stack))
    return found, len(frames) - len(found)


def _name(names: dict[int, ThreadName], ident: int) -> str:
    return names[ident].name if ident in names else f"thread {ident:#x}, unknown to Python"


def stack_lines(stack: Stack) -> list[str]:
    """A line for each frame, the innermost first, as a debugger shows them."""
    return [
        escaped(f"#{index} {frame.function} at {frame.file}:{frame.line}")
        for index, frame in enumerate(reversed(stack))
    ]


def stack_block(stack: Stack) -> Html:
    """A stack in a page."""
    return tag("pre", "\n".join(stack_lines(stack)))


def show_threads(request: PageRequest, server: ServerView) -> PageResponse:
    """All threads with their stacks, the innermost frame first."""
    dumps, left_out = thread_dumps()
    more = f"{left_out} more threads are not shown" if left_out else ""
    if request.wants_html:
        blocks = [tag("section", tag("h2", d.title()), stack_block(d.stack)) for d in dumps]
        count = tag("p", f"{len(dumps) + left_out} threads. {more}", class_="lead")
        return html_page(request, server, "Threads", join(count, blocks))
    parts = [f"{escaped(d.title())}\n" + "\n".join(stack_lines(d.stack)) for d in dumps]
    return PageResponse("\n\n".join([*parts, *([more] if more else [])]) + "\n")


ENTRY = PageEntry("threads", show_threads, "Check stacks of threads")
