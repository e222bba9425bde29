"""Servers and supervisors under systemd: its sockets, and what they notify it of.

The service manager is a stand-in, but for the tests that run the real systemd-socket-activate.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

import pybrpc
from tests.fakes.threads import wait_until
from tests.peers.commands import COMMAND
from tests.peers.echo import ECHO, echo_request
from tests.peers.redis_server import free_port
from tests.peers.service_manager import NotifySocket, start_program
from tests.peers.supervised import call

pytestmark = pytest.mark.same_everywhere

APP = [sys.executable, "-m", "tests.peers.systemd_apps"]
WORKERS = [*COMMAND, "tests.peers.systemd_apps:make_server", "--workers", "2"]
READY, STOPPING = "READY=1", "STOPPING=1"


@pytest.fixture
def manager(unix_path: Path) -> Iterator[NotifySocket]:
    with NotifySocket(str(unix_path.with_name("notify"))) as made:
        yield made


@contextlib.contextmanager
def listening(unix_path: Path) -> Iterator[tuple[list[socket.socket], list[str]]]:
    """Two sockets that stay open here, as systemd keeps those of a unit; their addresses."""
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(unix_path))
        unix.listen()
        yield [tcp, unix], [f"127.0.0.1:{tcp.getsockname()[1]}", f"unix:{unix_path}"]


@contextlib.contextmanager
def program(
    command: Sequence[str],
    sockets: Sequence[socket.socket] = (),
    names: Sequence[str] = (),
    notify: NotifySocket | None = None,
    log: Path | None = None,
    **environment: str,
) -> Iterator[subprocess.Popen[str]]:
    """One that serves, and has not ended at the end of the block or is killed then."""
    if notify is not None:
        environment["NOTIFY_SOCKET"] = notify.address
    process = start_program(command, sockets, names, environment, log)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


@pytest.mark.parametrize("command", [[*APP, "run", "fd://"], WORKERS, [*WORKERS, "-b", "fd://web"]])
def test_sockets_of_systemd_are_served(unix_path: Path, command: list[str]) -> None:
    with listening(unix_path) as (sockets, addresses):
        with program(command, sockets, ["web", "web"]) as process:
            assert addresses[0] in line_of(process)
            for address in addresses:
                assert call(address, "hello") == "hello"
                assert call(address, "environment") == ""
            if command[: len(APP)] == APP:
                assert call(addresses[0], "child") == "False"
            process.terminate()
            assert process.wait(60) == 0
        assert unix_path.exists()


def test_one_socket_is_served_by_its_number(unix_path: Path) -> None:
    with listening(unix_path) as (sockets, addresses):
        with program([*APP, "run", "fd://4"], sockets) as process:
            assert addresses[1] in line_of(process)
            assert call(addresses[1], "hello") == "hello"


@pytest.mark.parametrize("kind", ["server", "workers"])
def test_no_connection_is_lost_while_the_program_is_started_again(
    unix_path: Path, kind: str
) -> None:
    """Clients connect all the time, also while there is no process: the socket holds them."""
    command = [*APP, "run", "fd://"] if kind == "server" else WORKERS
    answers: list[str] = []
    errors: list[BaseException] = []
    is_over = threading.Event()

    def keep_calling(address: str) -> None:
        while not is_over.is_set():
            try:
                answers.append(call(address, "pid", timeout=60, connect_timeout=60))
            except BaseException as error:
                errors.append(error)
                return

    with listening(unix_path) as (sockets, addresses):
        threads = [threading.Thread(target=keep_calling, args=(each,)) for each in addresses * 2]
        for thread in threads:
            thread.start()
        try:
            for _ in range(3):
                with program(command, sockets) as process:
                    line_of(process)
                    before = len(answers)
                    wait_until(lambda before=before: len(answers) > before + 20 or bool(errors))  # type: ignore[misc]
                    process.terminate()
                    assert process.wait(60) == 0
            with program(command, sockets) as process:
                line_of(process)
                is_over.set()
                for thread in threads:
                    thread.join()
        finally:
            is_over.set()
    assert errors == []
    assert len(set(answers)) >= 3


def test_connections_wait_for_the_next_supervisor_after_one_was_killed(unix_path: Path) -> None:
    """The process that watches over orphans must not shut the sockets of systemd down."""
    with listening(unix_path) as (sockets, addresses):
        with program(WORKERS, sockets) as process:
            line_of(process)
            pid = int(call(addresses[0], "pid"))
            process.kill()
            process.wait()
            wait_until(lambda: not os.path.exists(f"/proc/{pid}"))
        with program(WORKERS, sockets) as process:
            line_of(process)
            assert call(addresses[0], "hello") == "hello"
            assert call(addresses[1], "hello") == "hello"


@pytest.mark.parametrize(
    ("address", "status", "said"),
    [
        ("fd://other", 1, "the passed sockets have other names: web"),
        ("fd://77", 1, "this process has no such descriptor"),
        ("fd://web:80", 2, "is no descriptor"),
    ],
)
def test_command_says_which_sockets_are_missing(
    unix_path: Path, tmp_path: Path, address: str, status: int, said: str
) -> None:
    log = tmp_path / "log"
    with listening(unix_path) as (sockets, _):
        with program([*WORKERS, "-b", address], sockets, ["web"] * 2, log=log) as process:
            assert process.wait(60) == status
    assert said in log.read_text()


@pytest.mark.program("systemd-socket-activate")
def test_real_program_of_systemd_starts_it_at_the_first_connection(tmp_path: Path) -> None:
    ports = free_port(), free_port()
    listen = [word for port in ports for word in ("-l", f"127.0.0.1:{port}")]
    activate = ["systemd-socket-activate", *listen, "--fdname=web:admin", "-E", "PYTHONPATH"]
    with program([*activate, *APP, "run", "fd://"], log=tmp_path / "log"):
        for port in ports:
            wait_until(lambda port=port: is_open(port))  # type: ignore[misc]
            assert call(f"127.0.0.1:{port}", "hello") == "hello"
            assert call(f"127.0.0.1:{port}", "environment") == ""


def is_open(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.parametrize("kind", ["run", "loop"])
def test_server_tells_systemd_its_states(manager: NotifySocket, kind: str) -> None:
    with program([*APP, kind, "127.0.0.1:0"], notify=manager) as process:
        address = line_of(process).split()[-1]
        manager.wait_received(READY)
        assert f"STATUS=Serving on {address}" in manager.received[0]
        with pybrpc.Channel(address, timeout=30) as channel:
            future = pybrpc.Stub(ECHO, channel).Echo.future(echo_request("pause"))
            assert future.result().message == "pause"
            process.terminate()
            manager.wait_received(STOPPING)
            if kind == "run":  # It serves on in its drain, of which systemd was notified.
                assert call(address, "hello") == "hello"
        assert process.wait(60) == 0
    assert manager.states() == [READY, STOPPING]


def test_supervisor_tells_systemd_its_states(manager: NotifySocket) -> None:
    with program(
        [*WORKERS, "-b", "127.0.0.1:0", "--drain-delay", "0.5"], notify=manager
    ) as process:
        address = line_of(process).split()[-3].rstrip(",")
        manager.wait_received(READY)
        assert f"STATUS=2 workers serve on {address}" in manager.received[0]
        assert call(address, "environment") == ""
        process.send_signal(signal.SIGHUP)
        manager.wait_received(READY, 2)
        process.terminate()
        manager.wait_received(STOPPING)
        assert call(address, "hello") == "hello"
        assert process.wait(60) == 0
    assert manager.states() == [READY, "RELOADING=1", READY, STOPPING]


def test_server_that_can_not_start_is_never_ready(manager: NotifySocket, tmp_path: Path) -> None:
    app = "tests.peers.worker_apps:make_no_server"
    with program([*COMMAND, app, "-b", "127.0.0.1:0"], notify=manager) as process:
        assert process.wait(60) == 1
    assert manager.states() == []


def test_stuck_loop_shows_no_life(manager: NotifySocket) -> None:
    with program([*APP, "loop", "127.0.0.1:0"], notify=manager, WATCHDOG_USEC="200000") as process:
        address = line_of(process).split()[-1]
        manager.wait_received("WATCHDOG=1", 3)
        with pybrpc.Channel(address, timeout=60) as channel:
            pybrpc.Stub(ECHO, channel).Echo(echo_request("hello"))
            future = pybrpc.Stub(ECHO, channel).Echo.future(echo_request("sleep"))  # blocks for 2 s
            told = manager.count("WATCHDOG=1")
            assert future.result().message == "sleep"
            during = manager.count("WATCHDOG=1") - told
            # Without the block there would be 20; one may have been on its way.
            assert during <= 4
            manager.wait_received("WATCHDOG=1", told + during + 2)


def test_several_processes_share_a_port(tmp_path: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    with contextlib.ExitStack() as stack:
        shared = [stack.enter_context(program([*APP, "shared", address])) for _ in range(2)]
        command = [*WORKERS[:5], "--workers", "1", "--reuse-port", "-b", address]
        supervisor = stack.enter_context(program(command))
        for process in (*shared, supervisor):
            assert address in line_of(process)
        pids: set[str] = set()
        wait_until(lambda: bool(pids.add(call(address, "pid"))) or len(pids) == 3)
        shared[0].terminate()
        assert shared[0].wait(60) == 0
        left = {call(address, "pid", max_retry=3) for _ in range(50)}
        assert str(shared[0].pid) not in left


@pytest.mark.parametrize("options", [[], ["--reuse-port"]])
def test_supervisor_shares_its_port_only_if_both_say_so(tmp_path: Path, options: list[str]) -> None:
    log = tmp_path / "log"
    address = f"127.0.0.1:{free_port()}"
    with program([*WORKERS, "-b", address, *options]) as first:
        line_of(first)
        with program([*WORKERS, "-b", address], log=log) as second:
            assert second.wait(60) == 1
    assert "Address already in use" in log.read_text()
