"""zookeeper:// with a real ZooKeeper: changes, ephemeral nodes, sessions, restarts."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pybrpc.errors import AddressError, MissingExtraError
from pybrpc.naming import register, watch
from tests.peers.http_stand_in import eventually
from tests.peers.naming_watchers import RecordingWatcher, watching
from tests.peers.redis_server import free_port

pytest.importorskip("kazoo")
from tests.peers.zookeeper_server import ZooKeeperServer

QUICK = "retry=0.01&max_retry=0.1&confirm_interval=0.01"


@pytest.fixture(scope="module")
def zookeeper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ZooKeeperServer]:
    """Shared: each test has a path of its own."""
    with ZooKeeperServer(tmp_path_factory.mktemp("zookeeper")) as server:
        yield server


@pytest.fixture
def client(zookeeper: ZooKeeperServer) -> Iterator[Any]:
    with zookeeper.client() as made:
        yield made


@pytest.fixture
def path(request: pytest.FixtureRequest) -> str:
    return f"services/{request.node.name}"


@pytest.mark.proof
@pytest.mark.program("java")
def test_nodes_are_servers_and_changes_come_at_once(
    zookeeper: ZooKeeperServer, client: Any, path: str
) -> None:
    client.create(f"/{path}/10.0.0.1:80", b"3 zone=a", makepath=True)
    client.create(f"/{path}/any", b"10.0.0.2:80 5", ephemeral=True)
    with watching(f"zk://{zookeeper.address}/{path}?{QUICK}") as watcher:
        watcher.wait_list("10.0.0.1:80 3 zone=a", "10.0.0.2:80 5")
        client.create(f"/{path}/10.0.0.3:80")
        watcher.wait_list("10.0.0.1:80 3 zone=a", "10.0.0.2:80 5", "10.0.0.3:80")
        client.set(f"/{path}/10.0.0.3:80", b"7")
        watcher.wait_list("10.0.0.1:80 3 zone=a", "10.0.0.2:80 5", "10.0.0.3:80 7")
        client.delete(f"/{path}/10.0.0.3:80")
        watcher.wait_list("10.0.0.1:80 3 zone=a", "10.0.0.2:80 5")
        assert watcher.errors == []


@pytest.mark.proof
@pytest.mark.program("java")
def test_path_that_is_made_later(zookeeper: ZooKeeperServer, client: Any, path: str) -> None:
    with watching(f"zookeeper://{zookeeper.address}/{path}?{QUICK}") as watcher:
        watcher.wait_list()
        client.create(f"/{path}/10.0.0.1:80", makepath=True)
        watcher.wait_list("10.0.0.1:80")


@pytest.mark.proof
@pytest.mark.program("java")
def test_last_node_that_vanishes_is_confirmed(
    zookeeper: ZooKeeperServer, client: Any, path: str
) -> None:
    client.create(f"/{path}/10.0.0.1:80", makepath=True)
    with watching(f"zookeeper://{zookeeper.address}/{path}?{QUICK}") as watcher:
        watcher.wait_list("10.0.0.1:80")
        client.delete(f"/{path}", recursive=True)
        watcher.wait_error("1 of 3")
        watcher.wait_list()


@pytest.mark.proof
@pytest.mark.program("java")
def test_restart_keeps_the_list_and_a_new_session_reads_all_again(tmp_path: Path) -> None:
    with ZooKeeperServer(tmp_path) as zookeeper:
        with zookeeper.client() as client:
            client.create("/x/10.0.0.1:80", makepath=True)
        where = f"zookeeper://{zookeeper.address}/x?timeout=0.5&session_timeout=0.5&{QUICK}"
        with watching(where) as watcher:
            watcher.wait_list("10.0.0.1:80")
            zookeeper.kill()
            watcher.wait_error("zookeeper://127.0.0.1")
            assert len(watcher.lists) == 1
            zookeeper.start()
            with zookeeper.client() as client:
                client.create("/x/10.0.0.2:80")
            watcher.wait_list("10.0.0.1:80", "10.0.0.2:80")
            zookeeper.pause()
            count = len(watcher.errors)
            watcher.wait(lambda: len(watcher.errors) > count)
            zookeeper.go_on()
            with zookeeper.client() as client:
                client.delete("/x/10.0.0.1:80")
            watcher.wait_list("10.0.0.2:80")


@pytest.mark.proof
@pytest.mark.program("java")
def test_registered_server_is_an_ephemeral_node(
    zookeeper: ZooKeeperServer, client: Any, path: str
) -> None:
    url = f"zookeeper://{zookeeper.address}/{path}"
    with watching(f"{url}?{QUICK}") as watcher:
        registration = register(f"{url}?interval=0.05", "10.0.0.1:80 3")
        assert registration.wait_registered(20)
        watcher.wait_list("10.0.0.1:80 3")
        assert client.exists(f"/{path}/10.0.0.1:80").ephemeralOwner != 0
        client.delete(f"/{path}/10.0.0.1:80")
        eventually(lambda: client.exists(f"/{path}/10.0.0.1:80") is not None)
        assert registration.deregister()
        assert client.exists(f"/{path}/10.0.0.1:80") is None
        watcher.wait_list()


@pytest.mark.proof
@pytest.mark.program("java")
def test_registration_outlives_its_session(tmp_path: Path) -> None:
    """The node of the old session is replaced: it would end with that."""
    with ZooKeeperServer(tmp_path) as zookeeper:
        where = f"zookeeper://{zookeeper.address}/x?interval=0.05&timeout=0.5&session_timeout=0.5"
        registration = register(where, "10.0.0.1:80")
        assert registration.wait_registered(20)
        zookeeper.pause()
        eventually(lambda: registration.state.failures > 0)
        zookeeper.go_on()
        eventually(lambda: registration.state.is_registered and not registration.state.failures)
        with zookeeper.client() as client:
            eventually(lambda: client.exists("/x/10.0.0.1:80") is not None)
            assert registration.deregister()
            assert client.get_children("/x") == []


def test_zookeeper_that_is_not_there_is_an_error() -> None:
    with watching(f"zk://127.0.0.1:{free_port()}/x?timeout=0.1&{QUICK}") as watcher:
        watcher.wait_error("zookeeper://127.0.0.1")
        assert watcher.last is None


def test_without_kazoo_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kazoo.client", None)
    wanted = r'zookeeper:// needs kazoo.*"pybrpc\[zookeeper\]"'
    with pytest.raises(MissingExtraError, match=wanted):
        watch("zk://127.0.0.1/x", RecordingWatcher())
    with pytest.raises(MissingExtraError, match=wanted):
        register("zk://127.0.0.1/x", "10.0.0.1:80")


@pytest.mark.parametrize("rest", ["", "h", "h/", "h:x/y", "h/x?timeout=0", "h/x?colour=red"])
def test_wrong_urls_are_refused(rest: str) -> None:
    with pytest.raises(AddressError):
        watch(f"zookeeper://{rest}", RecordingWatcher())
