"""Supervisors that register: one entry for all workers, which the supervisor keeps."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pybrpc.errors import AddressError, ServerStateError, WorkerStartError
from pybrpc.server import Supervisor
from pybrpc.server.workers.supervisor_link import OWN_STOP_S
from tests.fakes.threads import WAIT_S, wait_until
from tests.peers.commands import COMMAND, serving
from tests.peers.http_stand_in import Fault
from tests.peers.pages import ROOT
from tests.peers.redis_server import free_port
from tests.peers.registries import ConsulRegistry
from tests.peers.supervised import APPS, call, pids_of
from tests.peers.worker_pages import Pages, look

FOREVER_S = 3600.0


@pytest.fixture
def consul() -> Iterator[ConsulRegistry]:
    with ConsulRegistry() as made:
        yield made


def requests(consul: ConsulRegistry, what: str) -> int:
    return sum(each.path.startswith(f"/v1/agent/service/{what}") for each in list(consul.requests))


def test_one_entry_for_all_workers_from_when_they_serve_until_the_drain_ends(
    consul: ConsulRegistry,
) -> None:
    serving_before: list[int] = []
    with Supervisor(
        f"{APPS}:make_server_with_a_delay", workers=2, internal_port=0, drain_delay=FOREVER_S
    ) as supervisor:
        consul.on_request = lambda request: serving_before.append(len(pids_of(supervisor)))
        registration = supervisor.register(consul.url, tag="3")
        endpoint = supervisor.start("127.0.0.1:0")
        assert registration.wait_registered(WAIT_S)
        assert serving_before[0] == 2
        assert (list(consul.registered), requests(consul, "register")) == ([f"echo-{endpoint}"], 1)
        pages = Pages(supervisor)
        assert f"registration: registered as {endpoint} 3 at {consul.url}" in pages.text("/workers")
        assert consul.url in pages.text("/workers", agent="Mozilla/5.0")
        assert f"registered as {endpoint} 3 at" in repr(supervisor)
        assert pages.text("/readiness") == "OK"

        supervisor.stop(FOREVER_S)
        wait_until(lambda: not consul.registered)
        wait_until(lambda: pages.look("/readiness")[0] == 503)
        wait_until(lambda: look(f"http://{endpoint}/readiness") == (503, "stopping"))
        assert pages.text("/health") == "OK"
        assert [call(endpoint) for _ in range(4)] == ["hello"] * 4
        assert "stopping on" in repr(supervisor)
        assert len(pids_of(supervisor)) == 2
        before = time.monotonic()
        supervisor.stop(WAIT_S)
        assert supervisor.join(WAIT_S)
        assert time.monotonic() - before < FOREVER_S, "the delay of the workers counts for nothing"
    assert requests(consul, "deregister") == 1


@pytest.mark.proof
def test_worker_that_dies_or_is_replaced_removes_no_entry(consul: ConsulRegistry) -> None:
    with Supervisor(f"{APPS}:make_server", workers=2, drain_delay=0) as supervisor:
        supervisor.start("127.0.0.1:0")
        assert supervisor.register(consul.url).wait_registered(WAIT_S)
        (killed, stopped) = pids_of(supervisor)
        os.kill(killed, signal.SIGKILL)
        os.kill(stopped, signal.SIGTERM)
        wait_until(lambda: len(pids_of(supervisor) - {killed, stopped}) == 2)
        assert (len(consul.registered), requests(consul, "deregister")) == (1, 0)
    assert (consul.registered, requests(consul, "register")) == ({}, 1)


@pytest.mark.proof
def test_workers_that_can_not_start_register_nothing(consul: ConsulRegistry) -> None:
    supervisor = Supervisor(f"{APPS}:make_no_server")
    supervisor.register(consul.url)
    with pytest.raises(WorkerStartError):
        supervisor.start("127.0.0.1:0")
    assert consul.requests == []
    assert not supervisor.is_running


def test_server_of_a_worker_can_not_register_itself() -> None:
    with pytest.raises(WorkerStartError, match="--register URL") as raised:
        Supervisor(f"{APPS}:make_registered_server").start("127.0.0.1:0")
    assert "hunter2" not in str(raised.value)


@pytest.mark.proof
def test_supervisor_on_all_addresses_has_to_be_told_its_own(consul: ConsulRegistry) -> None:
    supervisor = Supervisor(f"{APPS}:make_server", drain_delay=0)
    registration = supervisor.register(consul.url)
    with pytest.raises(AddressError, match="name the one by which clients reach the server"):
        supervisor.start("0.0.0.0:0")
    registration.deregister()
    supervisor.register(consul.url, "127.0.0.1:0")
    with pytest.raises(ServerStateError, match="already"):
        supervisor.register(consul.url, "127.0.0.1:0")
    with supervisor:
        port = supervisor.start("0.0.0.0:0").port
        consul.wait_for(lambda: f"echo-127.0.0.1:{port}" in consul.registered)


@pytest.mark.proof
def test_naming_service_that_is_dead_does_not_keep_the_command_from_ending(
    tmp_path: Path,
) -> None:
    url = f"consul://127.0.0.1:{free_port()}/echo"
    with serving(
        tmp_path / "log", f"{APPS}:make_server", "--register", url, "--drain-delay", "0"
    ) as command:
        command.wait_logged("refused")
        command.process.send_signal(signal.SIGTERM)
        assert command.process.wait(WAIT_S) == 0


def test_command_registers_and_drains_until_the_second_signal(
    consul: ConsulRegistry, tmp_path: Path
) -> None:
    with serving(
        tmp_path / "log",
        *(f"{APPS}:make_server", "--workers", "2", "--drain-delay", f"{FOREVER_S}"),
        *("--grace", f"{FOREVER_S}", "--register", consul.url, "--advertise", "127.0.0.1:0 3"),
    ) as command:
        consul.wait_for(lambda: f"echo-{command.address}" in consul.registered)
        assert consul.registered[f"echo-{command.address}"]["Tags"] == ["3"]
        command.process.send_signal(signal.SIGTERM)
        consul.wait_for(lambda: requests(consul, "deregister") == 1)
        wait_until(lambda: not consul.registered)
        assert call(command.address) == "hello"
        command.process.send_signal(signal.SIGTERM)
        assert command.process.wait(WAIT_S) == 0
    assert requests(consul, "deregister") == 1


@pytest.mark.proof
def test_signal_to_all_processes_drains_too(consul: ConsulRegistry, tmp_path: Path) -> None:
    """systemd sends SIGTERM to all processes of a service."""
    with serving(
        tmp_path / "log",
        *(f"{APPS}:make_server", "--workers", "2", "--drain-delay", f"{FOREVER_S}"),
        *("--grace", f"{FOREVER_S}", "--register", consul.url),
    ) as command:
        consul.wait_for(lambda: len(consul.registered) == 1)
        before = set(command.pids)
        for pid in (*before, command.process.pid):
            os.kill(pid, signal.SIGTERM)
        wait_until(lambda: not consul.registered)
        time.sleep(2 * OWN_STOP_S)  # in which workers would stop, and others start
        assert {call(command.address, "pid") for _ in range(20)} <= set(map(str, before))
        assert set(command.pids) == before
        command.process.send_signal(signal.SIGTERM)
        assert command.process.wait(WAIT_S) == 0


@pytest.mark.proof
def test_killed_supervisor_leaves_its_entry_to_the_naming_service(
    consul: ConsulRegistry, tmp_path: Path
) -> None:
    with serving(tmp_path / "log", f"{APPS}:make_server", "--register", consul.url) as command:
        consul.wait_for(lambda: len(consul.registered) == 1)
        command.process.kill()
        command.process.wait()
    assert requests(consul, "deregister") == 0


@pytest.mark.proof
def test_command_that_can_not_register_says_why() -> None:
    command = [*COMMAND, f"{APPS}:make_server", "--register", "list://10.0.0.1:80"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=WAIT_S)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "servers register with consul" in ended.stderr


@pytest.mark.proof
def test_silent_naming_service_is_not_waited_for_after_the_second_signal(
    consul: ConsulRegistry, tmp_path: Path
) -> None:
    with serving(
        tmp_path / "log", f"{APPS}:make_server", "--register", consul.url, "--grace", "3600"
    ) as command:
        consul.wait_for(lambda: len(consul.registered) == 1)
        consul.standing_fault = Fault(hangs=True)
        command.process.send_signal(signal.SIGTERM)
        consul.wait_for(lambda: requests(consul, "deregister") == 1)
        command.process.send_signal(signal.SIGTERM)
        assert command.process.wait(WAIT_S) == 0
