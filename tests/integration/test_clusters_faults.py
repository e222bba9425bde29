"""Channels to several servers, of which some fail: other servers get the calls."""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import re
import socket
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import pybrpc
from pybrpc.client.cluster.balancing.registry import (
    register_load_balancer,
    unregister_load_balancer,
)
from pybrpc.client.cluster.balancing.round_robin import RoundRobin
from pybrpc.client.cluster.breaking.outlier_detection import OutlierDetection
from pybrpc.client.cluster.finding import MAX_BUSY
from pybrpc.client.endpoints.single_connections import SingleConnections
from pybrpc.client.endpoints.source_base import SourceBase
from pybrpc.errors import ErrorCode, RpcError
from tests.fakes.threads import wait_until
from tests.peers.clusters import (
    REQUEST,
    Load,
    answers,
    cluster,
    cluster_stub,
    state_of,
    wait_for_state,
)
from tests.peers.echo import ECHO
from tests.peers.forking import exit_code_of, fork
from tests.peers.scripted_server import Peer, Script, ScriptedServer


def test_cluster_without_a_usable_server_is_ehostdown_with_the_reasons(dead_address: str) -> None:
    with cluster_stub([dead_address], max_retry=0) as (stub, channel):
        with pytest.raises(RpcError):
            stub.Echo(REQUEST)
        with pytest.raises(RpcError) as raised:
            stub.Echo(REQUEST)
        assert raised.value.code == errno.EHOSTDOWN
        down = rf"{dead_address}: down for [\d.]+ s, Fail to connect"
        assert re.search(down, raised.value.text)
        (status,) = channel.servers()
        assert (status.state, status.is_usable) == ("down", False)


@pytest.mark.parametrize("name", ["rr", "RR"])
def test_call_is_retried_on_other_servers(name: str, tmp_path: Path, dead_address: str) -> None:
    """bRPC: retry_other_servers. Two dead servers and a live one, max_retry 3."""
    with cluster(1) as servers:
        path = tmp_path / "servers"
        path.write_text(f"{dead_address}\n{dead_address} again\n{servers[0].address}\n")
        for _ in range(20):
            with cluster_stub(f"fIle://{path}", load_balancer=name, max_retry=3) as (stub, _):
                assert stub.Echo(REQUEST).message == "server 0"


@pytest.mark.parametrize("code", [ErrorCode.ELIMIT, ErrorCode.EOVERCROWDED])
def test_busy_server_has_its_call_retried_elsewhere(code: int) -> None:
    with cluster(2) as servers, cluster_stub(servers.addresses) as (stub, _):
        servers[0].fail(int(code))
        assert answers(stub, 20) == {"server 1": 20}
        assert servers[0].calls >= 5


def test_call_that_every_server_refuses_fails_after_it_has_tried_each_once() -> None:
    with (
        cluster(3) as servers,
        cluster_stub(servers.addresses, max_retry=10) as (stub, _),
    ):
        for member in servers.members:
            member.fail(int(ErrorCode.ELIMIT))
        with pytest.raises(RpcError) as raised:
            stub.Echo(REQUEST)
        assert raised.value.code == ErrorCode.ELIMIT
        assert servers.calls == [1, 1, 1]


def test_server_that_fails_at_once_is_left_out_soon() -> None:
    with cluster(3) as servers, cluster_stub(servers.addresses) as (stub, channel):
        servers[0].fail(int(ErrorCode.EINTERNAL))
        errors = 0
        for _ in range(60):
            try:
                stub.Echo(REQUEST)
            except RpcError:
                errors += 1
        assert 5 <= errors <= 8  # one more for each trial
        assert state_of(channel, servers[0]) in ("ejected", "trial")


def test_nothing_is_left_out_without_a_breaker() -> None:
    with (
        cluster(2) as servers,
        cluster_stub(servers.addresses, circuit_breaker=False) as (stub, channel),
    ):
        servers[0].fail(int(ErrorCode.EINTERNAL))
        for _ in range(40):
            with contextlib.suppress(RpcError):
                stub.Echo(REQUEST)
        assert servers.calls == [20, 20]
        assert state_of(channel, servers[0]) == "up"


