"""Channels to several servers, over real connections."""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import threading
import time
import weakref
from pathlib import Path
from typing import Any

import pytest

import pybrpc
from pybrpc.client.cluster.breaking.outlier_detection import OutlierDetection
from pybrpc.errors import AddressError, ErrorCode, RpcError, RpcTimeoutError
from pybrpc.transport.runtime import default_runtime
from tests.fakes.threads import wait_until
from tests.peers.callers import FORMS, caller
from tests.peers.clusters import (
    REQUEST,
    Cluster,
    Load,
    answers,
    cluster,
    cluster_stub,
    state_of,
    wait_for_state,
)
from tests.peers.echo import ECHO
from tests.peers.forking import exit_code_of, fork

EVEN = {"server 0": 10, "server 1": 10, "server 2": 10}


@pytest.mark.parametrize("form", FORMS)
def test_calls_of_every_form_go_to_the_servers_by_turns(form: str) -> None:
    with (
        cluster() as servers,
        caller(form, servers.addresses, load_balancer="rr") as client,  # type: ignore[arg-type]
    ):
        names = [answer.message for answer in client.call_many([REQUEST] * 30)]
        assert {name: names.count(name) for name in sorted(names)} == EVEN


@pytest.mark.parametrize("connection_type", ["single", "pooled", "short"])
@pytest.mark.parametrize("protocol", ["baidu_std", "hulu_pbrpc", "sofa_pbrpc"])
def test_every_protocol_and_connection_type_can_be_used(
    protocol: str, connection_type: Any
) -> None:
    with (
        cluster() as servers,
        cluster_stub(servers.addresses, protocol=protocol, connection_type=connection_type) as (
            stub,
            _,
        ),
    ):
        assert answers(stub, 30) == EVEN


def test_http_can_be_used() -> None:
    with (
        cluster() as servers,
        cluster_stub(servers.addresses, protocol="http") as (stub, channel),
    ):
        assert answers(stub, 30) == EVEN
        assert channel.http("GET", "/health").status == 200


def test_servers_may_be_a_url_or_a_list_or_a_file(tmp_path: Path) -> None:
    with cluster() as servers:
        path = tmp_path / "servers"
        path.write_text("\n".join(servers.addresses))
        for where in (
            servers.addresses,
            tuple(pybrpc.ServerNode.parse(address) for address in servers.addresses),
            "list://" + ",".join(servers.addresses),
            f"file://{path}",
        ):
            with cluster_stub(where) as (stub, _):
                assert answers(stub, 30) == EVEN


