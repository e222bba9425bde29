"""Sockets that listen, and ones that are bound for others to listen on."""

from __future__ import annotations

import errno
import os
import signal
import socket
from typing import Any

import pytest

from pybrpc.base.endpoint import Endpoint
from pybrpc.transport.listening import listen as listen_module
from pybrpc.transport.listening.listen import (
    ListenError,
    bind_shared,
    claim_port,
    listen,
    stop_listening,
    unclaim_port,
)

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


def free_endpoint(host: str = "127.0.0.1") -> Endpoint:
    with bind_shared(Endpoint(host, 0)) as sock:
        return Endpoint.from_sockaddr(sock.getsockname())


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("is_named", [True, False], ids=["a port", "port 0"])
def test_claimed_port_is_refused_to_all_but_those_that_share_it(host: str, is_named: bool) -> None:
    """Also while none of these listens."""
    with claim_port(free_endpoint(host) if is_named else Endpoint(host, 0)) as claim:
        endpoint = Endpoint.from_sockaddr(claim.getsockname())
        assert is_refused(claim)
        for use in (listen, claim_port):
            with pytest.raises(ListenError, match="in use"):
                use(endpoint)
        with bind_shared(endpoint) as first, bind_shared(endpoint) as second:
            for sock in (first, second):
                listen(sock)
            assert not is_refused(claim)
            for use in (listen, claim_port):
                with pytest.raises(ListenError, match="in use"):
                    use(endpoint)
    claim_port(endpoint).close()


def test_port_with_connections_that_wait_for_their_end_can_be_claimed() -> None:
    """They are in TIME_WAIT, on the side of the server, when it is started again."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        endpoint = Endpoint.from_sockaddr(server.getsockname())
        with socket.create_connection(server.getsockname()) as client:
            server.accept()[0].close()
            assert client.recv(1) == b""
    claim_port(endpoint).close()


def test_wildcard_claim_covers_each_address() -> None:
    with claim_port(Endpoint("0.0.0.0", 0)) as claim:
        with pytest.raises(ListenError, match="in use"):
            claim_port(Endpoint("127.0.0.1", claim.getsockname()[1]))


def forked() -> int:
    """Process id of a child that has this process's descriptors."""
    pid = os.fork()
    if pid == 0:
        try:
            signal.pause()
        finally:
            os._exit(0)
    return pid


def test_port_is_free_when_its_claim_has_ended_though_a_forked_child_has_the_socket() -> None:
    claim = claim_port(free_endpoint())
    endpoint = Endpoint.from_sockaddr(claim.getsockname())
    pid = forked()
    try:
        unclaim_port(claim)
        claim_port(endpoint).close()
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def test_socket_that_stops_listening_refuses_though_a_forked_child_has_it() -> None:
    """Those that wait are reset; and it can listen again."""
    with bind_shared(free_endpoint()) as sock:
        stop_listening(sock)
        listen(sock)
        pid = forked()
        try:
            with socket.create_connection(sock.getsockname(), timeout=10) as client:
                stop_listening(sock)
                with pytest.raises(ConnectionResetError):
                    client.recv(1)
            assert is_refused(sock)
            listen(sock)
            assert not is_refused(sock)
        finally:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


@pytest.mark.parametrize("use", [listen, bind_shared, claim_port])
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
