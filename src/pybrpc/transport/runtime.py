"""Runtime: the dispatchers and connections that channels and servers of a process share.

The default Runtime is made when it is first needed, and replaced in a forked child. Others are made
anew there in place, as servers know them. The child closes its copies of the parent's descriptors
and touches nothing else of the parent's.

It is not closed at exit: functions of `atexit` may call until the last one of them, and those that
were registered before the first call run last. After them no thread but the main one runs any more,
and the system closes the connections.
"""

from __future__ import annotations

import contextlib
import os
import weakref
from typing import TYPE_CHECKING, Any

from pybrpc.base.atomic import AtomicRef, atomic_counter, atomic_ref
from pybrpc.base.byte_budget import ByteBudget
from pybrpc.base.checked_options import checked_count_or_none
from pybrpc.base.import_gate import importing
from pybrpc.base.monkey_patches import check_monkey_patches
from pybrpc.transport.dispatch.epoll_dispatcher import EpollDispatcher
from pybrpc.transport.socket_map import SocketMap
from pybrpc.transport.socket_options import SocketOptions
from pybrpc.transport.writing.process_backlog import MAX_QUEUED_BYTES, ProcessBacklog

if TYPE_CHECKING:
    import asyncio

    from pybrpc.transport.dispatch.asyncio_dispatcher import AsyncioDispatcher

MAX_UNREAD_BYTES = 512 * 1024 * 1024


class Runtime:
    """Owns dispatchers and shared connections. Thread-safe. `close()` ends its thread."""

    def __init__(self, max_queued_bytes: int | None = MAX_QUEUED_BYTES) -> None:
        """`max_queued_bytes`: as the property."""
        self._dispatcher: AtomicRef[EpollDispatcher | None] = atomic_ref(None)
        self._loop_dispatchers: dict[asyncio.AbstractEventLoop, AsyncioDispatcher] = {}
        self.connections: SocketMap[Any] = SocketMap()
        self.acceptors: weakref.WeakSet[Any] = weakref.WeakSet()
        self.default_socket_options = SocketOptions()
        self.backlog = ProcessBacklog()
        """Counts what is queued on all connections of the channels and servers of this Runtime."""
        self.max_queued_bytes = max_queued_bytes
        self.stream_budget = ByteBudget(MAX_UNREAD_BYTES)
        if _hooks.increment_and_get(1) == 1:
            os.register_at_fork(after_in_child=_after_fork_in_child)
        _runtimes.add(self)

    @property
    def max_queued_bytes(self) -> int | None:
        """Bytes that may be queued on all connections together; `None` for no limit.

        Above it a message is refused with EOVERCROWDED, unless its connection holds less than
        64 KiB with it. May be changed at any time. 1 GiB by default.
        """
        return self.backlog.limit_bytes

    @max_queued_bytes.setter
    def max_queued_bytes(self, max_queued_bytes: int | None) -> None:
        self.backlog.limit_bytes = checked_count_or_none("max_queued_bytes", max_queued_bytes)

    @property
    def max_unread_bytes(self) -> int | None:
        """Bytes that all streams together may have received, and not given to their users yet;
        `None` for no limit. Above it the streams that hold most are reset. May be changed at any
        time. 512 MiB by default."""
        return self.stream_budget.limit_bytes

    @max_unread_bytes.setter
    def max_unread_bytes(self, max_unread_bytes: int | None) -> None:
        checked = checked_count_or_none("max_unread_bytes", max_unread_bytes)
        self.stream_budget.limit_bytes = checked

    @property
    def dispatcher(self) -> EpollDispatcher:
        """The dispatcher that has a thread; the thread starts with the first use.

        MonkeyPatchError if threads are not what they were when this package was imported.
        """
        dispatcher = self._dispatcher.get()
        while dispatcher is None:
            check_monkey_patches()
            fresh = EpollDispatcher()
            if self._dispatcher.compare_and_set(None, fresh):
                fresh.start()
            else:
                fresh.close()
            dispatcher = self._dispatcher.get()
        return dispatcher

    def dispatcher_of(self, loop: asyncio.AbstractEventLoop) -> AsyncioDispatcher:
        """The dispatcher whose turns `loop` runs."""
        dispatcher = self._loop_dispatchers.get(loop)
        if dispatcher is None:
            with importing:
                from pybrpc.transport.dispatch.asyncio_dispatcher import AsyncioDispatcher

            dispatcher = self._loop_dispatchers.setdefault(loop, AsyncioDispatcher(loop))
            self._forget_closed_loops()
        return dispatcher

    def _forget_closed_loops(self) -> None:
        """A loop does not report that it closes. What it leaves is closed when the next loop is
        used: connections with calls that will never be answered, and whose tasks never run."""
        closed = [loop for loop in list(self._loop_dispatchers) if loop.is_closed()]
        for loop in closed:
            self._loop_dispatchers.pop(loop, None)
        if closed:
            self.connections.close_lost()

    def close(self) -> None:
        """Close the shared connections and end the dispatcher thread. Blocks shortly."""
        self.connections.close()
        dispatcher = self._dispatcher.get()
        if dispatcher is not None:
            dispatcher.close()

    def abandon(self) -> None:
        """Drop it in a forked child, without locks, logging, or epoll_ctl on a shared epoll."""
        for acceptor in list(self.acceptors):
            acceptor.abandon()
        dispatcher = self._dispatcher.get()
        if dispatcher is not None:
            with contextlib.suppress(OSError):
                dispatcher.close_descriptors()

    def start_anew(self) -> None:
        """In a forked child: drop the parent's threads and descriptors, and be as new."""
        self.abandon()
        self._dispatcher.get_and_set(None)
        self._loop_dispatchers = {}
        self.acceptors = weakref.WeakSet()
        self.backlog = ProcessBacklog(self.max_queued_bytes)
        self.stream_budget = ByteBudget(self.max_unread_bytes)
        self.connections.after_fork()

    def __repr__(self) -> str:
        return f"<Runtime {len(self.connections)} shared connections, {self._dispatcher.get()!r}>"


_default: AtomicRef[Runtime | None] = atomic_ref(None)
_runtimes: weakref.WeakSet[Runtime] = weakref.WeakSet()
_hooks = atomic_counter()


def default_runtime() -> Runtime:
    """The process's Runtime, made now if there is none. Any thread, never blocks."""
    runtime = _default.get()
    while runtime is None:
        _default.compare_and_set(None, Runtime())
        runtime = _default.get()
    return runtime


def swap_default_runtime(runtime: Runtime | None) -> Runtime | None:
    """Use `runtime` as the default one from now on; `None`: the next use makes a new one. Return
    the one that was used. Any thread; closes nothing."""
    return _default.get_and_set(runtime)


def reset_default_runtime() -> None:
    """Close the default Runtime; the next use makes a new one. Blocks shortly."""
    runtime = _default.get_and_set(None)
    if runtime is not None:
        runtime.close()


def _after_fork_in_child() -> None:
    default = _default.get_and_set(None)
    for runtime in list(_runtimes):
        if runtime is not default:
            # Whatever is wrong with one of them, the others must not keep the parent's ports.
            with contextlib.suppress(Exception):
                runtime.start_anew()
    if default is not None:
        default.abandon()
        fresh = Runtime(default.max_queued_bytes)
        # Channels that were made before the fork still share connections, but new ones.
        fresh.connections = default.connections
        fresh.connections.after_fork()
        fresh.default_socket_options = default.default_socket_options
        fresh.max_unread_bytes = default.max_unread_bytes
        _default.get_and_set(fresh)
