"""zookeeper:// and its registrations with a fake kazoo; with a real one in tests/integration."""

from __future__ import annotations

import sys

import pytest

from pybrpc.naming import InterruptedFetchError, NamingUrl, register
from pybrpc.naming.services.zookeeper_naming import ZooKeeperNaming
from pybrpc.naming.wire import zookeeper_client
from tests.fakes.kazoo import FakeKazoo
from tests.peers.http_stand_in import eventually
from tests.peers.naming_watchers import watching

QUICK = "retry=0.01&max_retry=0.02&confirm_interval=0.01"


@pytest.fixture
def kazoo(monkeypatch: pytest.MonkeyPatch) -> FakeKazoo:
    made = FakeKazoo()
    monkeypatch.setitem(sys.modules, "kazoo.client", made.client_module)  # type: ignore[arg-type]
    monkeypatch.setitem(sys.modules, "kazoo.exceptions", made.exceptions)  # type: ignore[arg-type]
    return made


def test_lists_follow_the_nodes(kazoo: FakeKazoo) -> None:
    kazoo.nodes = {"/x/10.0.0.1:80": (b"3", 0), "/x/going": (b"gone", 0), "/other": (b"", 0)}
    with watching(f"zk://me:secret@h1,h2:5/x?session_timeout=7&{QUICK}") as watcher:
        watcher.wait_list("10.0.0.1:80 3")
        assert kazoo.clients[0].options == {
            "hosts": "h1:2181,h2:5",
            "timeout": 7.0,
            "auth_data": [("digest", "me:secret")],
        }
        kazoo.change("/x/10.0.0.2:80", b"")
        watcher.wait_list("10.0.0.1:80 3", "10.0.0.2:80")
        kazoo.change("/x/going", None)
        kazoo.change("/x/10.0.0.2:80", None)
        kazoo.change("/x/10.0.0.1:80", None)
        watcher.wait_error("1 of 3")
        watcher.wait_list()
    eventually(lambda: not kazoo.clients[0].is_open)


def test_errors_keep_the_list_and_have_no_traceback_of_kazoo(kazoo: FakeKazoo) -> None:
    kazoo.nodes = {"/x/10.0.0.1:80": (b"", 0)}
    with watching(f"zk://h/x?wait=0.02&{QUICK}") as watcher:
        watcher.wait_list("10.0.0.1:80")
        kazoo.error = TimeoutError()
        error = watcher.wait_error("zookeeper://h:2181/x: TimeoutError")
        assert error.__cause__ is None
        kazoo.error = None
        kazoo.change("/x/10.0.0.2:80", b"")
        watcher.wait_list("10.0.0.1:80", "10.0.0.2:80")


def test_interruption_ends_the_wait_for_a_change(kazoo: FakeKazoo) -> None:
    kazoo.nodes = {"/x/10.0.0.1:80": (b"", 0)}
    service = ZooKeeperNaming(NamingUrl.parse("zk://h/x?wait=600"))
    assert len(service.fetch()) == 1
    service.interrupt()
    with pytest.raises(InterruptedFetchError):
        service.fetch()
    assert len(service.fetch()) == 1
    service.close()


def test_connection_that_fails_is_made_anew(kazoo: FakeKazoo) -> None:
    kazoo.error = OSError("refused")
    kazoo.nodes = {"/x/10.0.0.1:80": (b"", 0)}
    with watching(f"zk://h/x?{QUICK}") as watcher:
        watcher.wait_error("refused")
        kazoo.error = None
        watcher.wait_list("10.0.0.1:80")
        assert len(kazoo.clients) > 1


def test_nodes_with_too_much_data_are_refused(
    kazoo: FakeKazoo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zookeeper_client, "MAX_ANSWER_BYTES", 10)
    kazoo.nodes = {f"/x/10.0.0.{number}:80": (b"1234", 0) for number in range(3)}
    with watching(f"zk://h/x?{QUICK}") as watcher:
        watcher.wait_error("the nodes have more than 10 bytes")


def test_registration_makes_its_node_and_replaces_that_of_an_earlier_session(
    kazoo: FakeKazoo,
) -> None:
    kazoo.nodes = {"/x/10.0.0.1:80": (b"3", 99)}
    registration = register("zk://h/x?interval=0.01", "10.0.0.1:80 3")
    assert registration.wait_registered(20)
    assert kazoo.nodes == {"/x/10.0.0.1:80": (b"3", 1)}
    kazoo.change("/x/10.0.0.1:80", None)
    eventually(lambda: "/x/10.0.0.1:80" in kazoo.nodes)
    assert registration.deregister()
    assert kazoo.nodes == {}
    assert not kazoo.clients[0].is_open
