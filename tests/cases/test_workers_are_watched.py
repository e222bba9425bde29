"""Workers neither outlive their supervisor nor hang unnoticed; one address has one supervisor."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import pybrpc
from tests.cases.apps import PIDS, SLOW_IMPORT_S
from tests.cases.child import ROOT, child_environment, run_script
from tests.cases.commands import Command, all_ended, served, started
from tests.cases.peers import PATIENT_S, wait_for
from tests.peers.echo import ECHO, echo_request
from tests.peers.redis_server import free_port
from tests.peers.supervised import is_alive

pytestmark = pytest.mark.same_everywhere

FAST = ("--grace", "0.5", "--log-level", "error")


def test_worker_that_holds_the_gil_ends_with_its_supervisor() -> None:
    with served("make_server", "--workers", "1", *FAST) as command:
        (worker,), watches = command.workers, command.orphan_watches
        command.outcome("hold", timeout=0.3)
        os.kill(command.process.pid, signal.SIGKILL)
        command.process.wait()
        # The port is free at once, for a supervisor that is started again.
        with started("make_server", "--workers", "1", *FAST, bind=command.address) as next_one:
            assert all_ended([worker, *watches], 4)
            assert next_one.wait_serving()


def test_worker_that_holds_the_gil_ends_though_its_watch_was_killed_before() -> None:
    """Then the supervisor starts another one."""
    with served("make_server", "--workers", "1", *FAST) as command:
        (worker,), (watch,) = command.workers, command.orphan_watches
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGKILL):
            os.kill(watch, number)
        wait_for(lambda: command.orphan_watches not in ([], [watch]))
        command.outcome("hold", timeout=0.3)
        os.kill(command.process.pid, signal.SIGKILL)
        command.process.wait()
        assert all_ended([worker], 4)


def test_worker_that_serves_has_its_grace_when_its_supervisor_is_killed() -> None:
    with served("make_server", "--workers", "1", "--grace", "30") as command:
        (worker,) = command.workers
        with calling(command, "sleep") as future:
            os.kill(command.process.pid, signal.SIGKILL)
            command.process.wait()
            assert future.result(PATIENT_S).message == str(worker)
        assert all_ended([worker], PATIENT_S)


@pytest.mark.slow
def test_worker_that_holds_the_gil_is_replaced() -> None:
    with served("make_server", "--workers", "1", "--stall-timeout", "3", *FAST) as command:
        (worker,) = command.workers
        command.outcome("hold", timeout=0.3)
        assert all_ended([worker], 12)
        wait_for(lambda: command.outcome().isdigit())


@pytest.mark.slow
def test_connect_is_refused_while_the_only_worker_is_down() -> None:
    with served("make_crashing_server", "--workers", "1", *FAST) as command:
        outcomes = set()
        end = time.monotonic() + 12
        while time.monotonic() < end and "ERPCTIMEDOUT" not in outcomes:
            outcomes.add(command.outcome(timeout=PATIENT_S, connection_type="short"))
            time.sleep(0.05)
    assert "ERPCTIMEDOUT" not in outcomes
    assert "ECONNREFUSED" in outcomes


@pytest.mark.slow
def test_connections_to_a_unix_socket_end_while_the_only_worker_is_down(unix_path: Path) -> None:
    """The socket of all workers listens from the beginning, so it can't refuse them."""
    bind = f"unix:{unix_path}"
    with started("make_crashing_server", "--workers", "1", *FAST, bind=bind) as command:
        assert command.process.stdout is not None
        assert str(unix_path) in command.process.stdout.readline()
        end = time.monotonic() + 10
        while time.monotonic() < end:
            with socket.socket(socket.AF_UNIX) as client, contextlib.suppress(ConnectionError):
                client.settimeout(5)
                client.connect(str(unix_path))
                assert client.recv(1) == b""
            time.sleep(0.05)
        assert command.process.poll() is None


@pytest.mark.slow
def test_second_supervisor_of_an_address_is_refused_while_the_first_starts() -> None:
    bind = f"127.0.0.1:{free_port()}"
    slow = {SLOW_IMPORT_S: "2"}
    with started("make_server", *FAST, bind=bind, **slow) as first:
        wait_for(lambda: bool(first.workers))
        with started("make_server", *FAST, bind=bind, **slow) as second:
            assert not second.wait_serving()
            assert second.process.wait(PATIENT_S) != 0
            assert first.wait_serving()


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR1])
def test_signal_to_a_booting_worker_is_harmless(number: int) -> None:
    """At any time of its start, and when it serves."""
    with started("make_server", "--workers", "1", *FAST, **{SLOW_IMPORT_S: "1"}) as command:
        wait_for(lambda: bool(command.workers))
        (worker,) = command.workers
        for _ in range(20):
            os.kill(worker, number)
            time.sleep(0.05)
        assert command.wait_serving()
        os.kill(worker, number)
        assert command.outcome(timeout=PATIENT_S) == str(worker)


