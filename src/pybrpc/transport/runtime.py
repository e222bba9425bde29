"""Runtime: the dispatchers and connections that channels and servers of a process share.

The default Runtime is made when it is first needed, closed at exit, and replaced in a forked child.
The child closes its copies of the parent's descriptors and touches nothing else of the parent's.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import weakref
from typing import Any

from pybrpc.base.atomic import AtomicRef, atomic_counter, atomic_ref
from pybrpc.transport.dispatch.asyncio_dispatcher import AsyncioDispatcher
from pybrpc.transport.dispatch.epoll_dispatcher import EpollDispatcher
from pybrpc.transport.socket_map import SocketMap
from pybrpc.transport.socket_options import SocketOptions
from pybrpc.transport.writing.process_backlog import MAX_QUEUED_BYTES, ProcessBacklog


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

    @property
    def max_queued_bytes(self) -> int | None:
        """Bytes that may be queued on all connections together; `None` for no limit.

        Above it a message is refused with EOVERCROWDED, unless its connection holds less than
        64 KiB with it. May be changed at any time. 1 GiB by default.
        """
        return self.backlog.limit_bytes

    @max_queued_bytes.setter
    def max_queued_bytes(self, max_queued_bytes: int | None) -> None:
        if max_queued_bytes is not None and max_queued_bytes < 0:
            raise ValueError(f"max_queued_bytes must be None or >= 0, not {max_queued_bytes}")
        self.backlog.limit_bytes = max_queued_bytes

    @property
    def dispatcher(self) -> EpollDispatcher:
        """The dispatcher that has a thread; the thread starts with the first use."""
        dispatcher = self._dispatcher.get()
        while dispatcher is None:
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
            dispatcher = self._loop_dispatchers.setdefault(loop, AsyncioDispatcher(loop))
            for other in list(self._loop_dispatchers):
                if other.is_closed():
                    self._loop_dispatchers.pop(other, None)
        return dispatcher

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

    def __repr__(self) -> str:
        return f"<Runtime {len(self.connections)} shared connections, {self._dispatcher.get()!r}>"


_default: AtomicRef[Runtime | None] = atomic_ref(None)
_hooks = atomic_counter()


def default_runtime() -> Runtime:
    """The process's Runtime, made now if there is none. Any thread, never blocks."""
    runtime = _default.get()
    while runtime is None:
        if _hooks.increment_and_get(1) == 1:
            os.register_at_fork(after_in_child=_after_fork_in_child)
            atexit.register(reset_default_runtime)
        _default.compare_and_set(None, Runtime())
        runtime = _default.get()
    return runtime


def reset_default_runtime() -> None:
    """Close the default Runtime; the next use makes a new one. Blocks shortly."""
    runtime = _default.get_and_set(None)
    if runtime is not None:
        runtime.close()


def _after_fork_in_child() -> None:
    runtime = _default.get_and_set(None)
    if runtime is not None:
        runtime.abandon()
        fresh = Runtime(runtime.max_queued_bytes)
        # Channels that were made before the fork still share connections, but new ones.
        fresh.connections = runtime.connections
        fresh.connections.after_fork()
        fresh.default_socket_options = runtime.default_socket_options
        _default.get_and_set(fresh)
