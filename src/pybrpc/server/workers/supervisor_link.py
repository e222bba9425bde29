"""SupervisorLink: the worker's end of the connection to its supervisor.

It has a thread of its own, so that it works while the application is being imported, and when the
dispatcher or a loop is busy. The stream ends when the supervisor dies: a worker never outlives its
supervisor by more than the grace.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket as _socket
import threading
import time

from pybrpc.server.server import Server
from pybrpc.server.values import ServerStatistics
from pybrpc.server.workers.messages import WorkerReport

REPORT_S = 1.0
EXIT_S = 5.0
"""Seconds after the grace in which a worker without a supervisor has to end."""


class SupervisorLink:
    """Reports once a second, and obeys commands: "stop 5.0" or "stop none".

    A stop is handed on to the server; a worker that has no server yet ends at once.
    """

    def __init__(self, control: _socket.socket, grace_s: float | None) -> None:
        """`grace_s`: grace of the stop that follows the end of the supervisor."""
        self._control = control
        self._grace_s = grace_s
        self._server: Server | None = None
        self._is_asked_to_stop = False
        self._writing = threading.Lock()
        self._is_over = False
        self._woken, self._wake = _socket.socketpair()
        self._wake.setblocking(False)

    def start(self) -> None:
        threading.Thread(target=self._run, name="pybrpc-supervisor-link", daemon=True).start()

    def serve(self, server: Server) -> None:
        """Report that `server` serves now."""
        self._server = server
        if self._is_asked_to_stop:
            server.stop(0.0)
        self._report()

    def fail(self, error: BaseException) -> None:
        """Report that the worker can't serve."""
        self._send(WorkerReport(failure=f"{type(error).__name__}: {error}"))

    def report_own_stop(self) -> None:
        """Report soon that the server stops by itself. For signal handlers: never blocks."""
        with contextlib.suppress(OSError):
            self._wake.send(b"x")

    def finish(self) -> None:
        """The server has stopped: report its counters."""
        self._is_over = True
        self._report()

    def _run(self) -> None:
        while not self._is_over:
            readable, _, _ = select.select([self._control, self._woken], [], [], REPORT_S)
            if self._woken in readable:
                self._woken.recv(4096)
            if self._control not in readable:
                self._report()
                continue
            command = self._receive()
            if not command:
                self._stop(self._grace_s)
                self._end_in_time()
                return
            for line in command.splitlines():
                self._obey(line)

    def _receive(self) -> str:
        try:
            return self._control.recv(4096).decode()
        except OSError:
            return ""

    def _obey(self, line: str) -> None:
        _, _, grace = line.partition(" ")
        self._stop(None if grace == "none" else float(grace))

    def _stop(self, grace_s: float | None) -> None:
        self._is_asked_to_stop = True
        if self._server is None:
            # As a signal it also ends an import that blocks.
            os.kill(os.getpid(), signal.SIGTERM)
        else:
            self._server.stop(grace_s)

    def _end_in_time(self) -> None:
        if self._grace_s is not None:
            time.sleep(self._grace_s + EXIT_S)
            os._exit(1)

    def _report(self) -> None:
        server = self._server
        statistics = ServerStatistics() if server is None else server.statistics()
        is_serving = server is not None and server.is_running and not server.is_stopping
        self._send(WorkerReport(is_serving=is_serving, statistics=statistics))

    def _send(self, report: WorkerReport) -> None:
        with self._writing, contextlib.suppress(OSError):
            self._control.sendall(report.to_line())
