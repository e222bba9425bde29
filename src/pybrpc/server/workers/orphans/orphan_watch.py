"""OrphanWatch: the process that ends workers whose supervisor is gone, as the supervisor sees it.

`watch_orphans` is the program that runs there, and says why it is needed.
"""

from __future__ import annotations

import contextlib
import os
import socket as _socket
import subprocess
import sys
import time

from pybrpc.base.guard import WORKERS
from pybrpc.server.workers.orphans import watch_orphans
from pybrpc.server.workers.orphans.watch_orphans import BLOCKED, PID
from pybrpc.server.workers.spawn import spawn
from pybrpc.transport.dispatch.event_dispatcher import EventDispatcher, TimerHandle

NOTICE_S = 2.0
"""Seconds in which a worker has to notice that it is an orphan."""

RESTART_S = 1.0
"""Seconds after which the process is started again when it has ended or could not be started."""


class OrphanWatch:
    """All but the constructor is called in turns of the dispatcher. Without its process, workers
    stop by themselves when their supervisor is gone, unless an extension holds the GIL."""

    def __init__(self, dispatcher: EventDispatcher, limit_s: float | None) -> None:
        """`limit_s`: seconds after which workers that stop by themselves are killed. OSError."""
        self._dispatcher = dispatcher
        self._limit_s = limit_s
        self._noticed_fd, self.orphan_fd = os.pipe()
        """`orphan_fd`: for workers, which write there when they notice that they are orphans."""
        self._workers: dict[int, tuple[_socket.socket, ...]] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._commands: _socket.socket | None = None
        self._restart: TimerHandle | None = None

    def start(self) -> None:
        """Start the process. An error is logged, and the start is tried again later."""
        try:
            self._process, commands = self._spawn()
        except OSError as error:
            WORKERS.error("the process that watches over orphaned workers can't start: %s", error)
            self._start_later()
            return
        commands.setblocking(False)
        self._commands = commands
        self._dispatcher.add_reader(commands.fileno(), self._on_ended)
        for pid, listeners in list(self._workers.items()):
            self._send(pid, *listeners)

    @property
    def pid(self) -> int | None:
        """Process id of the process, if it runs."""
        return None if self._process is None else self._process.pid

    def watch(self, pid: int, *listeners: _socket.socket) -> None:
        """A worker was started. `listeners`: the socket on which it listens, if that is to be shut
        down when this process is gone; at most one."""
        self._workers[pid] = listeners
        self._send(pid, *listeners)

    def forget(self, pid: int) -> None:
        """The worker has ended."""
        if self._workers.pop(pid, None) is not None:
            self._send(-pid)

    def close(self) -> None:
        """No worker is left: end the process."""
        if self._restart is not None:
            self._restart.cancel()
        self._end()
        for fd in (self._noticed_fd, self.orphan_fd):
            os.close(fd)

    def _spawn(self) -> tuple[subprocess.Popen[bytes], _socket.socket]:
        commands, theirs = _socket.socketpair()
        limit = "none" if self._limit_s is None else repr(self._limit_s)
        fds = (theirs.fileno(), self._noticed_fd)
        # Isolated (-I) and without site-packages (-S) it is small, and starts in 10 ms.
        arguments = [str(os.getpid()), *map(str, fds), repr(NOTICE_S), limit]
        command = [sys.executable, "-I", "-S", watch_orphans.__file__, *arguments]
        try:
            return spawn(command, fds=fds, blocked=BLOCKED, directory="/"), commands
        except BaseException:
            commands.close()
            raise
        finally:
            theirs.close()

    def _send(self, pid: int, *sockets: _socket.socket) -> None:
        if self._commands is None:
            return
        try:
            fds = [sock.fileno() for sock in sockets]
            _socket.send_fds(self._commands, [PID.pack(pid)], fds)
        except OSError:
            # It has ended, or it has not read for long.
            self._on_ended()

    def _on_ended(self) -> None:
        WORKERS.warning(
            "the process that watches over orphaned workers has ended; it is started again"
        )
        self._end()
        self._start_later()

    def _start_later(self) -> None:
        self._restart = self._dispatcher.call_at(time.monotonic() + RESTART_S, self.start)

    def _end(self) -> None:
        """Kill the process, which keeps nothing, and wait for its end."""
        if self._commands is not None:
            self._dispatcher.remove_reader(self._commands.fileno())
            self._commands.close()
            self._commands = None
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            self._process.wait()
            self._process = None
