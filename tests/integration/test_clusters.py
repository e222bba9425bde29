"""Channels to several servers: how they are made, and which servers get the calls."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest

import pybrpc
from pybrpc.errors import AddressError, AuthenticationError, ErrorCode, RpcError
from tests.peers.callers import FORMS, caller
from tests.peers.clusters import (
    REQUEST,
    answers,
    cluster,
    cluster_stub,
)
from tests.peers.echo import ECHO
from tests.peers.passwords import Password
from tests.peers.tls import certificates

EVEN = {"server 0": 10, "server 1": 10, "server 2": 10}


@pytest.mark.parametrize("form", FORMS)
def test_calls_of_every_form_go_to_the_servers_by_turns(form: str) -> None:
    with (
        cluster() as servers,
        caller(form, servers.addresses, load_balancer="rr") as client,  # type: ignore[arg-type]
    ):
        names = [answer.message for answer in client.call_many([REQUEST] * 30)]
        assert {name: names.count(name) for name in sorted(names)} == EVEN


@pytest.mark.parametrize("connection_type", ["single", "pooled", "short", "auto"])
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


def test_tls_and_credentials_can_be_used() -> None:
    with cluster(tls=certificates().server_tls(), auth=Password("of all")) as servers:
        options: dict[str, Any] = {"tls": certificates().client_tls()}
        with cluster_stub(servers.addresses, auth=Password("of all"), **options) as (stub, _):
            assert answers(stub, 30) == EVEN
        with cluster_stub(servers.addresses, auth=Password("another"), **options) as (stub, _):
            with pytest.raises(AuthenticationError):
                stub.Echo(REQUEST)


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


def test_error_says_that_the_filter_accepts_no_server() -> None:
    with (
        cluster(1) as servers,
        cluster_stub(servers.addresses, server_filter=lambda node: False) as (stub, _),
        pytest.raises(RpcError, match="names no server that server_filter accepts"),
    ):
        answers(stub, 1)


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
            with pytest.raises(RpcError, match="load balancer broken raised") as raised:
                stub.Echo(REQUEST)
            assert raised.value.code == ErrorCode.EINTERNAL
        assert channel.servers()[0].in_flight == 0


@pytest.mark.parametrize("error", [LookupError("mine"), SystemExit(1)])
@pytest.mark.parametrize("options", [{}, {"cluster_recover": pybrpc.ClusterRecover(1, 1.0)}])
def test_balancer_that_makes_no_picker_fails_the_calls_at_once(
    error: BaseException, options: Any
) -> None:
    class Broken:
        def new_picker(self, servers: Any) -> Any:
            raise error

    for where in (["127.0.0.1:1"], "list://127.0.0.1:1"):
        with cluster_stub(where, load_balancer=Broken(), **options) as (stub, _):
            with pytest.raises(RpcError, match="has named no server yet") as raised:
                stub.Echo(REQUEST, timeout=None)
            assert raised.value.code == errno.ENODATA


class NoBreakers(pybrpc.OutlierDetection):
    def new_server_breaker(self) -> Any:
        return object()


@pytest.mark.parametrize(
    ("breaker", "error"),
    [(pybrpc.CircuitBreaker(), NotImplementedError), (NoBreakers(), TypeError)],
)
def test_breaker_that_makes_none_for_servers_is_refused(
    breaker: pybrpc.CircuitBreaker, error: type[Exception]
) -> None:
    with pytest.raises(error, match="new_server_breaker"):
        pybrpc.Channel(["127.0.0.1:1"], circuit_breaker=breaker)


def test_cluster_types_are_public() -> None:
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
