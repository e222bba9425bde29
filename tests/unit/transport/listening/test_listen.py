"""Sockets that listen, and ones that are bound for others to listen on."""

from __future__ import annotations

import errno
import socket
from typing import Any

import pytest

from pybrpc.base.endpoint import Endpoint
from pybrpc.transport.listening import listen as listen_module
from pybrpc.transport.listening.listen import ListenError, bind_shared, listen

ANY = Endpoint("127.0.0.1", 0)
V4 = (socket.AF_INET, ("127.0.0.1", 0))


def is_refused(sock: socket.socket) -> bool:
    try:
        socket.create_connection(sock.getsockname()[:2]).close()
    except ConnectionRefusedError:
        return True
    return False


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_listen_uses_the_given_address(host: str) -> None:
    sock, file = listen(Endpoint(host, 0))
    with sock:
        assert file is None
        assert not sock.getblocking()
        assert not is_refused(sock)


def test_socket_that_is_bound_listens_as_it_is() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        assert listen(bound) == (bound, None)
        assert not bound.getblocking()
        assert not is_refused(bound)


def test_error_of_a_socket_that_can_not_listen_has_the_reason() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        with pytest.raises(ListenError, match="Fail to listen on <socket") as caught:
            listen(sock)
    assert caught.value.errno == errno.EOPNOTSUPP


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_bound_ones_share_a_port_and_nobody_listens(host: str) -> None:
    with bind_shared(Endpoint(host, 0)) as first:
        with bind_shared(Endpoint(host, first.getsockname()[1])) as second:
            assert second.getsockname()[1] == first.getsockname()[1]
            assert is_refused(first)


@pytest.mark.parametrize("use", [listen, bind_shared])
def test_taken_port_is_refused(use: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        endpoint = Endpoint.from_sockaddr(taken.getsockname())
        with pytest.raises(ListenError, match=f"Fail to listen on {endpoint}: Addr") as caught:
            use(endpoint)
    assert caught.value.errno == errno.EADDRINUSE


@pytest.mark.parametrize("use", [listen, bind_shared])
def test_first_usable_address_of_several_is_used(monkeypatch: pytest.MonkeyPatch, use: Any) -> None:
    """192.0.2.1 is nobody's (RFC 5737)."""
    found = [(socket.AF_INET, ("192.0.2.1", 0)), V4]
    monkeypatch.setattr(listen_module, "resolve", lambda endpoint: found)
    made = use(Endpoint("name", 0))
    with made[0] if use is listen else made as sock:
        assert sock.getsockname()[0] == "127.0.0.1"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "Name or service"),
        (OSError("odd"), "odd"),
    ],
)
def test_unknown_name_is_refused(
    monkeypatch: pytest.MonkeyPatch, error: OSError, said: str
) -> None:
    def fail(endpoint: Endpoint) -> None:
        raise error

    monkeypatch.setattr(listen_module, "resolve", fail)
    with pytest.raises(ListenError, match=f"Fail to listen on name:0: {said}") as caught:
        listen(Endpoint("name", 0))
    assert caught.value.errno == errno.EADDRNOTAVAIL


def test_name_without_an_address_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listen_module, "resolve", lambda endpoint: [])
    with pytest.raises(ListenError, match="Cannot assign") as caught:
        listen(Endpoint("name", 0))
    assert caught.value.errno == errno.EADDRNOTAVAIL
