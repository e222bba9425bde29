"""Servers that register themselves: when, and how a stop leaves no call without an answer."""

from __future__ import annotations

import asyncio
import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import pybrpc
from pybrpc.errors import AddressError, ListenError
from pybrpc.server import Server
from pybrpc.server.lifecycle import drain
from tests.fakes.threads import WAIT_S, wait_until
from tests.peers.clusters import (
    Load,
    answers,
    cluster,
    cluster_stub,
    state_of,
)
from tests.peers.consul_stand_in import ConsulStandIn
from tests.peers.echo import ECHO, echo_request
from tests.peers.etcd_server import EtcdServer
from tests.peers.forking import exit_code_of, fork
from tests.peers.http_stand_in import Fault, Request
from tests.peers.pages import ROOT
from tests.peers.redis_server import free_port
from tests.peers.registries import ConsulRegistry, registry
from tests.peers.serving import EchoService

FOREVER_S = 3600.0
"""A delay that no test waits for: it ends it."""
ANYWHERE = "127.0.0.1:0"
UNHANDLED = (signal.SIG_DFL, signal.SIG_IGN, signal.default_int_handler)


def new_server(**options: Any) -> Server:
    server = Server(**options)
    server.add_service(ECHO, EchoService())
    return server


def call(address: object) -> str:
    with pybrpc.Channel(str(address), timeout=30) as channel:
        return str(pybrpc.Stub(ECHO, channel).Echo(echo_request("hello")).message)


def page(address: object, path: str) -> tuple[int, str]:
    """Status and text."""
    host, _, port = str(address).rpartition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=WAIT_S)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def readiness(address: object) -> int:
    return page(address, "/readiness")[0]


@pytest.fixture
def consul() -> Iterator[ConsulRegistry]:
    with ConsulRegistry() as made:
        yield made


def deregistrations(consul: ConsulStandIn) -> int:
    return sum("deregister" in request.path for request in list(consul.requests))


# --- a stop under load ---


@pytest.mark.program("etcd")
@pytest.mark.parametrize("kind", ["etcd", "consul", "nacos", "discovery"])
def test_no_call_fails_or_is_refused_when_a_server_leaves(kind: str, tmp_path: Path) -> None:
    check_server_leaves_unnoticed(kind, tmp_path)


@pytest.mark.proof
@pytest.mark.program("java")
def test_no_call_fails_or_is_refused_when_a_server_leaves_zookeeper(tmp_path: Path) -> None:
    pytest.importorskip("kazoo")
    check_server_leaves_unnoticed("zookeeper", tmp_path)


def check_server_leaves_unnoticed(kind: str, folder: Path) -> None:
    with registry(kind, folder) as url, cluster(2, drain_delay=FOREVER_S) as members:
        leaving, staying = members.members
        registrations = [member.server.register(url, tag="3") for member in members.members]
        assert all(each.wait_registered(WAIT_S) for each in registrations)
        with cluster_stub(url, max_retry=0) as (stub, channel):
            channel.wait_ready()
            wait_until(lambda: len(channel.servers()) == 2)
            with Load(stub) as load:
                load.wait_for_calls(20)
                assert min(members.calls) > 0
                leaving.server.stop(FOREVER_S)
                wait_until(lambda: state_of(channel, leaving) == "not listed")
                assert call(leaving.address) == "server 0", "it still serves"
                wait_until(lambda: not registrations[0].state.is_registered)
                load.wait_for_calls(20)
                wait_until(lambda: not leaving.server.statistics().running)
                before = leaving.calls
                leaving.server.stop(WAIT_S)
                assert leaving.server.join(WAIT_S)
                load.wait_for_calls(20)
            assert load.errors == []
            assert (leaving.calls, leaving.server.statistics().errors) == (before, 0)
            assert registrations[1].state.is_registered
            assert answers(stub, 4) == {"server 1": 4}
            staying.server.stop(0)


# --- the order of a stop ---


