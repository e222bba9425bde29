"""SupervisorLink: the reports of a worker, and the commands that it obeys."""

from __future__ import annotations

import os
import queue
import signal
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from pybrpc.server import ServerStatistics
from pybrpc.server.settings import ServerSettings
from pybrpc.server.workers import supervisor_link
from pybrpc.server.workers.messages import WorkerReport
from pybrpc.server.workers.orphans.watch_orphans import PID
from pybrpc.server.workers.supervisor_link import (
    EXIT_S,
    LONGEST_FAILURE,
    OWN_STOP_S,
    SupervisorLink,
)
from tests.fakes.threads import wait_until

GRACE_S = 7.0
WAIT_S = 30.0


class FakeServer:
    """Keeps the graces of its stops."""

    is_running = True
    is_stopping = False

    def __init__(self, **options: Any) -> None:
        self._settings = ServerSettings.of(options)  # type: ignore[arg-type]
        self.stops: queue.SimpleQueue[float | None] = queue.SimpleQueue()
        self.is_ready = True

    def _become_unready(self) -> None:
        self.is_ready = False

    def stop(self, grace_s: float | None) -> None:
        self.is_stopping = True
        self.stops.put(grace_s)

    def statistics(self) -> ServerStatistics:
        return ServerStatistics(requests=3)

    def wait_stopped_with(self) -> float | None:
        return self.stops.get(timeout=WAIT_S)


class Stage:
    """A link, the supervisor's end of it, and the signals and exits of the process."""

    def __init__(self, patch: pytest.MonkeyPatch, grace_s: float | None = GRACE_S) -> None:
        self.supervisor, self._control = socket.socketpair()
        self.supervisor.settimeout(WAIT_S)
        self._lines = self.supervisor.makefile("rb")
        self.done: queue.SimpleQueue[tuple[str, float]] = queue.SimpleQueue()
        patch.setattr(supervisor_link, "REPORT_S", WAIT_S)
        patch.setattr(os, "kill", lambda pid, number: self.done.put(("signal", number)))
        patch.setattr(os, "_exit", lambda status: self.done.put(("exit", status)))
        patch.setattr(supervisor_link, "time", self)
        self.now_s = 100.0
        self.server = FakeServer()
        self.noticed_fd, self._orphan_fd = os.pipe()
        self.link = SupervisorLink(self._control, grace_s, self._orphan_fd)

    def sleep(self, seconds: float) -> None:
        """Replaces `time.sleep`."""
        self.done.put(("sleep", seconds))

    def monotonic(self) -> float:
        """Replaces `time.monotonic`."""
        return self.now_s

    def read_report(self) -> WorkerReport:
        return WorkerReport.from_line(self._lines.readline())

    def close(self) -> None:
        self.link.finish()
        self.link.report_own_stop()
        for thread in threading.enumerate():
            if thread.name == "pybrpc-supervisor-link":
                thread.join(WAIT_S)
        self.end_stream()
        for sock in (self._control, self.link._woken, self.link._wake):
            sock.close()
        for fd in (self.noticed_fd, self._orphan_fd):
            os.close(fd)

    def end_stream(self) -> None:
        self._lines.close()
        self.supervisor.close()


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    made = Stage(monkeypatch)
    yield made
    made.close()


def test_report_of_a_serving_worker_has_its_counters(stage: Stage) -> None:
    stage.link.serve(stage.server)
    assert stage.read_report() == WorkerReport(True, statistics=ServerStatistics(requests=3))


def test_report_of_a_failure_has_the_reason(stage: Stage) -> None:
    stage.link.fail(ModuleNotFoundError("No module named 'app'"))
    assert stage.read_report().failure == "ModuleNotFoundError: No module named 'app'"


def test_reports_are_sent_periodically(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor_link, "REPORT_S", 0.001)
    stage.link.start()
    assert stage.read_report() == WorkerReport(is_serving=False)
    stage.link.serve(stage.server)
    while not stage.read_report().is_serving:
        pass


def test_own_stop_is_reported_at_once(stage: Stage) -> None:
    stage.link.serve(stage.server)
    assert stage.read_report().is_serving
    stage.link.start()
    stage.server.stop(None)
    stage.link.report_own_stop()
    assert not stage.read_report().is_serving


@pytest.mark.parametrize(("command", "grace_s"), [(b"stop 2.5\n", 2.5), (b"stop none\n", None)])
def test_command_stops_the_server(stage: Stage, command: bytes, grace_s: float | None) -> None:
    stage.link.serve(stage.server)
    stage.link.start()
    stage.supervisor.sendall(command)
    assert stage.server.wait_stopped_with() == grace_s


def test_commands_that_come_together_are_all_obeyed(stage: Stage) -> None:
    stage.link.serve(stage.server)
    stage.supervisor.sendall(b"stop none\nstop 1.0\n")
    stage.link.start()
    assert [stage.server.wait_stopped_with() for _ in range(2)] == [None, 1.0]


@pytest.mark.parametrize("is_early", [False, True])
def test_drain_makes_the_server_unready_and_stops_nothing(stage: Stage, is_early: bool) -> None:
    if not is_early:
        stage.link.serve(stage.server)
    stage.link.start()
    stage.supervisor.sendall(b"drain\n")
    if is_early:
        wait_until(lambda: stage.link._is_draining)
        stage.link.serve(stage.server)
    wait_until(lambda: not stage.server.is_ready)
    stage.supervisor.sendall(b"stop 2.5\n")
    assert stage.server.wait_stopped_with() == 2.5
    assert stage.server.stops.empty()


