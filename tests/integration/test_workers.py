"""Several processes serve one address; a supervisor starts, replaces and stops them."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

import pybrpc
from pybrpc.errors import ServerStateError
from pybrpc.server import ServerStatistics, Supervisor, WorkerStartError
from pybrpc.server.workers import worker_process
from pybrpc.transport.listening.acceptor import ListenError
from tests.fakes.threads import wait_until
from tests.peers.echo import ECHO, echo_request
from tests.peers.redis_server import free_port
from tests.peers.serving import make_server
from tests.peers.supervised import (
    APPS,
    call,
    is_alive,
    pids_of,
    supervised,
    wait_replaced,
)
from tests.peers.worker_apps import BROKEN_FILE, HOOKS_FILE
from tests.peers.workload import Workload


def wait_for_answers(work: Workload, count: int = 200) -> None:
    enough = work.answered + count
    wait_until(lambda: work.answered >= enough or bool(work.errors))


def test_workers_share_a_port_and_each_is_a_fresh_process() -> None:
    with supervised(workers=2) as supervisor:
        answered: set[int] = set()
        wait_until(lambda: answered.add(int(call(supervisor.endpoint, "pid"))) or len(answered) > 1)
        assert answered == pids_of(supervisor)
        assert os.getpid() not in answered
        assert "running on 127.0.0.1" in repr(supervisor)
    assert not any(map(is_alive, answered))
    with pytest.raises(pybrpc.errors.ConnectError):
        call(supervisor.endpoint, timeout=1)


def test_ready_server_is_served_too() -> None:
    with supervised("ready_server") as supervisor:
        assert call(supervisor.endpoint, "hello") == "hello"


@pytest.mark.parametrize(("loop", "module"), [("asyncio", "asyncio."), ("uvloop", "uvloop")])
def test_coroutine_function_makes_a_server_of_the_loop(loop: str, module: str) -> None:
    with supervised("make_async_server", loop=loop) as supervisor:
        assert call(supervisor.endpoint, "loop").startswith(module)
        supervisor.stop(30)
        assert supervisor.join(60)
        assert supervisor.statistics().total.requests == 1


def test_unix_socket_is_shared_and_its_file_removed(unix_path: Path) -> None:
    with Supervisor(f"{APPS}:make_server", workers=2) as supervisor:
        address = str(supervisor.start(f"unix:{unix_path}"))
        pids = pids_of(supervisor)
        assert int(call(address, "pid")) in pids
        supervisor.restart()
        wait_replaced(supervisor, pids)
        assert int(call(address, "pid")) in pids_of(supervisor)
    assert not unix_path.exists()


@pytest.mark.proof
def test_no_count_is_lost_when_workers_are_replaced() -> None:
    with supervised(workers=2) as supervisor:
        before = pids_of(supervisor)
        for _ in range(20):
            call(supervisor.endpoint)
        supervisor.restart()
        wait_replaced(supervisor, before)
        for _ in range(10):
            call(supervisor.endpoint)
        wait_until(lambda: supervisor.statistics().total.requests >= 30)
        found = supervisor.statistics()
        assert found.total.accepted == 30
        assert sum(worker.statistics.requests for worker in found.workers) == 10
        assert found.deaths == 0
        assert f"worker 0 (pid {found.workers[0].pid}, serving for " in str(found)
    total = supervisor.statistics().total
    assert total == ServerStatistics(accepted=30, requests=30)


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({}, id="single"),
        pytest.param({"connections": 6}, id="parallel", marks=pytest.mark.proof),
        pytest.param({"connection_type": "pooled"}, id="pooled", marks=pytest.mark.proof),
        pytest.param({"connection_type": "short"}, id="short", marks=pytest.mark.proof),
    ],
)
def test_replacing_all_workers_is_seen_by_nobody(options: dict[str, Any]) -> None:
    with supervised(workers=2, grace=30) as supervisor:
        with Workload(str(supervisor.endpoint), **options) as work:
            for _ in range(2):
                before = pids_of(supervisor)
                wait_for_answers(work)
                supervisor.restart()
                wait_replaced(supervisor, before)
            wait_for_answers(work)
        assert [str(error) for error in work.errors] == []
        assert supervisor.statistics().deaths == 0
    assert supervisor.statistics().total.requests >= work.answered


def test_killed_worker_is_replaced_and_its_callers_retry() -> None:
    with supervised(workers=2) as supervisor:
        with Workload(str(supervisor.endpoint), connection_type="short") as work:
            for _ in range(3):
                wait_for_answers(work)
                victim = min(pids_of(supervisor))
                os.kill(victim, signal.SIGKILL)
                wait_replaced(supervisor, {victim})
        assert [str(error) for error in work.errors] == []
        assert supervisor.statistics().deaths == 3


def test_worker_that_gets_sigterm_is_replaced_without_an_error() -> None:
    with supervised(workers=1, grace=30) as supervisor:
        (victim,) = pids_of(supervisor)
        with Workload(str(supervisor.endpoint), connection_type="short") as work:
            wait_for_answers(work)
            os.kill(victim, signal.SIGTERM)
            wait_replaced(supervisor, {victim}, workers=1)
            wait_for_answers(work)
        assert [str(error) for error in work.errors] == []
        assert supervisor.statistics().deaths == 0


@pytest.mark.parametrize("app", ["make_server_with_hooks", "make_async_server_with_hooks"])
def test_functions_for_start_and_end_are_called_in_each_worker(
    app: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "log"
    monkeypatch.setenv(HOOKS_FILE, str(log))
    with supervised(app, workers=2) as supervisor:
        before = pids_of(supervisor)
        assert sorted(log.read_text().splitlines()) == sorted(f"up {pid}" for pid in before)
        supervisor.restart()
        wait_replaced(supervisor, before)
        after = pids_of(supervisor)
        assert int(call(supervisor.endpoint, "pid")) in after
        assert supervisor.statistics().deaths == 0
    noted = [f"{word} {pid}" for word in ("up", "down") for pid in before | after]
    assert sorted(log.read_text().splitlines()) == sorted(noted)


@pytest.mark.parametrize("app", ["make_server_with_hooks", "make_async_server_with_hooks"])
def test_worker_whose_function_for_the_start_raises_can_not_start(
    app: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(HOOKS_FILE, str(tmp_path / "log"))
    broken = tmp_path / "broken"
    broken.touch()
    monkeypatch.setenv(BROKEN_FILE, str(broken))
    with pytest.raises(WorkerStartError, match="RuntimeError: broken by a test"):
        Supervisor(f"{APPS}:{app}").start("127.0.0.1:0")
    assert (tmp_path / "log").read_text().startswith("up ")
    assert "down" not in (tmp_path / "log").read_text()


@pytest.mark.proof
def test_worker_that_can_not_be_replaced_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    broken = tmp_path / "broken"
    monkeypatch.setenv(BROKEN_FILE, str(broken))
    with supervised("make_fragile_server", workers=2) as supervisor:
        before = pids_of(supervisor)
        broken.touch()
        supervisor.restart()
        wait_until(lambda: "was not replaced" in caplog.text)
        assert (
            "worker 0 was not replaced, nor will others be: RuntimeError: broken by" in caplog.text
        )
        assert pids_of(supervisor) == before
        assert int(call(supervisor.endpoint, "pid")) in before
        broken.unlink()
        supervisor.restart()
        wait_replaced(supervisor, before)


@pytest.mark.proof
def test_worker_that_dies_at_once_is_tried_again_until_it_serves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "broken"
    monkeypatch.setenv(BROKEN_FILE, str(broken))
    with supervised("make_fragile_server", workers=2) as supervisor:
        broken.touch()
        victim = min(pids_of(supervisor))
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda: supervisor.statistics().deaths >= 3)
        (other,) = pids_of(supervisor)
        assert {int(call(supervisor.endpoint, "pid")) for _ in range(20)} == {other}
        broken.unlink()
        wait_until(lambda: len(pids_of(supervisor)) == 2)


@pytest.mark.parametrize(
    ("app", "start_timeout", "reason"),
    [
        ("nothing", 60, "AttributeError: module 'tests.peers.worker_apps' has no attribute"),
        ("make_no_server", 60, "TypeError: tests.peers.worker_apps:make_no_server must return a"),
        ("make_late_server", 1, "it did not serve within 1 s (killed by SIGKILL)"),
    ],
)
def test_start_that_fails_leaves_nothing(app: str, start_timeout: float, reason: str) -> None:
    supervisor = Supervisor(f"{APPS}:{app}", workers=2, start_timeout=start_timeout)
    address = f"127.0.0.1:{free_port()}"
    with pytest.raises(WorkerStartError, match=r"worker [01] could not start: ") as caught:
        supervisor.start(address)
    assert reason in str(caught.value)
    assert not supervisor.is_running
    assert supervisor.statistics().workers == ()
    with make_server() as server:
        server.start(address)


def test_address_that_is_taken() -> None:
    with make_server() as server:
        endpoint = server.start("127.0.0.1:0")
        with pytest.raises(ListenError, match="Address already in use"):
            Supervisor(f"{APPS}:make_server").start(endpoint)
    with supervised() as supervisor:
        with pytest.raises(ListenError, match="Address already in use"):
            Supervisor(f"{APPS}:make_server").start(supervisor.endpoint)
        with pytest.raises(ServerStateError, match="runs already"):
            supervisor.start("127.0.0.1:0")


def test_requests_that_run_are_answered_before_the_end() -> None:
    with supervised(workers=1) as supervisor:
        with pybrpc.Channel(str(supervisor.endpoint), timeout=30) as channel:
            future = pybrpc.Stub(ECHO, channel).Echo.future(echo_request("sleep"))
            wait_until(lambda: supervisor.statistics().total.running == 1)
            supervisor.stop(30)
            assert supervisor.join(60)
            assert future.result().message == "sleep"


def test_second_stop_ends_the_grace() -> None:
    with supervised(workers=1) as supervisor:
        with pybrpc.Channel(str(supervisor.endpoint), timeout=None, max_retry=0) as channel:
            future = pybrpc.Stub(ECHO, channel).Echo.future(echo_request("hang"))
            wait_until(lambda: supervisor.statistics().total.running == 1)
            supervisor.stop(None)
            assert not supervisor.join(0.1)
            supervisor.stop(0)
            assert supervisor.join(60)
            with pytest.raises(pybrpc.RpcError):
                future.result()


def test_worker_that_does_not_end_is_killed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(worker_process, "KILL_S", 0.2)
    with supervised("make_server_that_stays") as supervisor:
        (pid,) = pids_of(supervisor)
        supervisor.stop(0)
        assert supervisor.join(60)
    assert not is_alive(pid)
    assert "did not end in time" in caplog.text


def test_supervisor_can_be_started_again() -> None:
    supervisor = Supervisor(f"{APPS}:make_server")
    for _ in range(2):
        with supervisor:
            assert call(supervisor.start("127.0.0.1:0")) == "hello"


def test_in_another_thread_stop_ends_it() -> None:
    with supervised() as supervisor:
        thread = threading.Thread(target=supervisor.run_until_asked_to_quit)
        thread.start()
        supervisor.stop(0)
        thread.join()
        assert not supervisor.is_running


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        (("app",), {}),
        (("app:",), {}),
        (("my app:make",), {}),
        (("__main__:make",), {}),
        (("app:make",), {"workers": 0}),
        (("app:make",), {"loop": "trio"}),
        (("app:make",), {"log_level": "loud"}),
        (("app:make",), {"grace": -1}),
    ],
)
def test_invalid_options_are_refused(arguments: tuple[str], options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"make|workers|loop|log_level|grace|__main__"):
        Supervisor(*arguments, **options)


def test_server_on_a_socket_that_is_bound_already() -> None:
    """Two servers with SO_REUSEPORT share a port without a supervisor."""
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(make_server()) for _ in range(2)]
        port = 0
        for server in servers:
            sock = socket.socket()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            sock.bind(("127.0.0.1", port))
            port = server.start(sock).port
        wait_until(
            lambda: (
                call(f"127.0.0.1:{port}") == "hello"
                and all(server.statistics().requests for server in servers)
            )
        )


def test_socket_that_can_not_listen_stays_the_callers() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock, make_server() as server:
        with pytest.raises(ListenError, match="Fail to listen on <socket"):
            server.start(sock)
        assert sock.fileno() >= 0
