"""SupervisorLink: the worker's end of the connection to its supervisor.

It has a thread of its own, so that it works while the application is being imported, and when the
dispatcher or a loop is busy. The stream ends when the supervisor dies: a worker never outlives its
supervisor by more than the grace. If this thread can't run, other processes see to that: the
supervisor, which gets no reports, or when that is gone, the one of `watch_orphans`.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket as _socket
import threading
import time

from pybrpc.base.guard import WORKERS, run_guarded
from pybrpc.server.server import Server
from pybrpc.server.values import ServerStatistics
from pybrpc.server.workers.messages import WorkerReport
from pybrpc.server.workers.orphans.watch_orphans import PID

REPORT_S = 1.0
EXIT_S = 5.0
"""Seconds after the grace in which a worker without a supervisor has to end."""

OWN_STOP_S = 1.0
"""Seconds after a signal in which a worker serves on, until it is clear that the signal was for it
alone. systemd sends SIGTERM to all processes of a service: a supervisor that drains says so then,
and needs its workers for that."""

LONGEST_FAILURE = 1000
"""Most characters of a failure that are reported. The log of the worker has all of it."""


class SupervisorLink:
    """Reports once a second, and obeys commands: "drain", "stop 5.0" or "stop none".

    A stop is handed on to the server; a worker that has no server yet ends at once. "drain" says
    that a stop will follow: the server serves on, and its pages say that it is not ready.
    """

    def __init__(self, control: _socket.socket, grace_s: float | None, orphan_fd: int = -1) -> None:
        """`grace_s`: grace of the stop that follows the end of the supervisor, which is noted in
        `orphan_fd`."""
        self._control = control
        self._grace_s = grace_s
        self._orphan_fd = orphan_fd
        self._parent = os.getppid()
        self._server: Server | None = None
        self._is_asked_to_stop = False
        self._is_draining = False
        self._own_stop_at: float | None = None
        """When the server is to stop because of a signal."""
        self._writing = threading.Lock()
        self._is_over = False
        self._woken, self._wake = _socket.socketpair()
        self._wake.setblocking(False)
        # Made now: a library that the application imports may take `poll` away.
        self._poll = select.poll()
        for sock in (control, self._woken):
            self._poll.register(sock, select.POLLIN)

    def start(self) -> None:
        threading.Thread(target=self._run, name="pybrpc-supervisor-link", daemon=True).start()

    def serve(self, server: Server) -> None:
        """Report that `server` serves now."""
        self._server = server
        # Store, then load: a command may come now.
        if self._is_draining:
            server._become_unready()
        if self._is_asked_to_stop:
            server.stop(0.0)
        self._report()

    def fail(self, error: BaseException) -> None:
        """Report that the worker can't serve."""
        failure = type(error).__name__
        with contextlib.suppress(BaseException):  # Its text is made by code of the application.
            failure = f"{failure}: {error}"[:LONGEST_FAILURE]
        self._send(WorkerReport(failure=failure))

    def stop_later(self) -> bool:
        """Stop the server in OWN_STOP_S, unless the supervisor drains. For signal handlers."""
        if not self._is_draining and self._own_stop_at is None:
            self._own_stop_at = time.monotonic() + OWN_STOP_S
            self.report_own_stop()
        return True

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
            readable = [fd for fd, _ in self._poll.poll(self._pause_s() * 1000)]
            if self._woken.fileno() in readable:
                self._woken.recv(4096)
            if self._control.fileno() in readable:
                command = self._receive()
                for line in command.splitlines():
                    run_guarded(self._obey, line, what="a command of the supervisor", log=WORKERS)
                is_orphan = not command
            else:
                # A process that the supervisor has forked can keep the stream open.
                is_orphan = os.getppid() != self._parent
            if is_orphan:
                self._end_as_orphan()
                return
            if self._own_stop_at is not None and self._pause_s() == 0.0:
                self._own_stop_at = None
                if not self._is_draining:
                    self._stop(self._grace_s)
            run_guarded(self._report, what="a report to the supervisor", log=WORKERS)

    def _pause_s(self) -> float:
        """Seconds until there is something to do, if nothing comes."""
        due = self._own_stop_at
        return REPORT_S if due is None else min(REPORT_S, max(0.0, due - time.monotonic()))

    def _receive(self) -> str:
        try:
            return self._control.recv(4096).decode()
        except OSError:
            return ""

    def _obey(self, line: str) -> None:
        command, _, grace = line.partition(" ")
        if command == "drain":
            self._is_draining = True
            if self._server is not None:
                self._server._become_unready()
            return
        self._stop(None if grace == "none" else float(grace))

    def _stop(self, grace_s: float | None) -> None:
        self._is_asked_to_stop = True
        if self._server is None:
            # As a signal it also ends an import that blocks.
            os.kill(os.getpid(), signal.SIGTERM)
        else:
            self._server.stop(grace_s)

    def _end_as_orphan(self) -> None:
        with contextlib.suppress(OSError):
            os.write(self._orphan_fd, PID.pack(os.getpid()))
        self._stop(self._grace_s)
        if self._grace_s is not None:
            time.sleep(self._grace_s + EXIT_S)
            os._exit(1)

    def _report(self) -> None:
        server = self._server
        statistics = ServerStatistics() if server is None else server.statistics()
        is_serving = server is not None and server.is_running and not server.is_stopping
        report = WorkerReport(is_serving, statistics=statistics, allowed_hosts=_hosts_of(server))
        self._send(report)

    def _send(self, report: WorkerReport) -> None:
        with self._writing, contextlib.suppress(OSError):
            self._control.sendall(report.to_line())


def _hosts_of(server: Server | None) -> list[str]:
    """The hosts that its `allowed_hosts` names; none if it allows all."""
    hosts = None if server is None else server._settings.http.hosts
    return [] if hosts is None or hosts.allows_all else list(hosts.texts)