def test_signal_stops_the_server_a_moment_later(stage: Stage) -> None:
    stage.link.serve(stage.server)
    assert stage.read_report().is_serving
    stage.link.start()
    assert stage.link.stop_later()
    assert stage.read_report().is_serving, "it serves on"
    stage.now_s += OWN_STOP_S
    stage.link.report_own_stop()
    assert stage.server.wait_stopped_with() == GRACE_S
    while stage.read_report().is_serving:
        pass


@pytest.mark.parametrize("signal_is_first", [True, False])
def test_signal_to_all_processes_does_not_stop_a_worker_whose_supervisor_drains(
    stage: Stage, signal_is_first: bool
) -> None:
    stage.link.serve(stage.server)
    stage.link.start()
    if signal_is_first:
        stage.link.stop_later()
    stage.supervisor.sendall(b"drain\n")
    wait_until(lambda: not stage.server.is_ready)
    stage.link.stop_later()
    stage.now_s += OWN_STOP_S
    stage.link.report_own_stop()
    if signal_is_first:
        wait_until(lambda: stage.link._own_stop_at is None)
    assert stage.server.stops.empty()
    stage.supervisor.sendall(b"stop 2.5\n")
    assert stage.server.wait_stopped_with() == 2.5
    assert stage.server.stops.empty()


def test_stop_before_there_is_a_server_raises_a_signal(stage: Stage) -> None:
    """The signal ends an import that blocks; a server that is made all the same stops at once."""
    stage.link.start()
    stage.supervisor.sendall(b"stop 5.0\n")
    assert stage.done.get(timeout=WAIT_S) == ("signal", signal.SIGTERM)
    stage.link.serve(stage.server)
    assert stage.server.wait_stopped_with() == 0.0


def test_process_ends_after_the_grace_when_its_supervisor_is_gone(stage: Stage) -> None:
    stage.link.serve(stage.server)
    assert stage.read_report().is_serving
    stage.link.start()
    stage.end_stream()
    assert stage.server.wait_stopped_with() == GRACE_S
    assert stage.done.get(timeout=WAIT_S) == ("sleep", GRACE_S + EXIT_S)
    assert stage.done.get(timeout=WAIT_S) == ("exit", 1)


def test_process_says_that_it_has_noticed_the_end_of_its_supervisor(stage: Stage) -> None:
    stage.link.serve(stage.server)
    stage.link.start()
    stage.end_stream()
    assert os.read(stage.noticed_fd, 100) == PID.pack(os.getpid())
    assert stage.server.wait_stopped_with() == GRACE_S


def test_end_of_the_supervisor_is_noticed_though_its_forked_child_keeps_the_stream_open(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor_link, "REPORT_S", 0.001)
    stage.link.serve(stage.server)
    stage.link.start()
    assert stage.read_report().is_serving
    monkeypatch.setattr(os, "getppid", lambda: 1)
    assert stage.server.wait_stopped_with() == GRACE_S
    assert os.read(stage.noticed_fd, 100) == PID.pack(os.getpid())


def test_commands_are_obeyed_though_a_report_raises(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(supervisor_link, "REPORT_S", 0.001)
    stage.link.serve(stage.server)
    monkeypatch.setattr(stage.server, "statistics", lambda: 1 / 0)
    stage.link.start()
    wait_until(lambda: "a report to the supervisor raised" in caplog.text)
    stage.supervisor.sendall(b"dance\nstop 1.0\n")
    assert stage.server.wait_stopped_with() == 1.0
    monkeypatch.undo()


def test_failure_whose_text_raises_has_its_type(stage: Stage) -> None:
    class OddError(Exception):
        def __str__(self) -> str:
            raise SystemExit

    stage.link.fail(OddError())
    assert stage.read_report().failure == "OddError"


def test_long_text_of_a_failure_is_cut(stage: Stage) -> None:
    stage.link.fail(ValueError("x" * 1_000_000))
    assert stage.read_report().failure == f"ValueError: {'x' * 1000}"[:LONGEST_FAILURE]


def test_supervisor_that_died_with_unread_reports_is_gone_too(stage: Stage) -> None:
    """Then the stream ends with a reset."""
    stage.link.serve(stage.server)
    stage.link.start()
    stage.end_stream()
    assert stage.server.wait_stopped_with() == GRACE_S
    assert stage.done.get(timeout=WAIT_S)[0] == "sleep"


def test_process_without_a_limit_is_not_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(monkeypatch, grace_s=None)
    stage.link.serve(stage.server)
    stage.link.start()
    stage.end_stream()
    assert stage.server.wait_stopped_with() is None
    stage.close()
    assert stage.done.empty()


def test_last_report_has_the_final_counters(stage: Stage) -> None:
    stage.server.is_running = False
    stage.link.serve(stage.server)
    stage.link.finish()
    reports = [stage.read_report() for _ in range(2)]
    assert reports[-1] == WorkerReport(False, statistics=ServerStatistics(requests=3))


def test_report_is_dropped_when_the_supervisor_is_gone(stage: Stage) -> None:
    stage.end_stream()
    stage.link.finish()


def test_report_has_the_hosts_that_the_server_names(stage: Stage) -> None:
    named = ["a.example", "*.corp.example"]
    for hosts, reported in ((None, []), (["*", "a"], []), (named, named)):
        stage.link.serve(FakeServer(allowed_hosts=hosts))
        assert stage.read_report().allowed_hosts == reported
