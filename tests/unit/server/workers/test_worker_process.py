"""WorkerProcess: a fake process, as its supervisor sees it, and a fake clock."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from pybrpc.server import ServerStatistics
from pybrpc.server.workers import worker_process
from pybrpc.server.workers.messages import WorkerReport, WorkerSpec
from pybrpc.server.workers.worker_process import (
    CHECK_S,
    ENDING_CHECK_S,
    KILL_S,
    WorkerProcess,
)
from pybrpc.testing.step_dispatcher import StepDispatcher
from pybrpc.transport.dispatch import periodic

START_TIMEOUT_S = 60.0


class FakePopen:
    """A process that has just been started, with its end of the control socket."""

    pid = 4242

    def __init__(self, command: list[str], *, pass_fds: tuple[int, int], **options: Any) -> None:
        self.command, self.options = command, options
        self.control = socket.socket(fileno=os.dup(pass_fds[1]))
        self.returncode: int | None = None
        self.kills = 0

    def poll(self) -> int | None:
        return self.returncode

    def kill(self) -> None:
        self.kills += 1

    # --- what it does ---

    def tell(self, report: WorkerReport) -> None:
        self.control.sendall(report.to_line())

    def die(self, code: int) -> None:
        self.returncode = code
        self.control.close()


class Stage:
    """A worker, its WorkerUser, and the clock."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.step = StepDispatcher()
        self.told: list[str] = []
        for module in (worker_process, periodic):
            patch.setattr(module, "time", self.step.clock)
        patch.setattr(worker_process.subprocess, "Popen", self._start)
        with socket.socket() as listener:
            self.worker = WorkerProcess(
                lambda fd: WorkerSpec(3, "app:make", listener.fileno(), fd, 7.0),
                listener,
                self.step,
                self,
                START_TIMEOUT_S,
            )

    def _start(self, *arguments: Any, **options: Any) -> FakePopen:
        self.process = FakePopen(*arguments, **options)
        return self.process

    def on_serving(self, worker: WorkerProcess) -> None:
        self.told.append("serving")

    def on_own_stop(self, worker: WorkerProcess) -> None:
        self.told.append("stops by itself")

    def on_ended(self, worker: WorkerProcess) -> None:
        self.told.append("ended")

    def serve(self) -> None:
        self.process.tell(WorkerReport(is_serving=True))
        self.step.run_until_idle()

    def close(self) -> None:
        if self.process.returncode is None:
            self.process.die(0)
        self.step.advance(CHECK_S)
        assert self.step.raised == []


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    made = Stage(monkeypatch)
    yield made
    made.close()


def test_worker_is_started_in_a_process_group_of_its_own(stage: Stage) -> None:
    assert stage.process.command[-1].startswith('{"number": 3, "target": "app:make"')
    assert stage.process.options["process_group"] == 0
    assert repr(stage.worker) == "<worker 3, pid 4242, starting>"
    assert stage.worker.served_s == 0.0


def test_worker_serves_from_its_first_report_on(stage: Stage) -> None:
    stage.step.advance(2.0)
    stage.serve()
    stage.step.advance(3.0)
    assert (stage.told, stage.worker.state, stage.worker.served_s) == (["serving"], "serving", 3.0)
    described = stage.worker.describe()
    assert (described.number, described.pid, described.age_s) == (3, 4242, 5.0)


def test_reports_may_come_in_any_pieces(stage: Stage) -> None:
    line = WorkerReport(True, statistics=ServerStatistics(requests=7)).to_line()
    for piece in (line[:5], line[5:] + line[:9], line[9:]):
        stage.process.control.sendall(piece)
        stage.step.run_until_idle()
    assert stage.told == ["serving"]
    assert stage.worker.statistics.requests == 7


def test_worker_that_stops_by_itself_is_reported(stage: Stage) -> None:
    stage.serve()
    stage.process.tell(WorkerReport(is_serving=False))
    stage.step.run_until_idle()
    assert stage.told == ["serving", "stops by itself"]
    assert (stage.worker.was_stopped, stage.worker.state) == (True, "stopping")