class Probe:
    """The answers that a client of the server gets at each request to the naming service."""

    def __init__(self, consul: ConsulRegistry) -> None:
        self.seen: list[tuple[str, str, int]] = []
        self.server: Server | None = None
        consul.on_request = self._on_request

    def _on_request(self, request: Request) -> None:
        what = request.path.split("/")[4]
        if what in ("register", "deregister") and "service" in request.path:
            assert self.server is not None
            where = self.where
            self.seen.append((what, call(where), readiness(where)))

    def start(self, server: Server) -> None:
        self.server = server
        self.where = f"127.0.0.1:{free_port()}"
        server.start(self.where)


def test_server_answers_before_it_is_registered_and_after_it_has_left(
    consul: ConsulRegistry,
) -> None:
    probe = Probe(consul)
    with new_server(drain_delay=FOREVER_S) as server:
        registration = server.register(consul.url)
        probe.start(server)
        assert registration.wait_registered(WAIT_S)
        assert repr(server).endswith(f"registered as {server.endpoint} at {consul.url}>")
        server.stop(FOREVER_S)
        wait_until(lambda: not consul.registered)
        wait_until(lambda: not registration.state.is_registered)
        assert (server.is_running, server.is_stopping) == (True, True)
        assert (call(server.endpoint), readiness(server.endpoint)) == ("hello", 503)
        assert "stopping on" in repr(server)
        server.stop(WAIT_S)
        assert server.join(WAIT_S)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", server.endpoint.port), 5)
    assert probe.seen == [("register", "hello", 200), ("deregister", "hello", 503)]


def test_delay_passes_by_itself(consul: ConsulRegistry) -> None:
    with new_server(drain_delay=0.05) as server:
        assert started(server, consul).wait_registered(WAIT_S)
    assert (consul.registered, server.is_running) == ({}, False)


def started(server: Server, consul: ConsulStandIn) -> Any:
    registration = server.register(f"consul://{consul.address}/echo")
    server.start(ANYWHERE)
    return registration


def test_server_without_registrations_may_have_a_delay() -> None:
    """For load balancers, which look at /readiness."""
    server = new_server(drain_delay=FOREVER_S)
    server.start(ANYWHERE)
    server.stop(FOREVER_S)
    assert (call(server.endpoint), readiness(server.endpoint)) == ("hello", 503)
    server.stop(0)
    assert server.join(WAIT_S)


def test_server_without_both_logs_off_at_once() -> None:
    server = new_server()
    server.start(ANYWHERE)
    with pybrpc.Channel(str(server.endpoint), max_retry=0, timeout=30) as channel:
        stub = pybrpc.Stub(ECHO, channel)
        stub.Echo(echo_request())
        server.stop()
        with pytest.raises(pybrpc.RpcError):
            stub.Echo(echo_request())
    assert server.join(WAIT_S)


def test_end_of_the_with_block_does_not_end_the_delay_of_a_stop(consul: ConsulRegistry) -> None:
    left = threading.Event()

    def leave() -> None:
        with server:
            server.stop(FOREVER_S)
        left.set()

    server = new_server(drain_delay=FOREVER_S)
    assert started(server, consul).wait_registered(WAIT_S)
    thread = threading.Thread(target=leave)
    thread.start()
    wait_until(lambda: not consul.registered)
    assert call(server.endpoint) == "hello"
    assert not left.is_set()
    server.stop()
    thread.join(WAIT_S)
    assert left.is_set()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_drains_and_a_second_one_ends_that(consul: ConsulRegistry, number: int) -> None:
    answers: list[str] = []

    def send_signals() -> None:
        assert registration.wait_registered(WAIT_S)
        wait_until(lambda: signal.getsignal(number) not in UNHANDLED)
        os.kill(os.getpid(), number)
        wait_until(lambda: not consul.registered)
        answers.append(call(server.endpoint))
        os.kill(os.getpid(), number)

    with new_server(drain_delay=FOREVER_S) as server:
        registration = started(server, consul)
        thread = threading.Thread(target=send_signals)
        thread.start()
        server.run_until_asked_to_quit(FOREVER_S)
        thread.join()
    assert answers == ["hello"]


# --- naming services that fail ---


