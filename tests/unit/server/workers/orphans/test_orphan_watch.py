"""OrphanWatch and its process: workers that don't notice the end of their supervisor are killed."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pybrpc.server.workers.orphans import orphan_watch
from pybrpc.server.workers.orphans.orphan_watch import RESTART_S, OrphanWatch
from pybrpc.server.workers.orphans.watch_orphans import PID
from pybrpc.testing.step_dispatcher import StepDispatcher
from tests.fakes.threads import wait_until
from tests.peers.supervised import is_alive

LIMIT_S = 1.0


@contextlib.contextmanager
def processes(count: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Processes that take the place of workers. They are no children of the watching process."""
    made = [subprocess.Popen(["sleep", "3600"]) for _ in range(count)]
    try:
        yield made
    finally:
        for process in made:
            process.kill()
            process.wait()


@pytest.fixture
def step(monkeypatch: pytest.MonkeyPatch) -> StepDispatcher:
    made = StepDispatcher()
    monkeypatch.setattr(orphan_watch, "time", made.clock)
    monkeypatch.setattr(orphan_watch, "NOTICE_S", 0.3)
    return made


@contextlib.contextmanager
def watching(step: StepDispatcher, limit_s: float | None = LIMIT_S) -> Iterator[OrphanWatch]:
    watch = OrphanWatch(step, limit_s)
    watch.start()
    try:
        yield watch
    finally:
        watch.close()
        assert step.raised == []


def end_supervisor(watch: OrphanWatch) -> None:
    """For the watching process, the end of the stream is the end of the supervisor."""
    assert watch._commands is not None
    watch._commands.shutdown(socket.SHUT_WR)


def notice(watch: OrphanWatch, *processes: subprocess.Popen[bytes]) -> None:
    """The workers have noticed that they are orphans."""
    os.write(watch.orphan_fd, b"".join(PID.pack(process.pid) for process in processes))


def test_worker_that_does_not_notice_is_killed(step: StepDispatcher) -> None:
    with watching(step) as watch, processes(3) as (stuck, noticing, other):
        with socket.socket() as listener:
            for process in (stuck, noticing):
                watch.watch(process.pid, listener)
            end_supervisor(watch)
            notice(watch, noticing)
            assert stuck.wait(30) == -signal.SIGKILL
            assert noticing.poll() is None
            assert other.poll() is None


def test_worker_that_notices_has_to_end_within_the_limit(step: StepDispatcher) -> None:
    with watching(step) as watch, processes(2) as workers, socket.socket() as listener:
        for process in workers:
            watch.watch(process.pid, listener)
        end_supervisor(watch)
        notice(watch, *workers)
        assert [process.wait(30) for process in workers] == [-signal.SIGKILL] * 2


def test_worker_that_notices_is_not_killed_without_a_limit(step: StepDispatcher) -> None:
    with watching(step, None) as watch, processes(1) as (worker,), socket.socket() as listener:
        watch.watch(worker.pid, listener)
        end_supervisor(watch)
        notice(watch, worker)
        assert watch._process is not None
        assert watch._process.wait(30) == 0
        assert worker.poll() is None


def test_process_ends_with_the_last_worker(step: StepDispatcher) -> None:
    with watching(step) as watch, processes(1) as (worker,), socket.socket() as listener:
        watch.watch(worker.pid, listener)
        end_supervisor(watch)
        notice(watch, worker)
        worker.kill()
        worker.wait()
        assert watch._process is not None
        assert watch._process.wait(30) == 0


def test_worker_that_has_ended_is_forgotten(step: StepDispatcher) -> None:
    """Its process id may be another process's by then."""
    with watching(step) as watch, processes(2) as (other, worker), socket.socket() as listener:
        for process in (other, worker):
            watch.watch(process.pid, listener)
        watch.forget(other.pid)
        watch.forget(other.pid)
        end_supervisor(watch)
        assert worker.wait(30) == -signal.SIGKILL
        assert other.poll() is None


def test_listeners_refuse_when_the_supervisor_has_ended(step: StepDispatcher) -> None:
    """At once, so that the next supervisor gets the port."""
    with watching(step) as watch, processes(1) as (worker,):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            watch.watch(worker.pid, listener)
            end_supervisor(watch)
            wait_until(lambda: not listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(listener.getsockname()).close()


def test_process_that_is_killed_is_started_again_with_its_workers(step: StepDispatcher) -> None:
    with watching(step) as watch, processes(1) as (worker,), socket.socket() as listener:
        watch.watch(worker.pid, listener)
        first = watch.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: step.run_until_idle() or watch.pid is None)
        assert not is_alive(first)
        watch.forget(0)
        step.advance(RESTART_S)
        assert watch.pid not in (None, first)
        end_supervisor(watch)
        assert worker.wait(30) == -signal.SIGKILL


def test_process_that_reads_no_commands_is_replaced(step: StepDispatcher) -> None:
    with watching(step) as watch, processes(1) as (worker,), socket.socket() as listener:
        first = watch.pid
        assert first is not None
        os.kill(first, signal.SIGSTOP)
        for _ in range(10_000):
            watch.watch(worker.pid, listener)
            if watch.pid is None:
                break
        assert not is_alive(first)
        step.advance(RESTART_S)
        end_supervisor(watch)
        assert worker.wait(30) == -signal.SIGKILL


def test_process_that_can_not_be_started_is_tried_again(
    step: StepDispatcher, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(sys, "executable", "/no/such/python")
        with watching(step) as watch, socket.socket() as listener:
            assert "can't start: [Errno 2] No such file" in caplog.text
            watch.watch(1, listener)
            watch.forget(1)
            step.advance(RESTART_S)
            assert watch.pid is None
            patch.undo()
            step.advance(RESTART_S)
            assert watch.pid is not None


def test_signals_to_all_processes_with_a_name_do_not_end_it(step: StepDispatcher) -> None:
    with watching(step) as watch, processes(1) as (worker,), socket.socket() as listener:
        assert watch.pid is not None
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
            os.kill(watch.pid, number)
        watch.watch(worker.pid, listener)
        end_supervisor(watch)
        assert worker.wait(30) == -signal.SIGKILL


SUPERVISOR = """
import os, socket, sys, time
from pybrpc.server.workers.orphans import orphan_watch
from pybrpc.server.workers.orphans.orphan_watch import OrphanWatch
from pybrpc.testing.step_dispatcher import StepDispatcher

orphan_watch.NOTICE_S = 0.3
watch = OrphanWatch(StepDispatcher(), None)
watch.start()
watch.watch(int(sys.argv[1]), socket.socket())
child = os.fork()
if child:
    print(child, watch.pid, flush=True)
time.sleep(3600)
"""


def test_end_of_the_supervisor_is_noticed_though_its_forked_child_keeps_the_stream_open(
    tmp_path: Path,
) -> None:
    with processes(1) as (worker,):
        supervisor = subprocess.Popen(
            [sys.executable, "-c", SUPERVISOR, str(worker.pid)], stdout=subprocess.PIPE, text=True
        )
        assert supervisor.stdout is not None
        child, watch = map(int, supervisor.stdout.readline().split())
        supervisor.kill()
        supervisor.wait()
        supervisor.stdout.close()
        try:
            assert worker.wait(30) == -signal.SIGKILL
            wait_until(lambda: not is_alive(watch))
            assert is_alive(child)
        finally:
            os.kill(child, signal.SIGKILL)
