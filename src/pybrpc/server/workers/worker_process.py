"""WorkerProcess: one worker, as its supervisor sees it."""

from __future__ import annotations

import contextlib
import signal
import socket as _socket
import time
from collections.abc import Callable
from typing import Protocol

from pybrpc.base.deadline import NEVER
from pybrpc.base.guard import WORKERS
from pybrpc.server.values import ServerStatistics
from pybrpc.server.workers.messages import FOR_SUPERVISOR, WorkerReport, WorkerSpec
from pybrpc.server.workers.pages.channel import PageChannel
from pybrpc.server.workers.settings import SupervisorSettings
from pybrpc.server.workers.spawn import spawn
from pybrpc.server.workers.supervisor_statistics import WorkerStatistics
from pybrpc.server.workers.worker_directory import WorkerDirectory
from pybrpc.transport.dispatch.event_dispatcher import EventDispatcher, TimerHandle
from pybrpc.transport.dispatch.periodic import PeriodicTimer

CHECK_S = 0.25
"""Seconds between checks whether the process has ended: a process that the worker has forked can
keep the control socket open, so the end of the stream may not come."""

ENDING_CHECK_S = 0.01
"""Seconds between the checks after the end of the stream."""

KILL_S = 5.0
"""Seconds after its grace in which a worker has to end."""

LONGEST_LINE = 65536
"""Most bytes that are kept of a report that is not complete."""

LONGEST_SILENCE_S = 1.0
"""Seconds that one check counts as silence at most: if this process was stopped meanwhile, the
reports of that time are not read yet."""


class WorkerUser(Protocol):
    """Notified of a worker's changes, in turns of the dispatcher."""

    def on_serving(self, worker: WorkerProcess) -> None:
        """The worker accepts connections."""

    def on_own_stop(self, worker: WorkerProcess) -> None:
        """The worker has begun to stop without being asked to."""

    def on_ended(self, worker: WorkerProcess) -> None:
        """The worker has ended, and all that it has sent was read."""


