"""list:// and dlist://: what is left out, and what a look-up that fails changes."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest

from pybrpc.errors import AddressError, NamingError
from pybrpc.naming import NamingUrl, ServerNode, watch
from pybrpc.naming.interfaces import InterruptedFetchError
from pybrpc.naming.services.list_naming import DynamicListNaming
from pybrpc.naming.wire.host_names import Family, HostNames, look_up
from tests.peers.naming_watchers import RecordingWatcher, watching


def test_list_is_given_at_once_in_its_order_without_a_thread() -> None:
    before = threading.active_count()
    with watching("list://b:2 3,  a:1 , b:2 4,b:2 3,[::1]:5 zone=x,unix:/tmp/s") as watcher:
        assert watcher.lists == [["b:2 3", "a:1", "b:2 4", "[::1]:5 zone=x", "unix:/tmp/s"]]
    assert threading.active_count() == before


def test_malformed_items_of_a_list_are_left_out() -> None:
    with watching("list://a:1,b,c:99999,,d:2 4 # x") as watcher:
        assert watcher.lists == [["a:1", "d:2 4"]]
    with watching("list://") as watcher:
        assert watcher.lists == [[]]


def test_list_that_is_too_long_is_refused_and_not_shown_as_a_whole() -> None:
    with pytest.raises(AddressError, match="more than 100000 servers") as caught:
        watch("list://" + "a:1," * 100_001, RecordingWatcher())
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("url", ["list://a,b", "list://a:x", "dlist://a:"])
def test_list_of_malformed_items_only_is_refused(url: str) -> None:
    with pytest.raises(AddressError, match="no server can be used"):
        watch(url, RecordingWatcher())


Found = dict[str, list[str]]


def resolving(found: Found) -> Callable[[str], list[tuple[bool, str]]]:
    def look_up(host: str) -> list[tuple[bool, str]]:
        if host not in found:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(":" in address, address) for address in found[host]]

    return look_up


def dynamic(url: str, found: Found) -> DynamicListNaming:
    made = DynamicListNaming(NamingUrl.parse(url))
    made._names = HostNames(Family.PREFER_IPV4, resolving(found))
    return made


def texts(servers: list[ServerNode]) -> list[str]:
    return [str(server) for server in servers]


def test_names_become_a_server_for_each_address() -> None:
    found = {"a": ["10.0.0.1", "10.0.0.2", "fe00::1"], "b": ["fe00::2"]}
    service = dynamic("dlist://a:1 3,10.9.9.9:1,b:2,unix:/x", found)
    assert texts(service.fetch()) == [
        "10.0.0.1:1 3",
        "10.0.0.2:1 3",
        "10.9.9.9:1",
        "[fe00::2]:2",
        "unix:/x",
    ]
    found["a"] = ["10.0.0.3"]
    assert texts(service.fetch())[:2] == ["10.0.0.3:1 3", "10.9.9.9:1"]


def test_name_whose_look_up_fails_keeps_its_addresses() -> None:
    found = {"a": ["10.0.0.1"], "b": ["10.0.0.2"]}
    service = dynamic("dlist://a:1,b:2,never:3", found)
    assert texts(service.fetch()) == ["10.0.0.1:1", "10.0.0.2:2"]
    del found["a"]
    found["b"] = ["10.0.0.4"]
    assert texts(service.fetch()) == ["10.0.0.1:1", "10.0.0.4:2"]


def test_nothing_that_can_be_looked_up_is_a_failure() -> None:
    service = dynamic("dlist://a:1", {})
    with pytest.raises(NamingError, match=r"look-up of 'a' failed.*not known"):
        service.fetch()


def test_interruption_ends_after_the_name_that_is_looked_up() -> None:
    service = dynamic("dlist://a:1,b:2", {"a": ["10.0.0.1"], "b": ["10.0.0.2"]})
    service.interrupt()
    with pytest.raises(InterruptedFetchError):
        service.fetch()
    assert len(service.fetch()) == 2


@pytest.mark.parametrize(
    ("family", "wanted"),
    [
        ("any", ["10.0.0.1"]),
        ("4", ["10.0.0.1"]),
        ("6", ["fe00::1"]),
        ("both", ["10.0.0.1", "fe00::1"]),
    ],
)
def test_family_says_which_addresses_count(family: str, wanted: list[str]) -> None:
    names = HostNames(Family(family), resolving({"a": ["fe00::1", "10.0.0.1", "10.0.0.1"]}))
    assert names.addresses_of("a") == wanted


def test_family_that_is_none_is_refused() -> None:
    with pytest.raises(AddressError, match="family must be any, 4, 6 or both, not '5'"):
        watch("dlist://a:1?family=5", RecordingWatcher())


def test_localhost_is_looked_up_by_the_system() -> None:
    with watching("dlist://localhost:80 x,10.0.0.1:1?family=4&interval=0.05") as watcher:
        watcher.wait_list("127.0.0.1:80 x", "10.0.0.1:1")
    assert (False, "127.0.0.1") in look_up("localhost")


@pytest.mark.parametrize("host", ["a..b", "x" * 300])
def test_name_that_can_not_be_one_is_a_failure(host: Any) -> None:
    with pytest.raises(NamingError, match="failed"):
        HostNames(Family.BOTH).addresses_of(host)