@pytest.mark.program("etcd")
def test_dead_naming_service_does_not_keep_a_server_from_stopping(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with EtcdServer(tmp_path) as etcd, new_server(drain_delay=0) as server:
        registration = server.register(f"etcd://{etcd.address}/svc")
        server.start(ANYWHERE)
        assert registration.wait_registered(WAIT_S)
        etcd.kill()
        server.stop()
        assert server.join(WAIT_S)
        assert registration.state.error is not None
    assert f"removing {registration.node} failed" in caplog.text


def test_silent_naming_service_is_waited_for_a_bounded_time(
    consul: ConsulRegistry, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drain, "DEREGISTER_S", 0.05)
    with new_server(drain_delay=0) as server:
        registration = started(server, consul)
        assert registration.wait_registered(WAIT_S)
        consul.standing_fault = Fault(hangs=True)
        server.stop(WAIT_S)
        assert server.join(WAIT_S)
        assert f"has not removed {registration.node} in time" in caplog.text
    consul.is_over.set()
    wait_until(lambda: not server._registrations.late())


def test_server_serves_though_its_naming_service_is_not_there() -> None:
    port = free_port()
    with new_server(drain_delay=0, internal_port=0) as server:
        registration = server.register(f"consul://127.0.0.1:{port}/echo?token=hunter2")
        server.start(ANYWHERE)
        wait_until(lambda: registration.state.failures > 0)
        assert call(server.endpoint) == "hello"
        assert f"not registered as {server.endpoint}" in repr(server)
        assert "refused" in repr(server)
        assert "hunter2" not in repr(server)
        text = page(server.endpoint, "/status")[1]
        assert f"registration: not registered as {server.endpoint} at consul://...\n" in text
        text = page(server.internal_endpoint, "/status")[1]
        assert "token=..." in text
        assert "hunter2" not in text


# --- addresses ---


def test_server_on_all_addresses_has_to_be_told_its_own(consul: ConsulRegistry) -> None:
    server = new_server()
    first = server.register(consul.url)
    for where in ("0.0.0.0:0", "[::]:0", "0:0"):
        with pytest.raises(AddressError, match="name the one by which clients reach the server"):
            server.start(where)
        assert not server.is_running
    with pytest.raises(AddressError):
        server.start_in_range("0.0.0.0", range(20000, 20010))
    with socket.socket() as bound:
        bound.bind(("0.0.0.0", 0))
        with pytest.raises(AddressError):
            server.start(bound)
    assert consul.requests == [], "nothing was registered"
    first.deregister()
    server.register(consul.url, "127.0.0.1:0 3 zone=a")
    with server:
        port = server.start("0.0.0.0:0").port
        consul.wait_for(lambda: f"echo-127.0.0.1:{port}" in consul.registered)
        with pytest.raises(AddressError, match="all addresses of this host"):
            server.register(f"{consul.url}2")
        server.stop(0)
    wait_until(lambda: not consul.registered)


def test_several_entries_of_one_server(consul: ConsulRegistry) -> None:
    with ConsulStandIn() as other, new_server(drain_delay=0) as server:
        first = server.register(consul.url)
        server.start(ANYWHERE)
        second = server.register(f"consul://{other.address}/b", "10.0.0.1:80 zone=a")
        assert first.wait_registered(WAIT_S)
        assert second.wait_registered(WAIT_S)
        assert list(other.registered) == ["b-10.0.0.1:80"]
        assert second.deregister()
        assert (other.registered, len(consul.registered)) == ({}, 1)
        server.stop()
        assert server.join(WAIT_S)
        assert consul.registered == {}


# --- starts ---


def test_start_that_fails_registers_nothing(consul: ConsulRegistry) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        server = new_server()
        registration = server.register(consul.url)
        with pytest.raises(ListenError):
            server.start(f"127.0.0.1:{taken.getsockname()[1]}")

        @server.on_startup
        def fail() -> None:
            raise ValueError("no pool")

        with pytest.raises(ValueError, match="no pool"):
            server.start(ANYWHERE)
    assert (consul.requests, registration.node) == ([], None)
    server.stop()
    assert server.join(0)


@pytest.mark.parametrize("in_loop", [False, True])
def test_start_that_can_not_register_leaves_nothing(
    consul: ConsulRegistry, monkeypatch: pytest.MonkeyPatch, in_loop: bool
) -> None:
    where = f"127.0.0.1:{free_port()}"
    start = threading.Thread.start

    def fail(thread: threading.Thread) -> None:
        if "register" in thread.name:
            raise RuntimeError("can't start new thread")
        start(thread)

    async def start_in_loop() -> None:
        async with server:
            await server.start_async(where)

    server = new_server()
    server.register(consul.url)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", fail)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            asyncio.run(start_in_loop()) if in_loop else server.start(where)
    assert not server.is_running
    with server:
        server.start(where)
        assert call(where) == "hello"
        server.stop(0)


def test_server_that_is_started_again_is_registered_again(consul: ConsulRegistry) -> None:
    server = new_server(drain_delay=0)
    registration = server.register(consul.url)
    for _ in range(3):
        with server:
            endpoint = server.start(ANYWHERE)
            assert registration.wait_registered(WAIT_S)
            assert list(consul.registered) == [f"echo-{endpoint}"]
        assert consul.registered == {}


# --- loops ---


def test_stop_in_a_loop_drains_too(consul: ConsulRegistry) -> None:
    async def main() -> None:
        async with new_server(drain_delay=FOREVER_S) as server:
            registration = server.register(consul.url)
            await server.start_async(ANYWHERE)
            assert await asyncio.to_thread(registration.wait_registered, WAIT_S)
            server.stop(FOREVER_S)
            async with pybrpc.aio.Channel(str(server.endpoint), timeout=30) as channel:
                while consul.registered:
                    await asyncio.sleep(0.001)
                answer = await pybrpc.Stub(ECHO, channel).Echo(echo_request("hello"))
                assert answer.message == "hello"
                assert await asyncio.to_thread(readiness, server.endpoint) == 503
            server.stop()
            await server.wait_stopped()

    asyncio.run(main())


def test_loop_that_ends_removes_the_entry(consul: ConsulRegistry) -> None:
    server = new_server(drain_delay=FOREVER_S)

    async def main() -> None:
        await server.__aenter__()
        registration = server.register(consul.url)
        await server.start_async(ANYWHERE)
        assert await asyncio.to_thread(registration.wait_registered, WAIT_S)

    asyncio.run(main())
    assert not server.is_running
    wait_until(lambda: not consul.registered)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_forked_child_does_not_remove_the_entry(consul: ConsulRegistry) -> None:
    with new_server(drain_delay=0) as server:
        assert started(server, consul).wait_registered(WAIT_S)

        def child() -> None:
            server.stop()
            assert server.join(0)

        assert exit_code_of(fork(child)) == 0
        assert len(consul.registered) == 1
        assert deregistrations(consul) == 0


EXITS = """
import sys
from tests.peers.worker_apps import make_server_with_a_delay
server = make_server_with_a_delay()
registration = server.register(sys.argv[1])
server.start("127.0.0.1:0")
assert registration.wait_registered(30)
if sys.argv[2] == "draining":
    server.stop(3600)
"""


@pytest.mark.proof
@pytest.mark.parametrize("state", ["running", "draining"])
@pytest.mark.parametrize("fault", [None, Fault(hangs=True)], ids=["answering", "silent"])
def test_end_of_the_process_removes_the_entry_and_does_not_hang(
    consul: ConsulRegistry, state: str, fault: Fault | None
) -> None:
    def on_request(request: Request) -> None:
        if "/register" in request.path and fault is not None:
            consul.standing_fault = fault

    consul.on_request = on_request
    command = [sys.executable, "-W", "error", "-c", EXITS, consul.url, state]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=WAIT_S)
    assert (ended.returncode, ended.stderr) == (0, "")
    # The end of the process interrupts the request of a drain, which is sent again.
    assert deregistrations(consul) >= 1
    assert len(consul.registered) == (0 if fault is None else 1)
