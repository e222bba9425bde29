"""Supervisor over fake workers: its states, its signals, its end."""

from __future__ import annotations

import os
import signal
import threading
from typing import Any

import pytest

from pybrpc.errors import ServerStateError
from pybrpc.server import Supervisor, SupervisorStatistics, WorkerStartError
from pybrpc.server.workers import worker_group as group_module
from pybrpc.server.workers.supervisor import serve
from pybrpc.transport.listening.acceptor import ListenError
from tests.fakes.threads import wait_until
from tests.fakes.workers import FakeWorker
from tests.peers.serving import make_server

ANYWHERE = "127.0.0.1:0"


class Willing(FakeWorker):
    """Serves at once, if it may, and ends when it is told to stop, but for a grace of GRACE_S."""

    is_able = is_quick = True
    made: list[Willing]

    def __init__(
        self, make_spec: Any, directory: Any, dispatcher: Any, user: Any, settings: Any
    ) -> None:
        super().__init__(make_spec(0, -1).number, 4000 + len(self.made), user)
        self.dispatcher = dispatcher
        self.made.append(self)
        if self.is_quick:
            dispatcher.post(self.serve if self.is_able else self.die)

    def stop(self, grace_s: float | None) -> None:
        super().stop(grace_s)
        if grace_s != GRACE_S:
            self.dispatcher.post(self.die)


GRACE_S = 3600.0
"""Grace in which a worker doesn't end, in seconds."""


@pytest.fixture(autouse=True)
def workers(monkeypatch: pytest.MonkeyPatch) -> list[Willing]:
    monkeypatch.setattr(Willing, "made", [], raising=False)
    monkeypatch.setattr(group_module, "WorkerProcess", Willing)
    return Willing.made


def test_supervisor_has_its_states_from_new_to_stopped() -> None:
    supervisor = Supervisor("app:make", workers=2)
    about = "<Supervisor of 2 workers for app:make, "
    assert repr(supervisor) == f"{about}not started>"
    with pytest.raises(ServerStateError, match="was not started"):
        _ = supervisor.endpoint
    assert (supervisor.is_running, supervisor.join()) == (False, True)
    assert supervisor.statistics() == SupervisorStatistics()
    supervisor.stop()
    supervisor.restart()
    with pytest.raises(ServerStateError, match="start the supervisor before"):
        supervisor.run_until_asked_to_quit()
    endpoint = supervisor.start(ANYWHERE)
    assert supervisor.endpoint == endpoint
    assert repr(supervisor) == f"{about}running on {endpoint}>"
    with pytest.raises(ServerStateError, match=f"runs already, on {endpoint}"):
        supervisor.start(ANYWHERE)
    supervisor.stop(GRACE_S)
    wait_until(lambda: "stopping on" in repr(supervisor))
    assert not supervisor.join(0.01)
    supervisor.stop(0)
    assert supervisor.join()
    assert repr(supervisor) == f"{about}stopped>"


def test_supervisor_stops_all_workers_when_one_can_not_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Willing, "is_able", False)
    supervisor = Supervisor("app:make")
    with pytest.raises(WorkerStartError, match="worker 0 could not start: killed by SIGKILL"):
        supervisor.start(ANYWHERE)
    assert not supervisor.is_running


def test_address_that_is_taken_starts_no_worker(workers: list[Willing]) -> None:
    with make_server() as server:
        with pytest.raises(ListenError):
            Supervisor("app:make").start(server.start(ANYWHERE))
    assert workers == []


def test_supervisor_stops_when_its_start_is_interrupted(
    monkeypatch: pytest.MonkeyPatch, workers: list[Willing]
) -> None:
    def interrupt(latch: Any) -> None:
        raise KeyboardInterrupt

    supervisor = Supervisor("app:make")
    with monkeypatch.context() as patch:
        patch.setattr(group_module.StopLatch, "wait", interrupt)
        patch.setattr(Supervisor, "join", lambda supervisor: None)
        with pytest.raises(KeyboardInterrupt):
            supervisor.start(ANYWHERE)
    assert supervisor.join()
    assert [worker.stops for worker in workers] == [[0.0]] * len(workers)


def test_workers_are_replaced(workers: list[Willing]) -> None:
    with Supervisor("app:make", workers=2, grace=None) as supervisor:
        supervisor.start(ANYWHERE)
        supervisor.restart()
        wait_until(lambda: [worker.stops for worker in workers[:2]] == [[None], [None]])
        wait_until(lambda: len(supervisor.statistics().workers) == 2)
        assert len(workers) == 4


def when_it_listens_to(number: int, function: Any) -> threading.Thread:
    """Call `function` in a thread once that signal is handled."""
    before = signal.getsignal(number)

    def run() -> None:
        wait_until(lambda: signal.getsignal(number) is not before)
        function()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def test_signals_are_obeyed(workers: list[Willing], caplog: pytest.LogCaptureFixture) -> None:
    def send_all() -> None:
        os.kill(os.getpid(), signal.SIGUSR1)
        wait_until(lambda: "all: 0 accepted" in caplog.text)
        os.kill(os.getpid(), signal.SIGHUP)
        wait_until(lambda: len(workers) == 2)
        os.kill(os.getpid(), signal.SIGTERM)
        wait_until(lambda: workers[1].stops == [GRACE_S])
        os.kill(os.getpid(), signal.SIGTERM)

    supervisor = Supervisor("app:make", grace=GRACE_S)
    supervisor.start(ANYWHERE)
    thread = when_it_listens_to(signal.SIGUSR1, send_all)
    supervisor.run_until_asked_to_quit()
    thread.join()
    assert not supervisor.is_running
    assert workers[1].stops[-1] == 0.0


def test_serve_returns_the_statistics_after_a_signal(workers: list[Willing]) -> None:
    told: list[Any] = []

    def on_started(endpoint: Any) -> None:
        told.append(endpoint)
        os.kill(os.getpid(), signal.SIGTERM)

    found = serve("app:make", ANYWHERE, workers=2, grace=1.0, on_started=on_started)
    assert isinstance(found, SupervisorStatistics)
    assert (found.workers, found.deaths) == ((), 0)
    assert told[0].port
    assert [worker.stops for worker in workers] == [[1.0], [1.0]]


def test_signal_before_all_serve_ends_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also a signal that comes before there is a worker."""
    monkeypatch.setattr(Willing, "is_quick", False)
    supervisor = Supervisor("app:make")
    with supervisor._obeying_signals():
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(WorkerStartError, match="stopped before all workers served"):
            supervisor.start(ANYWHERE)
    assert not supervisor.is_running


def test_supervisor_in_another_thread_runs_until_a_stop() -> None:
    supervisor = Supervisor("app:make")
    supervisor.start(ANYWHERE)
    thread = threading.Thread(target=supervisor.run_until_asked_to_quit)
    thread.start()
    supervisor.stop(0)
    thread.join()
    assert not supervisor.is_running
