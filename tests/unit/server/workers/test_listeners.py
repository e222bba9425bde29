"""Listeners: the sockets of workers outlive them, with the connections in their queues."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from pybrpc.base.endpoint import Endpoint
from pybrpc.server.workers.listeners import Listeners
from pybrpc.transport.listening.acceptor import ListenError
from tests.peers.raw_peer import RawPeer, request, text_of
from tests.peers.serving import make_server

ANY = Endpoint("127.0.0.1", 0)


@contextlib.contextmanager
def listening(slots: int, endpoint: Endpoint = ANY) -> Iterator[Listeners]:
    made = Listeners(endpoint, slots)
    try:
        yield made
    finally:
        made.close()


def inherited(listeners: Listeners, slot: int) -> socket.socket:
    """The socket of a slot, as a worker inherits it."""
    return listeners.socket_of(slot).dup()


def is_refused(endpoint: Endpoint) -> bool:
    try:
        RawPeer(endpoint).sock.close()
    except ConnectionRefusedError:
        return True
    return False


def test_connections_are_refused_before_a_worker_listens() -> None:
    with listening(2) as listeners:
        assert is_refused(listeners.endpoint)
        with make_server() as server:
            assert server.start(inherited(listeners, 1)) == listeners.endpoint
            with RawPeer(listeners.endpoint) as peer:
                assert text_of(peer.call()) == "hello"


def test_connection_that_waits_is_accepted_by_the_successor() -> None:
    with listening(1) as listeners:
        with make_server() as server:
            server.start(inherited(listeners, 0))
        with RawPeer(listeners.endpoint) as peer:
            peer.send(request(1))
            with make_server() as server:
                server.start(inherited(listeners, 0))
                assert text_of(peer.read_answer()) == "hello"


def test_connections_go_to_other_workers_after_a_slot_is_renewed() -> None:
    with listening(2) as listeners, make_server() as server:
        with make_server() as dead:
            dead.start(inherited(listeners, 0))
        listeners.renew(0)
        server.start(inherited(listeners, 1))
        for _ in range(20):
            with RawPeer(listeners.endpoint) as peer:
                assert text_of(peer.call()) == "hello"
        listeners.close()
        server.stop()
        server.join()
        assert is_refused(listeners.endpoint)


@pytest.mark.parametrize("host", ["localhost", "::1", "::"])
def test_sockets_of_all_slots_have_one_port(host: str) -> None:
    with listening(3, Endpoint(host, 0)) as listeners:
        names = {listeners.socket_of(slot).getsockname()[:2] for slot in range(3)}
        assert len(names) == 1
        assert names.pop()[1] == listeners.endpoint.port > 0


def test_slots_of_a_unix_address_share_one_socket(unix_path: Path) -> None:
    with listening(2, Endpoint(f"unix:{unix_path}", 0)) as listeners:
        assert listeners.is_shared
        assert listeners.socket_of(0) is listeners.socket_of(1)
        listeners.renew(0)
        assert listeners.socket_of(0) is listeners.socket_of(1)
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(unix_path))
    assert not unix_path.exists()


def test_port_with_a_listener_is_refused() -> None:
    with listening(1) as listeners, make_server() as server:
        server.start(inherited(listeners, 0))
        with pytest.raises(ListenError, match="in use"):
            Listeners(listeners.endpoint, 1)


def test_free_port_that_was_given_is_used() -> None:
    with listening(1) as listeners:
        endpoint = listeners.endpoint
    with listening(2, endpoint) as listeners:
        assert listeners.endpoint == endpoint
