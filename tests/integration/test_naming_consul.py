"""consul:// against a stand-in of the agent, which answers as Consul documents it, and with faults.

bRPC's test `consul_with_backup_file` is in tests/integration/test_acceptance_naming.py.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from pybrpc.errors import AddressError
from pybrpc.naming import watch
from tests.peers.consul_stand_in import ConsulStandIn, item
from tests.peers.http_stand_in import Fault
from tests.peers.naming_watchers import RecordingWatcher, watching
from tests.peers.redis_server import free_port

QUICK = "retry=0.01&max_retry=0.05&confirm_interval=0.01"
ECHO = "/v1/health/service/echo"


@pytest.fixture
def consul() -> Iterator[ConsulStandIn]:
    with ConsulStandIn(item("10.0.0.1:80", ("main", "3")), item("10.0.0.2:80")) as made:
        yield made


@contextlib.contextmanager
def watching_echo(
    consul: ConsulStandIn, options: str = "", wait: str = "20"
) -> Iterator[RecordingWatcher]:
    with watching(f"consul://{consul.address}/echo?wait={wait}&{QUICK}&{options}") as watcher:
        yield watcher


def test_changes_come_by_blocking_queries(consul: ConsulStandIn) -> None:
    with watching_echo(consul) as watcher:
        watcher.wait_list("10.0.0.1:80 main 3", "10.0.0.2:80")
        consul.wait_for(lambda: consul.count(ECHO) == 2)
        first, second = consul.requests
        assert {"passing", "stale"} <= first.fields.keys()
        assert "index" not in first.fields
        assert (second.field("index"), second.field("wait")) == ("10", "20000ms")
        consul.set(item("10.0.0.3:80"))
        watcher.wait_list("10.0.0.3:80")
        consul.wait_for(lambda: consul.count(ECHO) == 3)
        assert consul.requests[-1].field("index") == "11"
        assert watcher.errors == []


def test_query_that_returns_without_a_change_changes_nothing(consul: ConsulStandIn) -> None:
    with watching_echo(consul, wait="0.01") as watcher:
        consul.wait_for(lambda: consul.count(ECHO) > 4)
        assert len(watcher.lists) == 1
        assert watcher.errors == []


def test_index_that_goes_backwards_starts_from_the_beginning(consul: ConsulStandIn) -> None:
    """As after a restore of a snapshot: a client that keeps the old index would wait for ever."""
    with watching_echo(consul) as watcher:
        watcher.wait_list("10.0.0.1:80 main 3", "10.0.0.2:80")
        consul.wait_for(lambda: consul.count(ECHO) == 2)
        consul.set(item("10.0.0.4:80"), index=5)
        watcher.wait_list("10.0.0.4:80")
        consul.wait_for(lambda: consul.count(ECHO) == 4)
        asked = [request.field("index", "none") for request in consul.requests]
        assert asked == ["none", "10", "none", "5"]
        consul.set(item("10.0.0.5:80"), index=6)
        watcher.wait_list("10.0.0.5:80")


@pytest.mark.parametrize("index", [0, -7])
def test_index_that_is_no_number_above_0_is_none(index: int) -> None:
    with ConsulStandIn(item("10.0.0.1:80"), index=index) as consul:
        with watching_echo(consul, "interval=0.02") as watcher:
            watcher.wait_list("10.0.0.1:80")
            consul.set(item("10.0.0.2:80"), index=index)
            watcher.wait_list("10.0.0.2:80")
            assert all("index" not in request.fields for request in consul.requests)


def test_server_without_an_index_is_asked_at_intervals(consul: ConsulStandIn) -> None:
    consul.sends_index = False
    with watching_echo(consul, "interval=0.02") as watcher:
        consul.wait_for(lambda: consul.count(ECHO) > 3)
        assert len(watcher.lists) == 1


def test_only_passing_instances_unless_the_url_says_otherwise(consul: ConsulStandIn) -> None:
    consul.set(item("10.0.0.1:80"), item("10.0.0.2:80", passing=False))
    with watching_echo(consul) as watcher:
        watcher.wait_list("10.0.0.1:80")
    with watching_echo(consul, "passing=false") as watcher:
        watcher.wait_list("10.0.0.1:80", "10.0.0.2:80")


def test_weights_addresses_of_nodes_and_malformed_items(consul: ConsulStandIn) -> None:
    consul.set(
        item("10.0.0.1:80", Address=""),
        item("10.0.0.2:80", ("a",), Weights={"Passing": 7}),
        item("10.0.0.3:80", ("5",), Weights={"Passing": 7}),
        item("10.0.0.4:80", Address="fe00::1"),
        item("10.0.0.5:80", Port="80"),
        {"Service": 5, "Checks": []},
    )
    with watching_echo(consul) as watcher:
        watcher.wait_list("10.0.0.1:80", "10.0.0.2:80 a weight=7", "10.0.0.3:80 5", "[fe00::1]:80")


def test_token_and_filters_are_sent(consul: ConsulStandIn) -> None:
    with watching_echo(consul, "token=hunter2&dc=dc2&ns=team&tag=main&filter=x&stale=0"):
        consul.wait_for(lambda: len(consul.requests) > 0)
        request = consul.requests[0]
        assert request.headers["X-Consul-Token"] == "hunter2"
        assert [request.field(name) for name in ("dc", "ns", "tag", "filter")] == [
            "dc2",
            "team",
            "main",
            "x",
        ]
        assert "stale" not in request.fields
        assert "token" not in request.fields


FAULTS = {
    "500": (Fault(status=500, body=b"No cluster leader"), "status 500"),
    "hang": (Fault(hangs=True), "timed out"),
    "closed": (Fault(drops=True), "closed"),
    "truncated": (Fault(truncated=True), "IncompleteRead"),
    "no JSON": (Fault(body=b"<html>"), "no JSON"),
    "no list": (Fault(body=b"{}"), "no list"),
    "nothing usable": (Fault(body=b'[{"Service": {}}]'), "no server can be used"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_keep_the_last_list(consul: ConsulStandIn, fault: str) -> None:
    # The one that closes a kept connection is sent once more, over a new one.
    consul.faults.extend([Fault(), *[FAULTS[fault][0]] * (2 if fault == "closed" else 1)])
    with watching_echo(consul, "timeout=0.1", wait="0.05") as watcher:
        watcher.wait_error(FAULTS[fault][1])
        assert watcher.lists == [["10.0.0.1:80 main 3", "10.0.0.2:80"]]
        consul.set(item("10.0.0.9:80"))
        watcher.wait_list("10.0.0.9:80")


def test_empty_list_is_confirmed_without_waiting_for_a_change(consul: ConsulStandIn) -> None:
    with watching_echo(consul, "confirm_empty=2") as watcher:
        watcher.wait_list("10.0.0.1:80 main 3", "10.0.0.2:80")
        consul.set()
        watcher.wait_list()
        assert "1 of 2" in str(watcher.errors[0])
    consul.set(item("10.0.0.1:80"))
    with watching_echo(consul, "allow_empty=true") as watcher:
        watcher.wait_list("10.0.0.1:80")
        consul.set()
        watcher.wait_list()
        assert watcher.errors == []


def test_short_outage_with_an_empty_answer_is_not_seen(consul: ConsulStandIn) -> None:
    consul.faults.extend([Fault(), Fault(body=b"[]")])
    with watching_echo(consul, wait="0.05") as watcher:
        watcher.wait_error("1 of 3")
        consul.wait_for(lambda: consul.count(ECHO) > 4)
        assert len(watcher.lists) == 1


def test_consul_that_is_started_later_is_found() -> None:
    port = free_port()
    with watching(f"consul://127.0.0.1:{port}/echo?{QUICK}") as watcher:
        watcher.wait_error("refused")
        assert watcher.last is None
        with ConsulStandIn(item("10.0.0.1:80"), port=port):
            watcher.wait_list("10.0.0.1:80")


@pytest.mark.parametrize(
    "rest",
    ["", "h:8500/", "h:port/x", "h/x?wait=0", "h/x?wait=601", "h/x?colour=red", "a@b@h/x"],
)
def test_wrong_urls_are_refused(rest: str) -> None:
    with pytest.raises(AddressError):
        watch(f"consul://{rest}", RecordingWatcher())
