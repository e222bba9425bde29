"""WorkerProcess: a fake process, as its supervisor sees it, and a fake clock."""

from __future__ import annotations

import dataclasses
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from pybrpc.server import ServerStatistics
from pybrpc.server.workers import worker_process
from pybrpc.server.workers.messages import WorkerReport, WorkerSpec
from pybrpc.server.workers.pages.messages import PageAnswer
from pybrpc.server.workers.settings import SupervisorSettings
from pybrpc.server.workers.worker_directory import WorkerDirectory
from pybrpc.server.workers.worker_process import (
    CHECK_S,
    ENDING_CHECK_S,
    KILL_S,
    WorkerProcess,
)
from pybrpc.testing.step_dispatcher import StepDispatcher
from pybrpc.transport.dispatch import periodic

START_TIMEOUT_S = 60.0
GRACE_S = 7.0
STALL_S = 20.0
SETTINGS = SupervisorSettings(
    "app:make", grace_s=GRACE_S, start_timeout_s=START_TIMEOUT_S, stall_timeout_s=STALL_S
)
ORPHAN_FD = 99


class FakePopen:
    """A process that has just been started, with its end of the control socket."""

    pid = 4242

    def __init__(self, command: list[str], *, fds: tuple[int, ...], **options: Any) -> None:
        self.command, self.fds, self.options = command, fds, options
        self.control = socket.socket(fileno=os.dup(fds[1]))
        self.pages = socket.socket(fileno=os.dup(fds[3])) if len(fds) > 3 else None
        self.returncode: int | None = None
        self.kills = 0
        self.signals: list[int] = []

    def poll(self) -> int | None:
        return self.returncode

    def kill(self) -> None:
        self.kills += 1

    def send_signal(self, number: int) -> None:
        self.signals.append(number)

    # --- what it does ---

    def tell(self, report: WorkerReport) -> None:
        self.control.sendall(report.to_line())

    def die(self, code: int) -> None:
        self.returncode = code
        self.control.close()
        if self.pages is not None:
            self.pages.close()


def make_spec(control_fd: int, pages_fd: int) -> WorkerSpec:
    return WorkerSpec(
        3, "app:make", 98, control_fd, GRACE_S, orphan_fd=ORPHAN_FD, pages_fd=pages_fd
    )


class Stage:
    """A worker, its WorkerUser, and the clock."""

    def __init__(self, patch: pytest.MonkeyPatch, settings: SupervisorSettings = SETTINGS) -> None:
        self.step = StepDispatcher()
        self.told: list[str] = []
        for module in (worker_process, periodic):
            patch.setattr(module, "time", self.step.clock)
        patch.setattr(worker_process, "spawn", self._start)
        self.directory = WorkerDirectory()
        self.worker = WorkerProcess(make_spec, self.directory, self.step, self, settings)

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

    def pass_time(self, seconds: float) -> None:
        """Let the time pass in steps, as it does while this process runs."""
        for _ in range(round(seconds / CHECK_S)):
            self.step.advance(CHECK_S)

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


def test_worker_can_be_asked_for_pages_until_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(monkeypatch, dataclasses.replace(SETTINGS, internal_port=0))
    pages = stage.worker.pages
    assert pages is not None
    assert len(stage.process.fds) == 4
    stage.close()
    with pytest.raises(OSError, match="has ended"):
        pages.open_stream()


LAST = PageAnswer(200, body=b"x" * 1000)


@pytest.mark.parametrize("is_read_before_the_end", [True, False])
def test_last_metrics_of_a_worker_are_read_before_its_end_is_told(
    monkeypatch: pytest.MonkeyPatch, is_read_before_the_end: bool
) -> None:
    stage = Stage(monkeypatch, dataclasses.replace(SETTINGS, internal_port=0))
    stage.serve()
    pages, theirs = stage.worker.pages, stage.process.pages
    assert pages is not None
    assert theirs is not None
    found: list[PageAnswer | None] = []
    monkeypatch.setattr(stage, "on_ended", lambda worker: found.append(pages.last_answer))
    data = LAST.to_bytes()
    theirs.sendall(data[:100])
    stage.step.run_until_idle()
    theirs.sendall(data[100:])
    if is_read_before_the_end:
        stage.step.run_until_idle()
        assert pages.last_answer == LAST
        theirs.sendall(b"nothing more is read")
        stage.step.run_until_idle()
    stage.close()
    assert found == [LAST]


