"""The main function of a worker: it serves, stops at signals, and reports."""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import io
import json
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

import pytest

from pybrpc import metrics
from pybrpc.errors import RpcError, ServerStateError
from pybrpc.server import Server, Supervisor
from pybrpc.server.workers import worker_main
from pybrpc.server.workers.messages import WorkerSpec
from tests.peers.supervised import APPS, call

GRACE_S = 7.0


class FakeLink:
    """A link that stops the server as soon as it serves: by a signal, or directly."""

    def __init__(self, stops_by: int | None = None, question: str = "hello") -> None:
        self.told: list[str] = []
        self.answer = ""
        self._stops_by = stops_by
        self._question = question

    def start(self) -> None:
        self.told.append("start")

    def serve(self, server: Server) -> None:
        self.told.append("serve")
        with contextlib.suppress(RpcError):
            self.answer = call(server.endpoint, self._question)
        if self._stops_by is None:
            server.stop(0)
        else:
            os.kill(os.getpid(), self._stops_by)

    def stop_later(self) -> bool:
        return False

    def report_own_stop(self) -> None:
        self.told.append("report_own_stop")

    def fail(self, error: BaseException) -> None:
        self.told.append(f"fail {error!r}")

    def finish(self) -> None:
        self.told.append("finish")


class LoopLink(FakeLink):
    """Stops a server of a loop, once the loop runs on."""

    def serve(self, server: Server) -> None:
        self.told.append(f"serve in {type(asyncio.get_running_loop()).__module__}")
        server.stop(0)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A bound socket, as a worker inherits it. The server closes it."""
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    yield sock
    sock.close()


def spec_of(app: str, listener: socket.socket, control_fd: int = 0, **options: str) -> WorkerSpec:
    return WorkerSpec(0, f"{APPS}:{app}", listener.fileno(), control_fd, GRACE_S, **options)


@pytest.mark.parametrize("app", ["make_server", "ready_server"])
def test_worker_serves_on_the_given_socket(app: str, listener: socket.socket) -> None:
    link = FakeLink(question="pid")
    worker_main.run(spec_of(app, listener), [listener], link)
    assert (link.told, link.answer) == (["serve"], str(os.getpid()))


@pytest.mark.parametrize(("loop", "module"), [("asyncio", "asyncio."), ("uvloop", "uvloop")])
def test_coroutine_function_serves_in_the_chosen_loop(
    listener: socket.socket, loop: str, module: str
) -> None:
    link = LoopLink()
    worker_main.run(spec_of("make_async_server", listener, loop=loop), [listener], link)
    assert link.told[0].startswith(f"serve in {module}")


class FakeAnswerer:
    """Notes what the registry has of calls when the worker ends."""

    def __init__(self) -> None:
        self.counts: dict[str, str] = {}
        self.view: object = None

    def serve(self, view: Callable[[], object]) -> None:
        self._view = view

    def finish(self) -> None:
        self.view = self._view()
        self.counts = dict(metrics.dump_exposed("rpc_server_*_echo_service_echo_*"))


@pytest.mark.parametrize(
    ("app", "question"), [("make_server", "fail"), ("make_async_server", "hello")]
)
def test_last_numbers_have_the_variables_of_the_server(
    listener: socket.socket, app: str, question: str
) -> None:
    answerer: Any = FakeAnswerer()
    link: Any = LoopLink() if "async" in app else FakeLink(question=question)
    worker_main.run(spec_of(app, listener), [listener], link, answerer)
    ends = {name.rpartition("_echo_")[2]: value for name, value in answerer.counts.items()}
    assert (ends["error"], ends["count"]) == ("1" if question == "fail" else "0", "0")
    assert answerer.view is not None
    assert metrics.dump_exposed("rpc_server_*_echo_service_echo_*") == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_stops_the_worker_and_is_reported(listener: socket.socket, number: int) -> None:
    link = FakeLink(stops_by=number)
    worker_main.run(spec_of("make_server", listener), [listener], link)
    assert link.told == ["serve", "report_own_stop"]


def test_second_signal_ends_the_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    graces: list[float | None] = []
    server = Server()
    monkeypatch.setattr(Server, "stop", lambda server, grace: graces.append(grace))
    spec = WorkerSpec(0, "app:make", 0, 0, GRACE_S)
    with worker_main.stopped_by_signals(server, spec, FakeLink()):
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
    assert graces == [GRACE_S, 0.0]


def test_target_that_makes_no_server_is_refused(listener: socket.socket) -> None:
    with pytest.raises(TypeError, match=r"make_no_server must return a pybrpc\.Server, not 'no s"):
        worker_main.run(spec_of("make_no_server", listener), [listener], FakeLink())


class Process:
    """The process of `main`: its arguments, inherited descriptors, and a fake link."""

    def __init__(self, patch: pytest.MonkeyPatch, app: str) -> None:
        self.link = FakeLink(stops_by=signal.SIGTERM)
        self.grace_s = 0.0
        self._sockets: list[socket.socket] = []
        self._inherited = worker_main.inherited
        control, self._supervisor = socket.socketpair()
        bound = socket.socket()
        bound.bind(("127.0.0.1", 0))
        spec = WorkerSpec(0, f"{APPS}:{app}", bound.detach(), control.detach(), GRACE_S)
        patch.setattr(sys, "argv", ["-c", json.dumps(asdict(spec))])
        patch.setattr(worker_main, "_is_worker", False)
        patch.setattr(worker_main, "inherited", self._inherit)
        patch.setattr(worker_main, "SupervisorLink", self._make_link)

    def run(self) -> None:
        try:
            worker_main.main()
        finally:
            for sock in (*self._sockets, self._supervisor):
                sock.close()

    def _inherit(self, fd: int) -> socket.socket:
        """Keep the sockets, which a process that ends need not close."""
        self._sockets.append(self._inherited(fd))
        return self._sockets[-1]

    def _make_link(self, control: socket.socket, grace_s: float, orphan_fd: int) -> FakeLink:
        self.grace_s = grace_s
        assert orphan_fd == -1
        assert not any(sock.get_inheritable() for sock in self._sockets)
        return self.link


def test_process_serves_and_reports_its_counters(monkeypatch: pytest.MonkeyPatch) -> None:
    process = Process(monkeypatch, "make_server")
    process.run()
    assert process.link.told == ["start", "serve", "report_own_stop", "finish"]
    assert process.grace_s == GRACE_S


def test_process_that_can_not_serve_reports_why_and_ends(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    process = Process(monkeypatch, "nothing")
    with pytest.raises(SystemExit) as caught:
        process.run()
    assert caught.value.code == 1
    assert process.link.told[1].startswith("fail AttributeError(")
    assert f"worker 0 (pid {os.getpid()}) can't serve" in caplog.text


def test_process_can_not_start_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its module may start a supervisor when it is imported, as the main program does."""
    process = Process(monkeypatch, "make_server")
    process.run()
    with pytest.raises(ServerStateError, match="this process is a worker"):
        Supervisor(f"{APPS}:make_server").start("127.0.0.1:0")


def test_process_without_a_standard_error_serves_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(faulthandler, "is_enabled", lambda: False)
    for stderr in (None, io.StringIO()):
        monkeypatch.setattr(sys, "stderr", stderr)
        worker_main.enable_stacks()


def test_worker_that_can_not_be_bound_serves_all_the_same(
    caplog: pytest.LogCaptureFixture,
) -> None:
    worker_main.tune_process(WorkerSpec(2, "app:make", 0, 0, GRACE_S, cores=[4000]))
    assert "worker 2 can't be bound to its cores" in caplog.text