class WorkerProcess:
    """Made in a turn of `dispatcher`; its methods are called in turns, too.

    On each way out the process has a limit of time, after which it is killed: it has to serve in
    time; to report while it serves; and once it stops, by itself or because it was asked to, to end
    in its grace and `KILL_S`.
    """

    def __init__(
        self,
        make_spec: Callable[[int, int], WorkerSpec],
        directory: WorkerDirectory,
        dispatcher: EventDispatcher,
        user: WorkerUser,
        settings: SupervisorSettings,
    ) -> None:
        """Start the process. `make_spec` gets the worker's descriptors for control and pages; the
        second one is -1 if the supervisor shows none. OSError."""
        self._control, theirs = _socket.socketpair()
        self.pages: PageChannel | None = None
        self._dispatcher = dispatcher
        self._user = user
        self._settings = settings
        self._received = b""
        try:
            if settings.internal_port is not None:
                self.pages = PageChannel()
            spec = make_spec(theirs.fileno(), -1 if self.pages is None else self.pages.their_fd)
            self._process = spawn(
                spec.to_command(directory.executable),
                fds=spec.fds,
                blocked=FOR_SUPERVISOR,
                directory=directory.path,
                environment=directory.environment,
            )
        except BaseException:
            self._close()
            raise
        finally:
            theirs.close()
            if self.pages is not None:
                self.pages.release_theirs()
        self.number = spec.number
        self.pid = self._process.pid
        self.state = "starting"
        self.failure = ""
        """The reason why it couldn't serve, or why it was killed."""
        self.statistics = ServerStatistics()
        self.allowed_hosts: list[str] = []
        """Those that its server names; none: it allows all, or does not serve yet."""
        self.was_stopped = False
        """Whether it ends because its supervisor or a signal asked it to."""
        self._started_at = self._checked_at = time.monotonic()
        self._served_at: float | None = None
        self._silent_s = 0.0
        self._end_timer: TimerHandle | None = None
        self._end_limit = NEVER
        self._check_s = CHECK_S
        self._end_check = PeriodicTimer(dispatcher, self._check_end)
        self._reads_pages = False
        try:
            self._watch()
        except BaseException:
            self._close()
            self._process.kill()
            self._process.wait()
            raise

    def _watch(self) -> None:
        self._control.setblocking(False)
        self._dispatcher.add_reader(self._control.fileno(), self._on_readable)
        if self.pages is not None:
            self._dispatcher.add_reader(self.pages.fd, self._on_last_metrics)
            self._reads_pages = True
        self._end_check.start(CHECK_S)
        self._end_in(self._settings.start_timeout_s)

    def drain(self) -> None:
        """Have its pages say that it will stop soon."""
        with contextlib.suppress(OSError):
            self._control.send(b"drain\n")

    def stop(self, grace_s: float | None) -> None:
        """Ask the worker to stop. A second call can shorten the grace. A late worker is killed."""
        self.was_stopped = True
        self.state = "stopping"
        with contextlib.suppress(OSError):
            self._control.send(b"stop none\n" if grace_s is None else b"stop %r\n" % grace_s)
        self._end_in(None if grace_s is None else grace_s + KILL_S)

    def kill(self) -> None:
        """Kill the process, if it still runs."""
        if self._process.poll() is None:
            WORKERS.warning("%r did not end in time and is killed", self)
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

    def _end_in(self, seconds: float | None) -> None:
        """The process has to end in that time, if it was not to end earlier; `None`: no limit."""
        limit = NEVER if seconds is None else time.monotonic() + seconds
        if limit < self._end_limit:
            self._lift_limit()
            self._end_limit = limit
            self._end_timer = self._dispatcher.call_at(limit, self._on_end_limit)

    def _lift_limit(self) -> None:
        timer, self._end_timer, self._end_limit = self._end_timer, None, NEVER
        if timer is not None:
            timer.cancel()

    def _on_end_limit(self) -> None:
        if self.state == "starting" and not self.failure:
            self.failure = f"it did not serve within {self._settings.start_timeout_s:g} s"
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
                self._end_in(KILL_S)

    def _on_last_metrics(self) -> None:
        """The worker sends its last metrics, or has closed its end."""
        if self.pages is not None and not self.pages.read_last():
            self._stop_reading_pages()

    def _stop_reading_pages(self) -> None:
        if self._reads_pages and self.pages is not None:
            self._reads_pages = False
            self._dispatcher.remove_reader(self.pages.fd)

    def _receive(self) -> bytes | None:
        """The received bytes; `None` if there are none, b"" at the end of the stream."""
        try:
            return self._control.recv(65536)
        except BlockingIOError:
            return None
        except OSError:
            return b""

    def _take_lines(self, data: bytes) -> None:
        *lines, rest = (self._received + data).split(b"\n")
        self._received = rest[-LONGEST_LINE:]
        self._silent_s = 0.0
        for line in lines:
            try:
                report = WorkerReport.from_line(line)
            except (ValueError, TypeError, KeyError) as error:
                kind = type(error).__name__
                WORKERS.warning("%r has sent %.100r, which is no report (%s)", self, line, kind)
            else:
                self._take(report)

    def _take(self, report: WorkerReport) -> None:
        self.statistics = report.statistics
        self.allowed_hosts = report.allowed_hosts
        if report.failure:
            self.failure = report.failure
            self._end_in(KILL_S)
        if report.is_serving and self.state == "starting":
            self._lift_limit()
            self._served_at = time.monotonic()
            self.state = "serving"
            self._user.on_serving(self)
        elif self.state == "serving" and not report.is_serving:
            self.was_stopped = True
            self.state = "stopping"
            grace_s = self._settings.grace_s
            self._end_in(None if grace_s is None else grace_s + KILL_S)
            self._user.on_own_stop(self)

    def _check_end(self, now: float) -> float | None:
        """Notify the user if the process has ended."""
        if self._control.fileno() < 0:
            return None
        if self._process.poll() is None:
            self._check_silence(now)
            return self._check_s
        self._lift_limit()
        self._dispatcher.remove_reader(self._control.fileno())
        while data := self._receive():
            self._take_lines(data)
        if self._reads_pages and self.pages is not None:
            self.pages.read_last()
            self._stop_reading_pages()
        self._lift_limit()
        self._close()
        self._user.on_ended(self)
        return None

    def _close(self) -> None:
        self._control.close()
        if self.pages is not None:
            self.pages.close()

    def _check_silence(self, now: float) -> None:
        """Abort a worker that serves, or stops, and has not reported for long."""
        passed_s, self._checked_at = now - self._checked_at, now
        limit_s = self._settings.stall_timeout_s
        if not limit_s or self.state == "starting":
            return
        was_silent = self._silent_s >= limit_s
        self._silent_s += min(passed_s, LONGEST_SILENCE_S)
        if self._silent_s >= limit_s and not was_silent:
            self._abort(f"it did not report for {limit_s:g} s")

    def _abort(self, failure: str) -> None:
        """Have the process write its stacks to its standard error, and end."""
        self.failure = failure
        self.was_stopped = False
        WORKERS.error(
            "%r runs no Python code: %s. It writes its stacks and is killed", self, failure
        )
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGABRT)
        self._end_in(KILL_S)

    def __repr__(self) -> str:
        return f"<worker {self.number}, pid {self.pid}, {self.state}>"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