def test_end_of_the_page_channel_is_not_the_end_of_the_worker(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage = Stage(monkeypatch, dataclasses.replace(SETTINGS, internal_port=0))
    stage.serve()
    assert stage.process.pages is not None
    stage.process.pages.close()
    stage.step.run_until_idle()
    assert stage.told == ["serving"]
    stage.close()
    assert stage.told == ["serving", "ended"]


def test_worker_is_asked_for_no_pages_if_there_is_no_port_for_them(stage: Stage) -> None:
    assert stage.worker.pages is None
    assert len(stage.process.fds) == 3


def test_worker_is_started_in_its_directory_with_its_descriptors(stage: Stage) -> None:
    assert stage.process.command[-1].startswith('{"number": 3, "target": "app:make"')
    assert (stage.process.fds[0], stage.process.fds[2]) == (98, ORPHAN_FD)
    options = stage.process.options
    assert options["directory"] == options["environment"]["PWD"] == stage.directory.path
    assert set(options["blocked"]) == {signal.SIGHUP, signal.SIGUSR1}
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


def test_drain_is_sent_to_the_worker_and_changes_no_limit(stage: Stage) -> None:
    stage.serve()
    stage.worker.drain()
    assert stage.process.control.recv(100) == b"drain\n"
    assert (stage.worker.state, stage.worker.was_stopped) == ("serving", False)
    stage.process.die(0)
    stage.step.advance(CHECK_S)
    stage.worker.drain()
    assert stage.told[-1] == "ended"


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


def test_worker_without_a_limit_is_not_killed_while_it_reports(stage: Stage) -> None:
    stage.serve()
    stage.worker.stop(None)
    for _ in range(300):
        stage.process.tell(WorkerReport(is_serving=False))
        stage.pass_time(1.0)
    assert (stage.process.kills, stage.process.signals) == (0, [])


def test_second_stop_brings_the_end_forward_and_never_back(stage: Stage) -> None:
    stage.serve()
    for grace_s in (10.0, 1.0, 15.0):
        stage.worker.stop(grace_s)
    stage.step.advance(1.0 + KILL_S + 0.01)
    assert stage.process.kills == 1
    stage.process.die(-signal.SIGKILL)
    stage.step.advance(30.0)
    assert (stage.told, stage.process.kills) == (["serving", "ended"], 1)


def test_worker_that_starts_and_is_told_to_stop_without_a_limit_ends_in_the_time_of_a_start(
    stage: Stage,
) -> None:
    stage.worker.stop(None)
    stage.step.advance(START_TIMEOUT_S)
    assert stage.process.kills + len(stage.process.signals) > 0


def test_worker_that_stops_by_itself_has_its_grace(stage: Stage) -> None:
    stage.serve()
    stage.process.tell(WorkerReport(is_serving=False))
    stage.step.run_until_idle()
    for _ in range(10):
        stage.process.tell(WorkerReport(is_serving=False))
        stage.step.advance((GRACE_S + KILL_S) / 10)
    stage.step.advance(0.1)
    assert stage.process.kills == 1


def test_worker_that_can_not_serve_and_does_not_end_is_killed(stage: Stage) -> None:
    stage.process.tell(WorkerReport(failure="KeyError: 'x'"))
    stage.step.run_until_idle()
    stage.step.advance(KILL_S + 0.01)
    assert stage.process.kills == 1


def test_process_that_has_closed_its_stream_and_does_not_end_is_killed(stage: Stage) -> None:
    stage.serve()
    stage.process.control.close()
    stage.step.run_until_idle()
    stage.step.advance(KILL_S + 0.01)
    assert stage.process.kills == 1


def test_worker_that_serves_and_does_not_report_writes_its_stacks_and_is_killed(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    stage.serve()
    for _ in range(3):
        stage.pass_time(STALL_S - 1.0)
        assert stage.process.signals == []
        stage.process.tell(WorkerReport(is_serving=True))
        stage.step.run_until_idle()
    stage.pass_time(STALL_S + 2 * CHECK_S)
    assert (stage.process.signals, stage.process.kills) == ([signal.SIGABRT], 0)
    assert "runs no Python code: it did not report for 20 s" in caplog.text
    stage.step.advance(KILL_S)
    assert (stage.process.signals, stage.process.kills) == ([signal.SIGABRT], 1)
    stage.process.die(-signal.SIGKILL)
    stage.step.advance(CHECK_S)
    assert stage.worker.end == "it did not report for 20 s (killed by SIGKILL)"
    assert not stage.worker.was_stopped


def test_worker_that_stops_and_does_not_report_is_aborted(stage: Stage) -> None:
    stage.serve()
    stage.worker.stop(None)
    stage.pass_time(STALL_S + 2 * CHECK_S)
    assert stage.process.signals == [signal.SIGABRT]


def test_worker_that_starts_need_not_report(stage: Stage) -> None:
    stage.pass_time(START_TIMEOUT_S - 1.0)
    assert (stage.process.signals, stage.process.kills) == ([], 0)


def test_worker_is_never_aborted_if_there_is_no_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(monkeypatch, SupervisorSettings("app:make", stall_timeout_s=0.0))
    stage.serve()
    stage.pass_time(300.0)
    assert (stage.process.signals, stage.process.kills) == ([], 0)
    stage.close()


def test_time_in_which_the_supervisor_itself_was_stopped_is_no_silence(stage: Stage) -> None:
    """As by SIGSTOP. The reports of that time wait to be read, or the worker was stopped too."""
    stage.serve()
    stage.step.clock.advance(1000 * STALL_S)
    stage.step.advance(CHECK_S)
    assert stage.process.signals == []


def test_line_that_is_no_report_is_passed_over(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    lines = (b"hello\n", b"[]\n", b"{}\n", b'{"statistics": 1}\n', b"\xff" * 100_000 + b"\n")
    for line in lines:
        stage.process.control.sendall(line)
        stage.step.run_until_idle()
    assert caplog.text.count("which is no report") == len(lines)
    stage.serve()
    assert stage.told == ["serving"]


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

    monkeypatch.setattr(worker_process, "spawn", fail)
    user: Any = None
    with pytest.raises(BlockingIOError):
        WorkerProcess(make_spec, WorkerDirectory(), StepDispatcher(), user, SETTINGS)


def test_process_is_killed_when_it_can_not_be_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: Any) -> None:
        raise OSError("no more descriptors to poll")

    monkeypatch.setattr(StepDispatcher, "add_reader", fail)
    started: list[subprocess.Popen[bytes]] = []
    monkeypatch.setattr(
        worker_process,
        "spawn",
        lambda *arguments, **options: (
            started.append(subprocess.Popen(["sleep", "3600"])) or started[-1]
        ),
    )
    user: Any = None
    with pytest.raises(OSError, match="no more"):
        WorkerProcess(make_spec, WorkerDirectory(), StepDispatcher(), user, SETTINGS)
    assert started[0].returncode == -signal.SIGKILL
