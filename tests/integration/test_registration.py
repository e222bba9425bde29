"""Servers in naming services: a real etcd, and stand-ins of consul, nacos and discovery."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pybrpc.base.endpoint import Endpoint
from pybrpc.errors import AddressError, NamingError
from pybrpc.naming import NamingUrl, Registration, ServerNode, register
from pybrpc.naming.registration.discovery_registrar import DiscoveryRegistrar
from pybrpc.naming.registration.nacos_registrar import NacosRegistrar
from pybrpc.naming.services.nacos_naming import MIN_INTERVAL_S
from tests.peers.consul_stand_in import ConsulStandIn
from tests.peers.discovery_stand_in import DiscoveryStandIn
from tests.peers.etcd_server import EtcdServer
from tests.peers.http_stand_in import Answer, Fault, HttpStandIn, Request, eventually
from tests.peers.nacos_stand_in import NacosStandIn
from tests.peers.naming_watchers import watching
from tests.peers.redis_server import free_port


@contextlib.contextmanager
def registered(where: str, node: Any = "10.0.0.1:80 3 zone=a") -> Iterator[Registration]:
    registration = register(where, node)
    try:
        assert registration.wait_registered(20)
        yield registration
    finally:
        registration.deregister()


@pytest.mark.program("etcd")
def test_etcd_key_lives_by_its_lease_and_ends_with_it(tmp_path: Path) -> None:
    with EtcdServer(tmp_path) as etcd:
        url = f"etcd://{etcd.address}/svc"
        with watching(f"{url}?confirm_interval=0.01") as watcher:
            with registered(f"{url}?ttl=1") as registration:
                watcher.wait_list("10.0.0.1:80 3 zone=a")
                assert etcd.keys("svc/") == {"svc/10.0.0.1:80": "3 zone=a"}
                renewed_s = registration.state.renewed_s
                eventually(lambda: registration.state.renewed_s > renewed_s)
                with registered(url, "10.0.0.2:80"):
                    watcher.wait_list("10.0.0.1:80 3 zone=a", "10.0.0.2:80")
                watcher.wait_list("10.0.0.1:80 3 zone=a")
                assert repr(registration) == (
                    f"<Registration of 10.0.0.1:80 3 zone=a at {url}?ttl=1, registered>"
                )
            watcher.wait_list()
            assert etcd.keys("svc/") == {}
            assert registration.deregister()


@pytest.mark.program("etcd")
def test_etcd_key_whose_lease_has_ended_is_made_anew(tmp_path: Path) -> None:
    with EtcdServer(tmp_path) as etcd:
        with registered(f"etcd://{etcd.address}/svc?ttl=1"):
            lease = etcd.call("lease/leases")["leases"][0]["ID"]
            etcd.call("lease/revoke", ID=lease)
            assert etcd.keys("svc/") == {}
            eventually(lambda: len(etcd.keys("svc/")) == 1)


@pytest.mark.program("etcd")
def test_etcd_that_comes_back_without_data_gets_the_key_again(tmp_path: Path) -> None:
    with EtcdServer(tmp_path) as etcd:
        with registered(f"etcd://{etcd.address}/svc?ttl=1") as registration:
            etcd.wipe()
            eventually(lambda: registration.state.failures > 0)
            assert "refused" in str(registration.state.error)
            etcd.start()
            eventually(lambda: len(etcd.keys("svc/")) == 1)


def test_consul_gets_a_service_with_a_check_that_is_passed() -> None:
    with ConsulStandIn() as consul:
        with registered(f"consul://{consul.address}/echo?ttl=1&token=hunter2"):
            body = consul.registered["echo-10.0.0.1:80"]
            assert (body["Name"], body["Address"], body["Port"]) == ("echo", "10.0.0.1", 80)
            assert body["Tags"] == ["3", "zone=a"]
            assert body["Weights"] == {"Passing": 3, "Warning": 1}
            assert body["Check"] == {
                "TTL": "1s",
                "Status": "passing",
                "DeregisterCriticalServiceAfter": "60s",
            }
            assert consul.requests[0].headers["X-Consul-Token"] == "hunter2"
            assert consul.requests[0].method == "PUT"
            passed = dict(consul.passed)
            eventually(lambda: consul.passed != passed)
            consul.forget_registrations()
            eventually(lambda: "echo-10.0.0.1:80" in consul.registered)
        assert consul.registered == {}


def test_nacos_gets_an_instance_with_beats() -> None:
    with NacosStandIn(needs_login=True) as nacos:
        options = "serviceName=test&groupName=g1&namespaceId=n1&clusters=wx"
        where = f"nacos://nacos:nacos@{nacos.address}/?{options}"
        with registered(f"{where}&interval=0.02"):
            fields = nacos.registered["10.0.0.1:80"]
            assert fields["weight"] == "3"
            assert fields["ephemeral"] == "true"
            assert (fields["groupName"], fields["clusterName"]) == ("g1", "wx")
            assert json.loads(fields["metadata"]) == {"tag": "3 zone=a"}
            nacos.wait_for(lambda: nacos.count("/nacos/v1/ns/instance/beat") > 0, 30)
            nacos.hosts = nacos.registered_hosts()
            with watching(where) as watcher:
                watcher.wait_list("10.0.0.1:80 3 zone=a")
            nacos.revoke_tokens()
            nacos.registered.clear()
            eventually(lambda: "10.0.0.1:80" in nacos.registered)
        assert nacos.registered == {}


def test_discovery_gets_an_instance_that_is_renewed() -> None:
    with DiscoveryStandIn() as discovery:
        where = f"discovery://{discovery.address}/admin.test?env=uat&hostname=me&interval=0.02"
        with registered(where):
            fields = discovery.registered["me"]
            assert fields["addrs"] == ["grpc://10.0.0.1:80"]
            assert (fields["env"], fields["zone"], fields["status"]) == (["uat"], ["a"], ["1"])
            assert json.loads(fields["metadata"][0]) == {"tag": "3 zone=a", "weight": "3"}
            discovery.wait_for(lambda: discovery.count("/discovery/renew") > 1)
            discovery.registered.clear()
            eventually(lambda: "me" in discovery.registered)
        assert discovery.registered == {}


def of_consul(server: HttpStandIn) -> str:
    return f"consul://{server.address}/echo?ttl=1&timeout=0.1"


def of_nacos(server: HttpStandIn) -> str:
    return f"nacos://{server.address}/?serviceName=test&timeout=0.1"


def of_discovery(server: HttpStandIn) -> str:
    return f"discovery://{server.address}/admin.test?interval=0.05&timeout=0.1"


KINDS = {
    "consul": (ConsulStandIn, of_consul),
    "nacos": (NacosStandIn, of_nacos),
    "discovery": (DiscoveryStandIn, of_discovery),
}
Kind = tuple[Callable[[], Any], Callable[[HttpStandIn], str]]


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Kind:
    return KINDS[request.param]


@pytest.mark.parametrize(
    "fault", [Fault(status=500), Fault(drops=True), Fault(hangs=True), Fault(truncated=True)]
)
def test_failures_are_tried_again(kind: Kind, fault: Fault) -> None:
    with kind[0]() as server:
        server.standing_fault = fault
        registration = register(kind[1](server), "10.0.0.1:80")
        eventually(lambda: registration.state.failures > 0 or bool(server.registered))
        server.standing_fault = Fault()
        assert registration.wait_registered(20)
        assert registration.deregister()
        assert server.registered == {}


def test_deregistering_does_not_wait_for_a_request_that_hangs(kind: Kind) -> None:
    with kind[0]() as server:
        server.standing_fault = Fault(hangs=True)
        registration = register(kind[1](server).replace("timeout=0.1", "timeout=60"), "10.0.0.1:80")
        server.wait_for(lambda: len(server.requests) > 0)
        server.standing_fault = Fault()
        registration.deregister()
        eventually(lambda: not registration._background.is_running)
        assert server.registered == {}


def test_deregistering_without_waiting_is_done_in_the_background(kind: Kind) -> None:
    with kind[0]() as server:
        with registered(kind[1](server)) as registration:
            registration.deregister(0)
            eventually(lambda: not server.registered)
            eventually(lambda: not registration.state.is_registered)


def test_deregistering_again_does_not_interrupt_the_removal() -> None:
    with ConsulStandIn() as consul, registered(of_consul(consul)) as registration:
        consul.standing_fault = Fault(delay_s=0.05)
        for _ in range(20):
            registration.deregister(0.005)
        eventually(lambda: not registration._background.is_running)
        assert not registration.state.is_registered
        assert consul.registered == {}


class NonsenseStandIn(HttpStandIn):
    """Answers all requests with the same JSON."""

    def __init__(self, answer: Any) -> None:
        super().__init__()
        self._answer = answer

    def respond(self, request: Request) -> Answer:
        return Answer(self._answer)


@pytest.mark.parametrize("answer", [{}, {"ID": "0"}, {"ID": 0, "TTL": "10"}])
def test_etcd_that_grants_no_lease_gets_no_key(answer: Any) -> None:
    """A key without a lease would stay for ever."""
    with NonsenseStandIn(answer) as etcd:
        registration = register(f"etcd://{etcd.address}/svc", "10.0.0.1:80")
        eventually(lambda: registration.state.failures > 0)
        assert "granted no lease" in str(registration.state.error)
        assert registration.deregister()
        assert {request.path for request in etcd.requests} == {"/v3/lease/grant"}


def test_nacos_can_not_ask_for_beats_without_a_pause() -> None:
    with NonsenseStandIn({"clientBeatInterval": 1e-6}) as nacos:
        url = NamingUrl.parse(f"nacos://{nacos.address}/?serviceName=test")
        registrar = NacosRegistrar(url, ServerNode.parse("10.0.0.1:80"))
        assert registrar.renew()
        assert registrar.interval_s == MIN_INTERVAL_S
        registrar.close()


def test_deregistering_that_fails_says_so_and_ends() -> None:
    with ConsulStandIn() as consul:
        registration = register(of_consul(consul), "10.0.0.1:80")
        assert registration.wait_registered(20)
        consul.standing_fault = Fault(status=500)
        assert not registration.deregister()
        assert "status 500" in str(registration.state.error)
        assert not registration._background.is_running
        assert not registration.deregister(), "it is not tried for ever"


def test_server_that_was_never_registered_is_not_deregistered() -> None:
    port = free_port()
    registration = register(f"consul://127.0.0.1:{port}/echo", "10.0.0.1:80")
    eventually(lambda: registration.state.failures > 0)
    assert registration.deregister(), "there is no entry"
    assert not registration.wait_registered(0)


def test_codes_of_discovery_that_say_that_there_is_no_instance_are_no_errors() -> None:
    with DiscoveryStandIn() as discovery:
        url = NamingUrl.parse(of_discovery(discovery))
        registrar = DiscoveryRegistrar(url, ServerNode.parse("10.0.0.1:80"))
        assert not registrar.renew()
        registrar.deregister()
        discovery.faults.extend([Fault(body=b'{"code": -500}')] * 2)
        with pytest.raises(NamingError, match="code -500"):
            registrar.renew()
        with pytest.raises(NamingError, match="code -500"):
            registrar.deregister()
        registrar.close()


def test_renewals_that_fail_three_times_register_anew() -> None:
    with DiscoveryStandIn() as discovery:
        with registered(of_discovery(discovery)) as registration:
            discovery.faults.extend([Fault(status=500)] * 20)
            discovery.wait_for(lambda: discovery.count("/discovery/register") > 1)
            discovery.faults.clear()
            eventually(lambda: registration.state.is_registered)


@pytest.mark.parametrize(
    ("node", "text"),
    [
        ("10.0.0.1", "has no host and port"),
        ("0.0.0.0:80", "means all addresses of a host"),
        ("[::]:80", "means all addresses of a host"),
        ("unix:/tmp/x", "no address that clients of other hosts"),
        (Endpoint("10.0.0.1", 0), "no address that clients of other hosts"),
        ("", "a server is"),
        (5, "a server is"),
    ],
)
def test_addresses_that_no_client_can_reach_are_refused(node: Any, text: str) -> None:
    with pytest.raises(AddressError, match=text):
        register("consul://127.0.0.1/echo", node)


@pytest.mark.parametrize(
    "where",
    [
        "list://10.0.0.1:80",
        "file:///x",
        "nothing",
        "etcd://h/x?ttl=0",
        "etcd://h/x?wait=5",
        "consul://h/",
        "nacos://h/?groupName=x",
        "discovery://h/",
    ],
)
def test_places_to_which_servers_can_not_be_registered_are_refused(where: str) -> None:
    with pytest.raises(AddressError):
        register(where, ServerNode.parse("10.0.0.1:80"))
