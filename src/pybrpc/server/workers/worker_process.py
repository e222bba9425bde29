"""WorkerProcess: one worker, as its supervisor sees it."""

from __future__ import annotations

import contextlib
import logging
import signal
import socket as _socket
import subprocess
import time
from collections.abc import Callable
from typing import Protocol

from pybrpc.server.values import ServerStatistics
from pybrpc.server.workers.messages import WorkerReport, WorkerSpec
from pybrpc.server.workers.supervisor_statistics import WorkerStatistics
from pybrpc.transport.dispatch.event_dispatcher import EventDispatcher
from pybrpc.transport.dispatch.periodic import PeriodicTimer

logger = logging.getLogger("pybrpc")

CHECK_S = 0.25
"""Seconds between checks whether the process has ended: a process that the worker has forked can
keep the control socket open, so the end of the stream may not come."""

ENDING_CHECK_S = 0.01
"""Seconds between the checks after the end of the stream."""

KILL_S = 5.0
"""Seconds after its grace in which a worker has to end."""


class WorkerUser(Protocol):
    """Notified of a worker's changes, in turns of the dispatcher."""

    def on_serving(self, worker: WorkerProcess) -> None:
        """The worker accepts connections."""

    def on_own_stop(self, worker: WorkerProcess) -> None:
        """The worker has begun to stop without being asked to."""

    def on_ended(self, worker: WorkerProcess) -> None:
        """The worker has ended, and all its reports were read."""


class WorkerProcess:
    """Made in a turn of `dispatcher`; its methods are called in turns, too."""

    def __init__(
        self,
        make_spec: Callable[[int], WorkerSpec],
        listener: _socket.socket,
        dispatcher: EventDispatcher,
        user: WorkerUser,
        start_timeout_s: float,
    ) -> None:
        """Start the process. `make_spec` gets the worker's control descriptor. OSError."""
        self._control, theirs = _socket.socketpair()
        self._dispatcher = dispatcher
        self._user = user
        self._received = b""
        try:
            spec = make_spec(theirs.fileno())
            self._process = subprocess.Popen(
                spec.to_command(),
                stdin=subprocess.DEVNULL,
                pass_fds=(listener.fileno(), theirs.fileno()),
                # Ctrl-C in the terminal is for the supervisor, which stops the workers.
                process_group=0,
            )
        except BaseException:
            self._control.close()
            raise
        finally:
            theirs.close()
        self.number = spec.number
        self.pid = self._process.pid
        self.state = "starting"
        self.failure = ""
        """The reason why it couldn't serve, if it has reported one."""
        self.statistics = ServerStatistics()
        self.was_stopped = False
        """Whether it ends because its supervisor or a signal asked it to."""
        self._started_at = time.monotonic()
        self._served_at: float | None = None
        self._control.setblocking(False)
        dispatcher.add_reader(self._control.fileno(), self._on_readable)
        self._check_s = CHECK_S
        self._end_check = PeriodicTimer(dispatcher, self._check_end)
        self._end_check.start(CHECK_S)
        self._call_in(start_timeout_s, lambda: self._give_up_starting(start_timeout_s))

    def stop(self, grace_s: float | None) -> None:
        """Ask the worker to stop. A second call can shorten the grace. A late worker is killed."""
        self.was_stopped = True
        self.state = "stopping"
        with contextlib.suppress(OSError):
            self._control.send(b"stop none\n" if grace_s is None else b"stop %r\n" % grace_s)
        if grace_s is not None:
            self._call_in(grace_s + KILL_S, self.kill)

    def kill(self) -> None:
        """Kill the process, if it still runs."""
        if self._process.poll() is None:
            logger.warning("%r did not end in time and is killed", self)
            self._process.kill()

    @property
    def served_s(self) -> float:
        """Seconds since the worker began to serve; 0 before."""
        return 0.0 if self._served_at is None else time.monotonic() - self._served_at

    @property
    def end(self) -> str:
        """How it has ended: "exit status 1", "killed by SIGKILL", why it couldn't serve."""
        code = self._process.returncode
        text = f"exit status {code}" if code >= 0 else f"killed by {_signal_name(-code)}"
        return f"{self.failure} ({text})" if self.failure else text

    def describe(self) -> WorkerStatistics:
        """Any thread."""
        age_s = time.monotonic() - self._started_at
        return WorkerStatistics(self.number, self.pid, self.state, age_s, self.statistics)

    def _call_in(self, seconds: float, function: Callable[[], None]) -> None:
        self._dispatcher.call_at(time.monotonic() + seconds, function)

    def _give_up_starting(self, start_timeout_s: float) -> None:
        if self.state == "starting":
            self.failure = f"it did not serve within {start_timeout_s:g} s"
            self.kill()

    def _on_readable(self) -> None:
        data = self._receive()
        if data:
            self._take_lines(data)
        elif data is not None:
            self._dispatcher.remove_reader(self._control.fileno())
            self._check_s = ENDING_CHECK_S
            self._end_check.stop()
            if self._check_end(time.monotonic()) is not None:
                self._end_check.start(ENDING_CHECK_S)

    def _receive(self) -> bytes | None:
        """The received bytes; `None` if there are none, b"" at the end of the stream."""
        try:
            return self._control.recv(65536)
        except BlockingIOError:
            return None
        except OSError:
            return b""

    def _take_lines(self, data: bytes) -> None:
        *lines, self._received = (self._received + data).split(b"\n")
        for line in lines:
            self._take(WorkerReport.from_line(line))

    def _take(self, report: WorkerReport) -> None:
        self.statistics = report.statistics
        self.failure = report.failure or self.failure
        if report.is_serving and self.state == "starting":
            self._served_at = time.monotonic()
            self.state = "serving"
            self._user.on_serving(self)
        elif self.state == "serving" and not report.is_serving:
            self.was_stopped = True
            self.state = "stopping"
            self._user.on_own_stop(self)

    def _check_end(self, now: float) -> float | None:
        """Notify the user if the process has ended."""
        if self._control.fileno() < 0:
            return None
        if self._process.poll() is None:
            return self._check_s
        self._dispatcher.remove_reader(self._control.fileno())
        while data := self._receive():
            self._take_lines(data)
        self._control.close()
        self._user.on_ended(self)
        return None

    def __repr__(self) -> str:
        return f"<worker {self.number}, pid {self.pid}, {self.state}>"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
