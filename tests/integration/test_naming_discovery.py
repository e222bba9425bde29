"""discovery:// against a stand-in that answers as bilibili's discovery does, and with faults.

bRPC's test `discovery_sanity` is in tests/integration/test_acceptance_naming.py.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from pybrpc.errors import AddressError
from pybrpc.naming import watch
from tests.peers.discovery_stand_in import DiscoveryStandIn, instance
from tests.peers.http_stand_in import Fault
from tests.peers.naming_watchers import RecordingWatcher, watching

QUICK = "retry=0.01&max_retry=0.05&confirm_interval=0.01&interval=0.02"
POLLS, FETCHS, NODES = "/discovery/polls", "/discovery/fetchs", "/discovery/nodes"
ONE = "10.0.0.1:80 zone=sh001"


@pytest.fixture
def discovery() -> Iterator[DiscoveryStandIn]:
    with DiscoveryStandIn(instance("grpc://10.0.0.1:80")) as made:
        yield made


@contextlib.contextmanager
def watching_app(discovery: DiscoveryStandIn, options: str = "") -> Iterator[RecordingWatcher]:
    with watching(f"discovery://{discovery.address}/admin.test?{QUICK}&{options}") as watcher:
        yield watcher


def test_changes_come_by_long_polls(discovery: DiscoveryStandIn) -> None:
    with watching_app(discovery, "env=uat&zone=sh001") as watcher:
        watcher.wait_list(ONE)
        discovery.wait_for(lambda: discovery.count(POLLS) == 2)
        first, second = [each for each in discovery.requests if each.path == POLLS]
        assert [first.field(name) for name in ("appid", "env", "zone", "status")] == [
            "admin.test",
            "uat",
            "sh001",
            "1",
        ]
        assert first.field("latest_timestamp") == "0"
        assert second.field("latest_timestamp") == str(discovery.timestamp)
        discovery.set(instance("10.0.0.2:80"))
        watcher.wait_list("10.0.0.2:80 zone=sh001")
        assert watcher.errors == []


def test_poll_that_ends_without_a_change_is_no_error() -> None:
    with DiscoveryStandIn(instance("grpc://10.0.0.1:80"), poll_s=0.01) as discovery:
        with watching_app(discovery) as watcher:
            discovery.wait_for(lambda: discovery.count(POLLS) > 4)
            assert watcher.lists == [[ONE]]
            assert watcher.errors == []


def test_without_long_polls_it_is_asked_at_intervals(discovery: DiscoveryStandIn) -> None:
    with watching_app(discovery, "long_poll=false") as watcher:
        watcher.wait_list(ONE)
        discovery.set(instance("grpc://10.0.0.2:80"))
        watcher.wait_list("10.0.0.2:80 zone=sh001")
        assert discovery.count(POLLS) == 0
        assert discovery.count(FETCHS) >= 2


@pytest.mark.parametrize("by_zone", [True, False])
def test_instances_come_by_zone_or_as_a_list(by_zone: bool) -> None:
    instances = instance("grpc://10.0.0.1:80"), instance("grpc://10.0.0.2:80", zone="sh002")
    with DiscoveryStandIn(*instances, by_zone=by_zone) as discovery:
        with watching_app(discovery) as watcher:
            watcher.wait_list(ONE, "10.0.0.2:80 zone=sh002")


def test_weights_and_malformed_instances(discovery: DiscoveryStandIn) -> None:
    discovery.set(
        instance("http://10.0.0.1:80", "grpc://10.0.0.1:81", metadata={"weight": "10"}),
        instance("http://10.0.0.2:80"),
        instance("grpc://none"),
        instance(metadata=5, addrs=[7]),
        instance("grpc://10.0.0.3:80", status=2),
        instance("10.0.0.4:80", zone="", metadata={"tag": "0/4", "weight": 0.5}),
    )
    with watching_app(discovery) as watcher:
        watcher.wait_list("10.0.0.1:81 weight=10 zone=sh001", "10.0.0.4:80 0/4 weight=0.5")


def test_nodes_get_the_requests_and_are_asked_for_again_when_they_fail(
    discovery: DiscoveryStandIn,
) -> None:
    with DiscoveryStandIn(instance("grpc://10.0.0.7:80")) as node:
        discovery.nodes = [
            {"addr": node.address, "status": 0},
            {"addr": "10.255.255.1:7171", "status": 1},
            {"addr": 5, "status": 0},
        ]
        with watching_app(discovery) as watcher:
            watcher.wait_list("10.0.0.7:80 zone=sh001")
            assert discovery.count(POLLS) == 0
            discovery.nodes = []
            node.faults.append(Fault(status=500))
            node.set(instance("grpc://10.0.0.7:80"))
            watcher.wait_list(ONE)


def test_nodes_that_are_not_known_are_the_given_hosts(discovery: DiscoveryStandIn) -> None:
    discovery.faults.append(Fault(status=404))
    with watching_app(discovery) as watcher:
        watcher.wait_list(ONE)


def test_unknown_application_counts_as_an_empty_list(discovery: DiscoveryStandIn) -> None:
    with watching_app(discovery) as watcher:
        watcher.wait_list(ONE)
        discovery.is_known = False
        discovery.set()
        watcher.wait_error("1 of 3")
        watcher.wait_list()
        discovery.is_known = True
        discovery.set(instance("grpc://10.0.0.2:80"))
        watcher.wait_list("10.0.0.2:80 zone=sh001")


FAULTS = {
    "500": (Fault(status=500), "status 500"),
    "code": (Fault(body=b'{"code": -500}'), "code -500"),
    "hang": (Fault(hangs=True), "timed out"),
    "truncated": (Fault(truncated=True), "IncompleteRead"),
    "no data": (Fault(body=b'{"code": 0}'), "no 'admin.test' that is a dict"),
    "no instances": (Fault(body=b'{"code": 0, "data": {"admin.test": {}}}'), "no 'instances'"),
    "not an object": (Fault(body=b"[]"), "code -500"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_keep_the_last_list(discovery: DiscoveryStandIn, fault: str) -> None:
    discovery.faults.extend([Fault(), Fault(), FAULTS[fault][0]])
    with watching_app(discovery, "long_poll=false&timeout=0.1") as watcher:
        watcher.wait_error(FAULTS[fault][1])
        assert watcher.lists == [[ONE]]
        discovery.set(instance("grpc://10.0.0.9:80"))
        watcher.wait_list("10.0.0.9:80 zone=sh001")


@pytest.mark.parametrize("rest", ["", "app", "h/", "h:x/app", "h/app?colour=red"])
def test_wrong_urls_are_refused(rest: str) -> None:
    with pytest.raises(AddressError):
        watch(f"discovery://{rest}", RecordingWatcher())
