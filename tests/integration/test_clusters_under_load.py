"""Twenty servers, of which some misbehave, under load: what callers notice of it."""

from __future__ import annotations

import collections
import random
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import pybrpc
from bench.cluster_live.scenarios import Names
from pybrpc import BackupRequestPolicy
from pybrpc.client.cluster.cluster_server import ClusterServer
from pybrpc.client.cluster.server_connections import ServerConnections
from pybrpc.errors import ErrorCode, RpcError
from pybrpc.rpc.bounded_steps import MAX_PER_STEP
from pybrpc.transport.runtime import default_runtime
from tests.fakes.threads import wait_until
from tests.peers.clusters import Load, Member, cluster, cluster_stub

pytestmark = pytest.mark.proof
SERVERS = 20


@contextmanager
def black_hole() -> Iterator[str]:
    """An address that takes connections and bytes, and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        kept: list[socket.socket] = []

        def accept() -> None:
            while True:
                try:
                    kept.append(listener.accept()[0])
                except OSError:
                    return

        thread = threading.Thread(target=accept)
        thread.start()
        host, port = listener.getsockname()
        try:
            yield f"{host}:{port}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
            for each in kept:
                each.close()


def codes_of(load: Load) -> collections.Counter[int]:
    assert all(isinstance(error, RpcError) for error in load.errors)
    return collections.Counter(error.code for error in load.errors if isinstance(error, RpcError))


def restart_all(members: list[Member], load: Load) -> None:
    for member in members:
        member.stop()
        load.wait_for_calls(30)
        member.start()
        load.wait_for_calls(30)


def test_restart_of_all_servers_fails_no_call() -> None:
    with (
        cluster(SERVERS) as servers,
        cluster_stub(servers.addresses) as (stub, _),
        Load(stub) as load,
    ):
        restart_all(servers.members, load)
    assert load.errors == []


def test_names_that_change_all_the_time_fail_no_call(tmp_path: Path) -> None:
    names = Names(tmp_path / "servers")
    with cluster(SERVERS) as servers:
        names.write(servers.addresses)
        with cluster_stub(names.url) as (stub, channel), Load(stub) as load:
            for turn in range(8):
                part = servers.addresses[turn:] + servers.addresses[: turn // 2]
                names.write(part)
                wait_until(lambda part=part: len(channel.servers()) == len(part))
                load.wait_for_calls(100)
    assert load.errors == []


class ReleasesByTurn:
    """How many servers lose their connections in each turn of the dispatcher in which any does."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.counts: list[int] = []
        self._is_open = False
        patch.setattr(ServerConnections, "release", self._counted(ServerConnections.release))

    def _counted(self, release: Callable[..., None]) -> Callable[..., None]:
        def counted(connections: ServerConnections, server: ClusterServer) -> None:
            if not self._is_open:
                self._is_open = True
                self.counts.append(0)
                # This comes before the next step, which is posted later.
                default_runtime().dispatcher.post(self._close)
            self.counts[-1] += 1
            release(connections, server)

        return counted

    def _close(self) -> None:
        self._is_open = False


def new_keyed_controller() -> pybrpc.Controller:
    controller = pybrpc.Controller()
    controller.hash_key = random.randrange(2**32)
    return controller


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere 127.0.0.2 is no address")
@pytest.mark.parametrize("balancer", ["rr", "p2c_ewma", "la", "c_ketama:replicas=20", "maglev"])
def test_list_of_10_000_servers_changes_while_calls_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, balancer: str
) -> None:
    """One server has all the addresses."""
    names = Names(tmp_path / "servers")
    releases = ReleasesByTurn(monkeypatch)
    member = Member("server", "0.0.0.0:0")
    port = member.address.rpartition(":")[2]
    hosts = [f"127.1.{number // 250}.{number % 250 + 1}:{port}" for number in range(20_000)]
    few, first, second = hosts[:20], hosts[:10_000], hosts[10_000:]
    try:
        names.write(few)
        with (
            cluster_stub(names.url, load_balancer=balancer, timeout=60) as (stub, channel),
            Load(stub, 2, new_keyed_controller) as load,
        ):
            load.wait_for_calls(10)
            for listed in (first, second, few):
                names.write(listed)
                before = load.calls
                while not uses(channel, listed):
                    time.sleep(0.1)  # it is costly to look
                assert load.calls > before
            wait_until(lambda: sum(releases.counts) == len(first) + len(second))
            # Other turns come between those in which servers leave; what another thread posts may
            # come a little later.
            assert max(releases.counts) <= 4 * MAX_PER_STEP
        assert load.errors == []
    finally:
        member.stop(grace=0.5)


def uses(channel: pybrpc.Channel, listed: list[str]) -> bool:
    """Whether this is the list of the channel."""
    servers = channel.servers()
    return len(servers) == len(listed) and str(servers[-1].endpoint) == listed[-1]


def test_callers_notice_little_of_servers_that_misbehave() -> None:
    """One is slow, one a black hole, one fails at once, one stops and starts, and the others are
    restarted one after the other."""
    with cluster(SERVERS - 1) as servers, black_hole() as hole:
        slow, failing, flapping, *others = servers.members
        slow.sleep(0.02)
        failing.fail(int(ErrorCode.EINTERNAL))
        addresses = [*servers.addresses, hole]
        with (
            cluster_stub(addresses, load_balancer="p2c_ewma", timeout=0.5) as (stub, channel),
            Load(stub) as load,
        ):
            load.wait_for_calls(500)
            before = len(load.errors)
            restart_all([*others[:8], flapping, *others[8:], flapping], load)
            calls = load.calls
            states = {str(status.endpoint): status.state for status in channel.servers()}
        codes = codes_of(load)
    # Only the failing server and the black hole have failed calls, and soon hardly any.
    assert set(codes) <= {int(ErrorCode.EINTERNAL), int(ErrorCode.ERPCTIMEDOUT)}
    assert all(
        failing.address in str(error) or hole in str(error) or "EINTERNAL" in str(error)
        for error in load.errors
    )
    assert calls > 1000
    assert len(load.errors) - before <= 0.01 * calls
    assert {states[failing.address], states[hole]} <= {"ejected", "trial", "up", "down"}


def test_backup_requests_hide_a_black_hole() -> None:
    with cluster(3) as servers, black_hole() as hole:
        with (
            cluster_stub(
                [*servers.addresses, hole],
                backup_request_policy=BackupRequestPolicy(0.03, max_ratio=1),
                timeout=5,
            ) as (stub, _),
            Load(stub, threads=2) as load,
        ):
            load.wait_for_calls(100)
        assert load.errors == []