RELEASE = """
import pybrpc
from tests.peers.echo import ECHO
from tests.protos import conformance_pb2 as pb

class Service:
    def Echo(self, request, controller):
        return pb.EchoResponse(message="{release}")

    Stream = Echo

def make_server():
    server = pybrpc.Server()
    server.add_service(ECHO, Service())
    return server
"""


def test_sighup_after_a_symlink_was_flipped_serves_the_new_release(tmp_path: Path) -> None:
    for release in ("old", "new"):
        (tmp_path / release).mkdir()
        (tmp_path / release / "release_app.py").write_text(RELEASE.format(release=release))
    current = tmp_path / "current"
    current.symlink_to("old")
    options = {"cwd": current, "PWD": str(current), "PYTHONDONTWRITEBYTECODE": "1"}
    with served("release_app:make_server", "--workers", "1", *FAST, **options) as command:
        wait_for(lambda: command.outcome(timeout=PATIENT_S) == "old")
        before = command.workers
        (tmp_path / "next").symlink_to("new")
        (tmp_path / "next").rename(current)
        command.process.send_signal(signal.SIGHUP)
        wait_for(lambda: all_ended(before, PATIENT_S))
        assert command.outcome(timeout=PATIENT_S) == "new"


@contextlib.contextmanager
def calling(command: Command, message: str) -> Iterator[Any]:
    """The future of a call that has reached its worker."""
    with pybrpc.Channel(command.address, timeout=PATIENT_S, max_retry=0) as channel:
        stub = pybrpc.Stub(ECHO, channel)
        stub.Echo(echo_request("hello"))
        future = stub.Echo.future(echo_request(message))
        time.sleep(0.2)
        yield future


@contextlib.contextmanager
def ending_those_in(pids: Path) -> Iterator[None]:
    """Kill, at the end, the processes that the file names."""
    try:
        yield
    finally:
        for pid in map(int, pids.read_text().split()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@pytest.mark.slow
def test_child_that_a_dead_worker_forked_takes_no_connections(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    with (
        ending_those_in(pids),
        served("make_forking_server", "--workers", "2", *FAST, **{PIDS: str(pids)}) as command,
    ):
        victim = int(command.outcome(timeout=PATIENT_S))
        os.kill(victim, signal.SIGKILL)
        wait_for(lambda: len(pids.read_text().split()) == 3)
        wait_for(lambda: len([p for p in command.workers if is_alive(p)]) == 2)
        outcomes = []
        while len(outcomes) < 60 and "ERPCTIMEDOUT" not in outcomes:
            outcomes.append(command.outcome(timeout=2, connection_type="short"))
        assert "ERPCTIMEDOUT" not in outcomes


BOMB = """
import os, sys, time

depth = int(os.environ.get("PYBRPC_TEST_DEPTH", "0"))
os.environ["PYBRPC_TEST_DEPTH"] = str(depth + 1)
with open({log!r}, "a") as file:
    file.write(f"{{depth}} ")
if depth >= 3:
    time.sleep(3600)

import pybrpc.server
from tests.peers.worker_apps import make_server

pybrpc.server.serve("bomb_app:make_server", "127.0.0.1:0", workers=1, start_timeout=10)
"""


def test_served_module_that_serves_itself_is_refused_in_its_worker(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.touch()
    app = tmp_path / "bomb_app.py"
    app.write_text(BOMB.format(log=str(log)))
    process = subprocess.Popen(
        [sys.executable, str(app)],
        env=child_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        wait_for(lambda: process.poll() is not None or "2" in log.read_text())
    finally:
        with contextlib.suppress(ProcessLookupError):  # It has ended, and its workers before it.
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert set(log.read_text().split()) == {"0", "1"}


PATH_IN_SYS_PATH = """
import pathlib, sys

sys.path.append(pathlib.Path("/tmp"))
from pybrpc.server import Supervisor

if __name__ == "__main__":
    with Supervisor("tests.cases.apps:make_server", workers=1) as supervisor:
        print("serves", supervisor.start("127.0.0.1:0"))
        supervisor.stop(0)
"""


@pytest.mark.slow
def test_supervisor_starts_with_a_path_object_in_sys_path(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PATH_IN_SYS_PATH)
    code = "import runpy, sys; runpy.run_path(sys.argv[1], run_name='__main__')"
    assert "serves 127.0.0.1" in run_script(code, str(program), limit_s=8)


def test_page_says_that_cpp_clients_of_type_single_see_a_replaced_worker() -> None:
    page = (ROOT / "docs" / "serving.md").read_text()
    about = [part for part in page.split("\n\n") if "C++" in part and "pooled" in part]
    assert any("E112" in part or "EHOSTDOWN" in part for part in about)