def test_backup_request_goes_to_another_server() -> None:
    with (
        cluster(2) as servers,
        cluster_stub(servers.addresses, backup_request_ms=20) as (stub, channel),
    ):
        stub.Echo(REQUEST)
        slow = next(member for member in servers.members if not member.calls)
        fast = next(member for member in servers.members if member.calls)
        slow.sleep(0.5)
        controller = pybrpc.Controller()
        assert stub.Echo(REQUEST, controller=controller).message == fast.name
        assert controller.has_backup_request
        wait_until(lambda: all(status.in_flight == 0 for status in channel.servers()))


def test_only_server_gets_no_backup_request() -> None:
    with (
        cluster(1) as servers,
        cluster_stub(servers.addresses, backup_request_ms=5) as (stub, _),
    ):
        servers[0].sleep(0.05)
        controller = pybrpc.Controller()
        stub.Echo(REQUEST, controller=controller)
        assert not controller.has_backup_request
        assert servers.calls == [1]


def test_server_that_comes_back_has_calls_again() -> None:
    breaker = OutlierDetection(slow_start=0)
    with (
        cluster(2) as servers,
        cluster_stub(servers.addresses, circuit_breaker=breaker) as (stub, channel),
    ):
        answers(stub, 4)
        servers[0].stop(grace=0.5)
        assert answers(stub, 10) == {"server 1": 10}
        servers[0].start()
        wait_for_state(channel, servers[0], "up")
        assert answers(stub, 10) == {"server 0": 5, "server 1": 5}


def test_restarts_of_all_servers_one_after_the_other_fail_no_call() -> None:
    with (
        cluster(3) as servers,
        cluster_stub(servers.addresses, load_balancer="p2c_ewma") as (stub, channel),
        Load(stub) as load,
    ):
        for member in servers.members:
            load.wait_for_calls(50)
            member.stop()
            load.wait_for_calls(50)
            member.start()
            wait_for_state(channel, member, "up")
        load.wait_for_calls(50)
    assert load.errors == []


def test_server_that_changes_while_it_is_being_made_is_looked_at_again(
    monkeypatch: pytest.MonkeyPatch, dead_address: str
) -> None:
    """Another channel has the same connections, and finds that they have failed."""
    add_watcher = SourceBase.add_watcher

    def add_and_notify(source: SourceBase, watcher: Any) -> None:
        add_watcher(source, watcher)
        watcher.on_source_changed()

    monkeypatch.setattr(SourceBase, "add_watcher", add_and_notify)
    with cluster(1) as servers, pybrpc.Channel(dead_address, max_retry=0) as other:
        with pytest.raises(RpcError):
            pybrpc.Stub(ECHO, other).Echo(REQUEST)
        with cluster_stub([dead_address, servers[0].address], max_retry=0) as (stub, channel):
            assert answers(stub, 10) == {"server 0": 10}
            assert [status.state for status in channel.servers()] == ["down", "up"]


def test_calls_are_let_in_little_by_little_after_all_servers_were_down() -> None:
    """bRPC: revived_from_all_failed_sanity, and its integrated form."""
    recover = pybrpc.ClusterRecover(min_working_instances=2, hold_seconds=0.2)
    with (
        cluster(2) as servers,
        cluster_stub(servers.addresses, cluster_recover=recover, max_retry=0) as (stub, channel),
    ):
        answers(stub, 2)
        for member in servers.members:
            member.stop(grace=0.5)

        def code_of_a_call() -> int:
            try:
                stub.Echo(REQUEST)
            except RpcError as error:
                return error.code
            return 0

        wait_until(lambda: code_of_a_call() == errno.EHOSTDOWN)
        # A call that was waiting when the last server went down may have been the first one.
        wait_until(lambda: code_of_a_call() == ErrorCode.EREJECT)
        assert [code_of_a_call() for _ in range(10)] == [int(ErrorCode.EREJECT)] * 10
        for member in servers.members:
            member.start()
        wait_until(lambda: all(status.is_usable for status in channel.servers()))
        wait_until(lambda: code_of_a_call() == 0)
        time.sleep(0.25)
        assert {code_of_a_call() for _ in range(50)} == {0}


def eject(source: Any) -> None:
    """Its first server."""
    states, server = source.router.states, source.router.servers[0]
    source._turns.post(lambda: states.eject(server, "a test"))


