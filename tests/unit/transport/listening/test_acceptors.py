"""Several sockets of one server."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from pybrpc.base.endpoint import Endpoint
from pybrpc.errors import AddressError, ListenError
from pybrpc.transport.listening.acceptors import where_to_listen
from tests.peers.raw_peer import RawPeer, text_of
from tests.peers.serving import make_server
from tests.peers.supervised import call

ANY = ("127.0.0.1", 0)


def test_server_answers_on_all_sockets(unix_path: Path) -> None:
    tcp, unix = socket.create_server(ANY), socket.socket(socket.AF_UNIX)
    unix.bind(str(unix_path))
    with make_server() as server:
        where = server.start([tcp, unix])
        assert where == Endpoint.from_sockaddr(tcp.getsockname())
        for address in (where, f"unix:{unix_path}"):
            assert call(address, "hello") == "hello"
        assert server.statistics().accepted == 2
    with pytest.raises(ConnectionRefusedError):
        RawPeer(where)
    assert (tcp.fileno(), unix.fileno()) == (-1, -1)


def test_sockets_are_their_owner_s_again_if_one_can_not_listen() -> None:
    with socket.create_server(ANY) as good, socket.socket(type=socket.SOCK_DGRAM) as bad:
        with pytest.raises(ListenError):
            make_server().start([good, bad])
        socket.create_connection(good.getsockname()).close()
        assert bad.fileno() >= 0


def test_list_that_makes_no_sense() -> None:
    with pytest.raises(ValueError, match="at least one"):
        where_to_listen([])
    with pytest.raises(TypeError, match="bound sockets only, not '127"):
        where_to_listen(["127.0.0.1:8000"])  # type: ignore[list-item]
    with pytest.raises(AddressError):
        where_to_listen("nowhere")


def test_two_servers_share_a_port_and_both_get_connections() -> None:
    with make_server(reuse_port=True) as one, make_server(reuse_port=True) as other:
        where = one.start("127.0.0.1:0")
        assert other.start(where) == where
        for _ in range(1000):
            with RawPeer(where) as peer:
                assert text_of(peer.call()) == "hello"
            if one.statistics().accepted and other.statistics().accepted:
                return
    raise AssertionError("one server got all of 1000 connections")


def test_port_is_shared_only_by_those_that_say_so() -> None:
    with make_server(reuse_port=True) as one, make_server() as other:
        with pytest.raises(ListenError, match="in use"):
            other.start(one.start("127.0.0.1:0"))


def test_unix_socket_is_not_shared(unix_path: Path) -> None:
    with pytest.raises(ListenError, match="only ports of TCP are shared"):
        make_server(reuse_port=True).start(f"unix:{unix_path}")


def test_server_in_memory_is_not_shared() -> None:
    with pytest.raises(ListenError, match="only ports of TCP are shared, no servers in memory"):
        make_server(reuse_port=True).start("memory:")
    with make_server() as server:
        assert server.start("memory:").is_memory


def test_sharing_a_port_needs_a_system_that_can(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(socket, "SO_REUSEPORT")
    with pytest.raises(NotImplementedError, match="no SO_REUSEPORT"):
        make_server(reuse_port=True)
    make_server(reuse_port=False)