@pytest.mark.parametrize(
    ("grace_s", "command"), [(2.5, b"stop 2.5\n"), (0.0, b"stop 0.0\n"), (None, b"stop none\n")]
)
def test_stop_is_sent_to_the_worker(stage: Stage, grace_s: float | None, command: bytes) -> None:
    stage.serve()
    stage.worker.stop(grace_s)
    assert stage.process.control.recv(100) == command
    assert (stage.worker.state, stage.worker.was_stopped) == ("stopping", True)


def test_worker_that_does_not_end_in_time_is_killed(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    stage.serve()
    stage.worker.stop(2.5)
    stage.step.advance(2.5 + KILL_S - 0.01)
    assert stage.process.kills == 0
    stage.step.advance(0.02)
    assert stage.process.kills == 1
    assert "<worker 3, pid 4242, stopping> did not end in time and is killed" in caplog.text


def test_worker_without_a_limit_is_never_killed(stage: Stage) -> None:
    stage.serve()
    stage.worker.stop(None)
    stage.step.advance(1e6)
    assert stage.process.kills == 0


def test_worker_that_has_ended_is_not_killed(stage: Stage) -> None:
    stage.process.die(0)
    stage.worker.kill()
    stage.worker.stop(0.0)
    assert stage.process.kills == 0


def test_worker_that_does_not_serve_in_time_is_killed(stage: Stage) -> None:
    stage.step.advance(START_TIMEOUT_S)
    assert stage.process.kills == 1
    stage.process.die(-signal.SIGKILL)
    stage.step.advance(CHECK_S)
    assert stage.told == ["ended"]
    assert stage.worker.end == "it did not serve within 60 s (killed by SIGKILL)"


def test_worker_that_serves_in_time_is_not_killed(stage: Stage) -> None:
    stage.serve()
    stage.step.advance(START_TIMEOUT_S)
    assert stage.process.kills == 0


@pytest.mark.parametrize(
    ("code", "end"),
    [
        (1, "exit status 1"),
        (-signal.SIGSEGV, "killed by SIGSEGV"),
        (-63, "killed by signal 63"),
    ],
)
def test_end_of_a_worker_is_described_in_words(stage: Stage, code: int, end: str) -> None:
    stage.serve()
    stage.process.die(code)
    stage.step.run_until_idle()
    assert stage.told == ["serving", "ended"]
    assert stage.worker.end == end


def test_last_reports_are_read_before_the_end_is_notified(stage: Stage) -> None:
    stage.process.tell(WorkerReport(failure="KeyError: 'x'"))
    stage.process.returncode = 1
    stage.step.advance(CHECK_S)
    assert stage.told == ["ended"]
    assert stage.worker.end == "KeyError: 'x' (exit status 1)"
    stage.process.control.close()


def test_end_is_checked_often_once_the_stream_has_ended(stage: Stage) -> None:
    stage.serve()
    stage.process.control.close()
    stage.step.run_until_idle()
    assert stage.told == ["serving"]
    stage.process.returncode = 0
    stage.step.advance(ENDING_CHECK_S)
    assert stage.told == ["serving", "ended"]
    stage.step.advance(10 * CHECK_S)
    assert stage.told == ["serving", "ended"], "once"


def test_worker_ends_when_its_stream_is_reset(stage: Stage) -> None:
    """A command that the worker has not read makes the end a reset."""
    stage.serve()
    stage.worker.stop(None)
    stage.process.die(1)
    stage.step.run_until_idle()
    assert stage.told == ["serving", "ended"]


def test_reader_that_was_woken_for_nothing_goes_on(stage: Stage) -> None:
    stage.worker._on_readable()
    stage.serve()
    assert stage.told == ["serving"]


def test_process_that_can_not_be_started_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: Any, **options: Any) -> None:
        raise BlockingIOError("Resource temporarily unavailable")

    monkeypatch.setattr(worker_process.subprocess, "Popen", fail)
    user: Any = None
    with socket.socket() as listener:
        with pytest.raises(BlockingIOError):
            WorkerProcess(
                lambda fd: WorkerSpec(3, "app:make", listener.fileno(), fd, 7.0),
                listener,
                StepDispatcher(),
                user,
                START_TIMEOUT_S,
            )