def test_channel_that_was_closed_with_a_server_on_trial_is_collected() -> None:
    with cluster(2) as servers:
        with cluster_stub(servers.addresses) as (stub, channel):
            stub.Echo(REQUEST)
            eject(channel._used_source)
            wait_for_state(channel, servers[0], "trial")
            gone = weakref.ref(channel._used_source)
        del stub, channel

        def is_gone() -> bool:
            gc.collect()
            return gone() is None

        wait_until(is_gone)


class OtherServers:
    """A balancer that picks servers of another channel."""

    def __init__(self, servers: Any) -> None:
        self.servers = servers

    def new_picker(self, servers: Any) -> Any:
        return self

    def pick(self, *arguments: Any) -> Any:
        return self.servers[0]

    def on_begin(self, *arguments: Any) -> None: ...

    on_end = on_begin


def test_balancer_that_picks_servers_of_another_channel_does_not_harm_that() -> None:
    with cluster(2) as servers, cluster_stub(servers.addresses) as (stub, channel):
        stub.Echo(REQUEST)
        others: Any = channel._used_source
        register_load_balancer("others", lambda _: OtherServers(others.router.servers))
        try:
            with cluster_stub(servers.addresses, load_balancer="others") as (wrong, _):
                servers[0].fail(int(ErrorCode.ELOGOFF))
                with pytest.raises(RpcError, match="which is a server of another channel"):
                    wrong.Echo(REQUEST)
        finally:
            unregister_load_balancer("others")
        assert [status.state for status in channel.servers()] == ["up", "up"]
        assert servers[0].calls <= 1


class InOneProcess(RoundRobin):
    """A balancer that makes pickers in the process alone that has made it."""

    def __init__(self, pid: int) -> None:
        super().__init__()
        self._pid = pid

    def new_picker(self, servers: Any) -> Any:
        if os.getpid() != self._pid:
            raise SystemExit(5)
        return super().new_picker(servers)


@pytest.mark.parametrize("is_made", [False, True])
def test_balancer_that_raises_in_a_forked_child_harms_no_other_channel(is_made: bool) -> None:
    pid = os.getpid()

    def make(parameters: object) -> Any:
        if not is_made and os.getpid() != pid:
            raise SystemExit(5)
        return InOneProcess(pid)

    register_load_balancer("in_one_process", make)
    try:
        with (
            cluster(1) as servers,
            cluster_stub(servers.addresses, load_balancer="in_one_process") as (broken, _),
            cluster_stub(servers.addresses) as (works, _),
        ):
            broken.Echo(REQUEST)
            works.Echo(REQUEST)

            def child() -> None:
                with pytest.raises(RpcError, match="has named no server yet: 5"):
                    broken.Echo(REQUEST)
                assert works.Echo(REQUEST).message == "server 0"

            assert exit_code_of(fork(child)) == 0
            assert broken.Echo(REQUEST).message == "server 0"
    finally:
        unregister_load_balancer("in_one_process")


def speak_smtp(peer: Peer) -> None:
    """The script of a server that is another one."""
    peer.send(b"220 mail.example.com ESMTP ready\r\n" * 4)
    peer.wait_closed()


@pytest.mark.parametrize("protocol", ["baidu_std", "http"])
def test_server_that_speaks_another_protocol_is_ejected(protocol: str) -> None:
    """Else it would keep its share of the calls, all of which fail."""
    with cluster(2) as servers, ScriptedServer(speak_smtp) as other:
        where = [other.address, *servers.addresses]
        with cluster_stub(where, protocol=protocol, max_retry=0) as (stub, channel):

            def call_until_ejected() -> bool:
                with contextlib.suppress(RpcError):
                    stub.Echo(REQUEST)
                return bool(channel.servers()[0].state == "ejected")

            wait_until(call_until_ejected)
            assert min(servers.calls) > 0


def by_stub(channel: Any) -> None:
    pybrpc.Stub(ECHO, channel).Echo(REQUEST)


def by_http(channel: Any) -> None:
    channel.http("GET", "/health")


def by_stream(channel: Any) -> None:
    with channel.http("GET", "/health", stream=True) as response:
        response.body.read()


def answering(head: bytes) -> Script:
    """The script of an HTTP server that answers all requests with this head."""

    def script(peer: Peer) -> None:
        while peer._receive():
            peer.send(b"HTTP/1.1 %b\r\nContent-Length: 0\r\n\r\n" % head)

    return script


