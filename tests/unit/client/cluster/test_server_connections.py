"""The connections to a server of a cluster are made for its first attempt, and released once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pybrpc.base.endpoint import Endpoint
from pybrpc.client.cluster.cluster_server import ClusterServer
from pybrpc.client.cluster.server_connections import ServerConnections
from pybrpc.errors import ErrorCode, RpcError
from tests.fakes.routers import node


class Source:
    """A SourceBase, as a cluster sees it. `meanwhile` runs when a watcher is added."""

    def __init__(self) -> None:
        self.uses = 0
        self.watchers: list[Any] = []
        self.why_down: str | None = None
        self.meanwhile: Callable[[], object] = lambda: None

    def add_watcher(self, watcher: Any) -> None:
        self.watchers.append(watcher)
        meanwhile, self.meanwhile = self.meanwhile, lambda: None
        meanwhile()

    def remove_watcher(self, watcher: Any) -> None:
        if watcher in self.watchers:
            self.watchers.remove(watcher)

    def release(self) -> None:
        self.uses -= 1


class Harness:
    """One source, which all servers share."""

    def __init__(self) -> None:
        self.source = Source()
        self.changed: list[ClusterServer] = []
        self.server = ClusterServer(node(1))
        self.connections = ServerConnections(self.acquire, self)

    def acquire(self, endpoint: Endpoint) -> Any:
        assert endpoint == self.server.node.endpoint
        self.source.uses += 1
        return self.source

    def on_server_changed(self, server: ClusterServer) -> None:
        self.changed.append(server)

    def is_held_once(self) -> bool:
        watchers, sources = len(self.source.watchers), len(self.connections.sources())
        return self.source.uses == watchers == sources == 1

    def is_free(self) -> bool:
        return not (self.source.uses or self.source.watchers or self.connections.sources())


def test_server_is_connected_once_and_released_once() -> None:
    harness = Harness()
    assert harness.connections.connect(harness.server) is harness.source
    assert harness.server.source is harness.source
    assert harness.is_held_once()
    harness.source.watchers[0].on_source_changed()
    assert harness.changed == [harness.server]
    harness.connections.release(harness.server)
    harness.connections.release(harness.server)
    assert harness.is_free()


def test_two_attempts_that_connect_at_once_hold_one_use() -> None:
    harness = Harness()
    connect = harness.connections.connect
    harness.source.meanwhile = lambda: connect(harness.server)
    assert connect(harness.server) is harness.source
    assert harness.server.source is harness.source
    assert harness.is_held_once()


def test_server_whose_connecting_was_interrupted_has_its_source_with_the_next_attempt() -> None:
    harness = Harness()
    connect = harness.connections.connect
    assert connect(harness.server) is harness.source
    harness.server.source = None  # A signal handler has raised before it was set.
    assert connect(harness.server) is harness.source
    assert harness.server.source is harness.source
    assert harness.is_held_once()


@pytest.mark.parametrize("closes", ["before", "meanwhile", "after"])
def test_nothing_is_held_once_the_cluster_is_closed(closes: str) -> None:
    harness = Harness()
    if closes == "before":
        harness.connections.release_all()
    elif closes == "meanwhile":
        harness.source.meanwhile = harness.connections.release_all
    harness.connections.connect(harness.server)
    if closes == "after":
        harness.connections.release_all()
    assert harness.is_free()


def test_server_that_is_known_to_be_down_is_reported() -> None:
    harness = Harness()
    harness.source.why_down = "refused"
    harness.connections.connect(harness.server)
    assert harness.changed == [harness.server]


def test_server_that_goes_down_while_it_is_connected_is_reported() -> None:
    harness = Harness()

    def goes_down() -> None:
        harness.source.why_down = "refused"
        harness.source.watchers[0].on_source_changed()

    harness.source.meanwhile = goes_down
    harness.connections.connect(harness.server)
    assert harness.changed[-1] is harness.server
    assert harness.server.source is harness.source


def test_server_without_a_source_fails_the_call() -> None:
    def acquire(endpoint: Endpoint) -> Any:
        raise LookupError("mine")

    connections = ServerConnections(acquire, Harness())
    with pytest.raises(RpcError, match="mine") as raised:
        connections.connect(ClusterServer(node(1)))
    assert raised.value.code == ErrorCode.EINTERNAL
    assert connections.sources() == []
