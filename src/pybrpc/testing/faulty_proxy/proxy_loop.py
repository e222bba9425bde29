"""ProxyLoop: a thread that waits for descriptors and times, without pybrpc's transport."""

from __future__ import annotations

import concurrent.futures
import logging
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from pybrpc.base.deadline import NEVER

logger = logging.getLogger("pybrpc")

READ = selectors.EVENT_READ
WRITE = selectors.EVENT_WRITE

LONGEST_WAIT_S = 3600.0

T = TypeVar("T")


class Handler(Protocol):
    """An object that waits in a ProxyLoop. `now` is the monotonic clock."""

    def on_ready(self, sock: socket.socket, mask: int, now: float) -> None:
        """A watched socket is ready."""

    def advance(self, now: float) -> None:
        """The time given to `wake_at` has come."""

    def close(self) -> None:
        """A method of the handler has raised: close all sockets."""


class LoopClosedError(RuntimeError):
    """A call of a ProxyLoop that has ended."""


class ProxyLoop:
    """One thread. `call` and `close` are for other threads, all else is for functions run in it."""

    def __init__(self, name: str) -> None:
        self._selector = selectors.DefaultSelector()
        self._wake_end, self._wake_sender = socket.socketpair()
        self._wake_end.setblocking(False)
        self._wake_sender.setblocking(False)
        self._selector.register(self._wake_end, READ, None)
        self._masks: dict[socket.socket, int] = {}
        self._wakes: dict[Handler, float] = {}
        self._commands: deque[tuple[Callable[[], Any], concurrent.futures.Future[Any]]] = deque()
        self._lock = threading.Lock()
        self._is_closing = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def call(self, function: Callable[[], T]) -> T:
        """Run `function` in the thread, and wait for it; return its result or raise its exception.

        LoopClosedError if the loop has ended.
        """
        if threading.current_thread() is self._thread:
            return function()
        future: concurrent.futures.Future[T] = concurrent.futures.Future()
        with self._lock:
            if self._is_closing:
                raise LoopClosedError("the proxy was closed; make a new one")
            self._commands.append((function, future))
            self._wake()
        return future.result()

    def close(self, last: Callable[[], object]) -> None:
        """Run `last` in the thread, then end it and wait for it."""
        if threading.current_thread() is self._thread:
            raise RuntimeError("a proxy can't be closed by its own plan")
        with self._lock:
            if not self._is_closing:
                # In this order: the thread ends when it is closing and there is no command.
                self._commands.append((last, concurrent.futures.Future()))
                self._is_closing = True
                self._wake()
        self._thread.join()
        with self._lock:
            self._wake_end.close()
            self._wake_sender.close()

    def watch(self, sock: socket.socket, mask: int, handler: Handler) -> None:
        """Call `handler.on_ready` when `sock` is ready; mask 0 ends that."""
        before = self._masks.get(sock, 0)
        if mask == before:
            return
        if not mask:
            del self._masks[sock]
            self._selector.unregister(sock)
            return
        self._masks[sock] = mask
        (self._selector.modify if before else self._selector.register)(sock, mask, handler)

    def wake_at(self, handler: Handler, when: float) -> None:
        """Call `handler.advance` at that time, instead of an earlier given one. NEVER: don't call
        it."""
        if when == NEVER:
            self._wakes.pop(handler, None)
        else:
            self._wakes[handler] = when

    def _wake(self) -> None:
        try:
            self._wake_sender.send(b"\0")
        except BlockingIOError:
            logger.debug("the proxy has not read the last wake-ups yet")

    def _run(self) -> None:
        while not self._is_closing or self._commands:
            self._turn()
        self._selector.close()

    def _turn(self) -> None:
        timeout_s = max(0.0, min(self._wakes.values(), default=NEVER) - time.monotonic())
        events = self._selector.select(min(timeout_s, LONGEST_WAIT_S))
        now = time.monotonic()
        for key, mask in events:
            sock = key.fileobj
            if key.data is None:
                self._wake_end.recv(4096)
            elif isinstance(sock, socket.socket) and sock in self._masks:
                _guard(key.data, key.data.on_ready, sock, mask, now)
        for handler in [handler for handler, when in self._wakes.items() if when <= now]:
            self._wakes.pop(handler, None)
            _guard(handler, handler.advance, now)
        while self._commands:
            function, future = self._commands.popleft()
            _settle(future, function)


def _settle(future: concurrent.futures.Future[T], function: Callable[[], T]) -> None:
    try:
        future.set_result(function())
    except Exception as error:
        future.set_exception(error)


def _guard(handler: Handler, function: Callable[..., None], *arguments: Any) -> None:
    """Call `function`; a defect in it costs one connection, not the thread."""
    try:
        function(*arguments)
    except BaseException:
        logger.exception("%r raised and is closed", handler)
        handler.close()