@pytest.mark.parametrize("call", [by_stub, by_http, by_stream])
@pytest.mark.parametrize(
    ("head", "is_fault"),
    [
        (b"503 Service Unavailable", True),
        (b"404 Not Found", False),
        (b"503 Busy\r\nx-bd-error-code: 2004", False),
    ],
)
def test_server_that_answers_5xx_is_at_fault(
    call: Callable[[Any], None], head: bytes, is_fault: bool
) -> None:
    with ScriptedServer(answering(head)) as server:
        options: Any = {"protocol": "http", "max_retry": 0, "timeout": 10}
        with pybrpc.Channel([server.address], **options) as channel:
            for _ in range(5):
                with contextlib.suppress(RpcError):
                    call(channel)
            source: Any = channel._used_source
            (inside,) = source.router.servers
            if is_fault:
                wait_until(lambda: inside.health.state != "up")
            else:
                assert inside.health.breaker._consecutive == 0


def test_servers_have_connections_only_once_they_are_called() -> None:
    with cluster(3) as servers:
        others = [f"127.0.0.1:{port}" for port in range(1, 200)]
        called = [f"{address} zone=here" for address in servers.addresses]
        where = [*others, *called]
        with cluster_stub(where, load_balancer="rr:zone=here") as (stub, channel):
            assert sum(answers(stub, 30).values()) == 30
            assert len(channel.servers()) == len(where)
            assert channel.endpoint_statistics().created == 3
            described = repr(channel._used_source._connections)
            assert described == "<ServerConnections of 3 servers>"


def test_servers_that_another_channel_knows_to_be_down_are_not_called() -> None:
    """More of them than a call asks before it waits."""
    with contextlib.ExitStack() as stack:
        ports = []
        for _ in range(3 * MAX_BUSY):
            bound = stack.enter_context(socket.socket())  # It does not listen.
            bound.bind(("127.0.0.1", 0))
            ports.append(bound.getsockname()[1])
        for port in ports:
            other = stack.enter_context(pybrpc.Channel(f"127.0.0.1:{port}", max_retry=0))
            with pytest.raises(RpcError):
                pybrpc.Stub(ECHO, other).Echo(REQUEST)
        servers = stack.enter_context(cluster(1))
        where = [*(f"127.0.0.1:{port}" for port in ports), *servers.addresses]
        options = {"load_balancer": "rr", "max_retry": 0, "timeout": 30}
        stub, channel = stack.enter_context(cluster_stub(where, **options))
        assert answers(stub, 40) == {"server 0": 40}
        states = [status.state for status in channel.servers()]
        assert states == ["down"] * len(ports) + ["up"]


def test_server_that_has_gone_is_down_before_a_call_finds_out() -> None:
    options: dict[str, Any] = {"load_balancer": "rr", "max_retry": 0}
    with cluster(2) as servers, cluster_stub(servers.addresses, **options) as (stub, channel):
        answers(stub, 4)
        servers.members[0].stop()
        wait_for_state(channel, servers.members[0], "down")
        assert answers(stub, 20) == {"server 1": 20}


def test_server_that_accepts_and_closes_is_not_dialled_again_and_again() -> None:
    with ScriptedServer(lambda peer: None) as bad, cluster(1) as servers:
        where = [bad.address, *servers.addresses]
        with cluster_stub(where, load_balancer="rr", circuit_breaker=False) as (stub, _):
            calls = 6
            for _ in range(calls):
                with contextlib.suppress(RpcError):
                    stub.Echo(REQUEST)
            wait_until(lambda: bad.connections > calls // 2)
            time.sleep(0.5)  # Without a limit there would be thousands.
            assert bad.connections <= 3 * calls


@pytest.mark.parametrize("error", [MemoryError("no"), SystemExit(3)], ids=repr)
def test_attempt_that_gets_no_connection_as_something_raises_is_not_in_flight(
    error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    def raises(*arguments: Any) -> Any:
        raise error

    with cluster(2) as servers, cluster_stub(servers.addresses) as (stub, channel):
        answers(stub, 4)
        with monkeypatch.context() as patch:
            patch.setattr(SingleConnections, "get_now", raises)
            for source in channel._used_source._connections.sources():
                source.live = None
            with pytest.raises(type(error)):
                stub.Echo(REQUEST)
        assert [status.in_flight for status in channel.servers()] == [0, 0]
        assert sum(answers(stub, 4).values()) == 4