def test_options_of_clusters_are_refused_for_one_server(dead_address: str) -> None:
    for name, value in {
        "load_balancer": "rr",
        "circuit_breaker": False,
        "cluster_recover": pybrpc.ClusterRecover(1, 1),
        "retry_budget": None,
        "server_filter": print,
    }.items():
        with pytest.raises(ValueError, match=f"{name} is for several servers"):
            pybrpc.Channel(dead_address, **{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("where", [["nonsense"], "nothing://x", [1], 17])
def test_wrong_servers_are_refused_where_they_are_given(where: Any) -> None:
    with pytest.raises((AddressError, ValueError)):
        pybrpc.Channel(where).close()


def test_wrong_balancer_is_refused_where_it_is_given() -> None:
    for name in ("nonsense", "p2c:choces=3"):
        with pytest.raises(ValueError, match=name.partition(":")[2][:4] or name):
            pybrpc.Channel(["127.0.0.1:1"], load_balancer=name)


def test_empty_list_is_enodata() -> None:
    with cluster_stub([]) as (stub, _), pytest.raises(RpcError) as raised:
        stub.Echo(REQUEST)
    assert raised.value.code == errno.ENODATA


def test_cluster_without_a_usable_server_is_ehostdown_with_the_reasons(dead_address: str) -> None:
    with cluster_stub([dead_address], max_retry=0) as (stub, channel):
        with pytest.raises(RpcError):
            stub.Echo(REQUEST)
        with pytest.raises(RpcError) as raised:
            stub.Echo(REQUEST)
        assert raised.value.code == errno.EHOSTDOWN
        assert f"{dead_address}: down, Fail to connect" in raised.value.text
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


def test_server_that_leaves_the_list_ends_its_calls_first(tmp_path: Path) -> None:
    path = tmp_path / "servers"
    with cluster(2) as servers:
        path.write_text("\n".join(servers.addresses))
        with cluster_stub(f"file://{path}") as (stub, channel):
            stub.Echo(REQUEST)
            busy = next(member for member in servers.members if not member.calls)
            entered, opened = threading.Event(), threading.Event()
            busy.behave = lambda request, controller: (entered.set(), opened.wait(10))
            future = stub.Echo.future(REQUEST)
            assert entered.wait(10)
            stays = next(member for member in servers.members if member is not busy)
            _replace(path, stays.address)
            wait_until(lambda: len(channel.servers()) == 1)
            assert answers(stub, 4) == {stays.name: 4}
            opened.set()
            assert future.result().message == busy.name


def _replace(path: Path, text: str) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_text(text)
    os.replace(fresh, path)


def test_calls_wait_for_a_server_of_an_empty_list(tmp_path: Path) -> None:
    path = tmp_path / "servers"
    path.write_text("")
    with cluster(1) as servers, cluster_stub(f"file://{path}", wait_for_ready=True) as (stub, _):
        future = stub.Echo.future(REQUEST)
        time.sleep(0.05)
        assert not future.done()
        _replace(path, servers[0].address)
        assert future.result(10).message == "server 0"


def test_call_waits_for_a_server_that_is_down_if_it_is_told_to(dead_address: str) -> None:
    with cluster_stub([dead_address], wait_for_ready=True, timeout=0.2) as (stub, _):
        with pytest.raises(RpcTimeoutError) as raised:
            stub.Echo(REQUEST)
        assert "is usable" in raised.value.text


def test_calls_wait_in_turn_while_all_pools_are_used_up() -> None:
    with (
        cluster(2) as servers,
        cluster_stub(servers.addresses, connection_type="pooled", max_pool_size=1) as (
            stub,
            channel,
        ),
    ):
        for member in servers.members:
            member.sleep(0.01)
        futures = [stub.Echo.future(REQUEST) for _ in range(20)]
        assert {future.result().message for future in futures} == {"server 0", "server 1"}
        statistics = channel.endpoint_statistics()
        assert statistics is not None
        assert statistics.created == 2


def test_closing_ends_calls_that_wait_and_calls_in_flight(dead_address: str) -> None:
    with cluster(1) as servers:
        servers[0].sleep(1)
        with cluster_stub(servers.addresses) as (stub, channel):
            flying = stub.Echo.future(REQUEST)
            wait_until(lambda: servers.calls == [1])
            channel.close()
            with pytest.raises(RpcError) as raised:
                flying.result(10)
            assert raised.value.code == ErrorCode.ECLOSE
        with cluster_stub([dead_address], wait_for_ready=True) as (stub, channel):
            waiting = stub.Echo.future(REQUEST)
            time.sleep(0.05)
            channel.close()
            with pytest.raises(RpcError) as raised:
                waiting.result(10)
            assert raised.value.code == ErrorCode.ECLOSE


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
        assert [code_of_a_call() for _ in range(10)] == [int(ErrorCode.EREJECT)] * 10
        for member in servers.members:
            member.start()
        wait_until(lambda: all(status.is_usable for status in channel.servers()))
        wait_until(lambda: code_of_a_call() == 0)
        time.sleep(0.25)
        assert {code_of_a_call() for _ in range(50)} == {0}


def test_hash_key_chooses_the_server() -> None:
    with (
        cluster(3) as servers,
        cluster_stub(servers.addresses, load_balancer="c_murmurhash") as (stub, _),
    ):
        for key in ("user 17", b"user 17", 17):
            controller = pybrpc.Controller()
            controller.hash_key = key
            assert len(answers(stub, 5, controller=controller)) == 1
        with pytest.raises(RpcError, match="hash_key") as raised:
            stub.Echo(REQUEST)
        assert raised.value.code == errno.EINVAL


@pytest.mark.parametrize("key", [-1, 2**64, 1.5, True, [1]])
def test_wrong_hash_key_is_refused(key: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="hash_key"):
        pybrpc.Controller().hash_key = key


def test_filter_leaves_servers_out() -> None:
    with cluster(3) as servers:
        nodes = [
            pybrpc.ServerNode.parse(address, tag)
            for address, tag in zip(servers.addresses, ("enable", "", "disable"), strict=True)
        ]
        with cluster_stub(nodes, server_filter=lambda node: node.tag == "enable") as (stub, _):
            assert answers(stub, 10) == {"server 0": 10}


def test_channels_share_the_connections_to_a_server() -> None:
    with (
        cluster(2) as servers,
        cluster_stub(servers.addresses) as (first, _),
        cluster_stub(servers.addresses[::-1]) as (second, channel),
        pybrpc.Channel(servers[0].address) as plain,
    ):
        for stub in (first, second, pybrpc.Stub(ECHO, plain)):
            answers(stub, 4)
        statistics = channel.endpoint_statistics()
        assert statistics is not None
        assert statistics.created == 2


def test_wait_ready_waits_for_the_first_list(tmp_path: Path) -> None:
    path = tmp_path / "servers"
    with cluster(1) as servers, cluster_stub(f"file://{path}") as (stub, channel):
        with pytest.raises(RpcError) as raised:
            channel.wait_ready(0.05)
        assert raised.value.code == errno.ENODATA
        timer = threading.Timer(0.05, lambda: path.write_text(servers[0].address))
        timer.start()
        channel.wait_ready(10)
        assert stub.Echo(REQUEST).message == "server 0"
        timer.join()


def test_server_status_tells_what_is_known() -> None:
    with cluster(2) as servers, cluster_stub(servers.addresses) as (stub, channel):
        assert channel.servers() == []
        answers(stub, 10)
        for status, address in zip(channel.servers(), servers.addresses, strict=True):
            assert str(status.endpoint) == address
            assert (status.state, status.why, status.in_flight) == ("up", "", 0)
            assert 0 < status.latency_us < 1e6
            assert status.since_s >= 0


def test_balancer_of_an_application_is_used() -> None:
    class Picker:
        def __init__(self, servers: Any) -> None:
            self.servers = servers

        def pick(self, tried: Any, hash_key: int | None, now: float) -> Any:
            return self.servers[-1]

        def on_begin(self, server: Any, now: float) -> None: ...

        def on_end(self, *arguments: Any) -> None: ...

    class Last:
        name = "last"
        needs_hash_key = False

        def new_picker(self, servers: Any) -> Picker:
            return Picker(servers)

    with cluster(3) as servers, cluster_stub(servers.addresses, load_balancer=Last()) as (stub, _):
        assert answers(stub, 10) == {"server 2": 10}


def test_balancer_that_raises_fails_the_call_and_no_more() -> None:
    class Broken:
        name = "broken"
        needs_hash_key = False

        def new_picker(self, servers: Any) -> Any:
            self.servers = servers
            return self

        def pick(self, *arguments: Any) -> Any:
            raise LookupError("mine")

        def on_begin(self, server: Any, now: float) -> None: ...

        def on_end(self, *arguments: Any) -> None: ...

    with (
        cluster(1) as servers,
        cluster_stub(servers.addresses, load_balancer=Broken()) as (stub, channel),
    ):
        for _ in range(3):
            with pytest.raises(RpcError, match="load balancer raised") as raised:
                stub.Echo(REQUEST)
            assert raised.value.code == ErrorCode.EINTERNAL
        assert channel.servers()[0].in_flight == 0


def test_forked_child_calls_the_cluster_anew() -> None:
    with cluster(2) as servers, cluster_stub(servers.addresses) as (stub, channel):
        answers(stub, 4)

        def in_child() -> None:
            assert sum(answers(stub, 10).values()) == 10
            assert all(status.in_flight == 0 for status in channel.servers())

        assert exit_code_of(fork(in_child)) == 0
        assert sum(answers(stub, 4).values()) == 4


def test_cluster_types_are_public() -> None:
    assert Cluster  # the helper of these tests, and no class of the library
    for name in (
        "CircuitBreaker",
        "ClusterRecover",
        "EmaCircuitBreaker",
        "OutlierDetection",
        "RetryBudget",
        "ServerNode",
        "ServerStatus",
    ):
        assert name in dir(pybrpc)


def test_channel_that_is_dropped_is_collected_and_leaves_nothing() -> None:
    with cluster(2) as servers:
        channel: Any = pybrpc.Channel(servers.addresses, load_balancer="rr", timeout=10)
        channel.kept_by_itself = channel
        answers(pybrpc.Stub(ECHO, channel), 4)
        reference = weakref.ref(channel)
        del channel
        with pytest.warns(ResourceWarning, match="unclosed channel"):
            gc.collect()
        assert reference() is None
        wait_until(lambda: not default_runtime().connections.all())
