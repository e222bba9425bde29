"""Listeners: the sockets of workers outlive them, with the connections in their queues."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from pybrpc.base.endpoint import Endpoint
from pybrpc.server.workers import listeners as listeners_module
from pybrpc.server.workers.listeners import TURN_AWAY_S, Listeners, new_listeners
from pybrpc.testing.step_dispatcher import StepDispatcher
from pybrpc.transport.dispatch import periodic
from pybrpc.transport.listening.acceptor import ListenError
from pybrpc.transport.listening.passed_sockets import PassedSocket
from tests.peers.raw_peer import RawPeer, request, text_of
from tests.peers.serving import make_server

ANY = Endpoint("127.0.0.1", 0)


@contextlib.contextmanager
def listening(slots: int, endpoint: Endpoint = ANY) -> Iterator[Listeners]:
    made = Listeners(endpoint, slots, StepDispatcher())
    try:
        yield made
    finally:
        made.close()


def inherited(listeners: Listeners, slot: int) -> socket.socket:
    """The socket of a slot, as a worker inherits it."""
    return listeners.sockets_of(slot)[0].dup()


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


def test_connections_go_to_other_workers_after_a_slot_is_refused() -> None:
    with listening(2) as listeners, make_server() as server:
        with make_server() as dead:
            dead.start(inherited(listeners, 0))
        listeners.refuse(0)
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
        names = {listeners.sockets_of(slot)[0].getsockname()[:2] for slot in range(3)}
        assert len(names) == 1
        assert names.pop()[1] == listeners.endpoint.port > 0


def test_slots_of_a_unix_address_share_one_socket(unix_path: Path) -> None:
    with listening(2, Endpoint(f"unix:{unix_path}", 0)) as listeners:
        assert listeners.is_shared
        assert listeners.sockets_of(0)[0] is listeners.sockets_of(1)[0]
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(unix_path))
    assert not unix_path.exists()


def test_port_with_a_listener_is_refused() -> None:
    with listening(1) as listeners, make_server() as server:
        server.start(inherited(listeners, 0))
        with pytest.raises(ListenError, match="in use"):
            Listeners(listeners.endpoint, 1, StepDispatcher())


def test_port_of_another_supervisor_is_refused_before_its_workers_listen() -> None:
    with listening(1) as listeners:
        with pytest.raises(ListenError, match="in use"):
            Listeners(listeners.endpoint, 1, StepDispatcher())
    with listening(1, listeners.endpoint):
        pass


def test_refused_slot_refuses_though_a_process_that_its_worker_has_forked_has_the_socket() -> None:
    """Here a copy of the socket takes the place of that process."""
    with listening(1) as listeners, inherited(listeners, 0) as copy:
        with make_server() as dead:
            dead.start(inherited(listeners, 0))
        with RawPeer(listeners.endpoint) as waiting:
            listeners.refuse(0)
            with pytest.raises(ConnectionResetError):
                waiting.read_to_end()
        assert is_refused(listeners.endpoint)
        listeners.admit(0)
        with make_server() as server:
            server.start(inherited(listeners, 0))
            with RawPeer(listeners.endpoint) as peer:
                assert text_of(peer.call()) == "hello"
        listeners.close()
        assert is_refused(listeners.endpoint)
        assert copy.fileno() >= 0


def test_refused_slot_that_never_listened_can_listen() -> None:
    with listening(1) as listeners, make_server() as server:
        listeners.refuse(0)
        server.start(inherited(listeners, 0))
        with RawPeer(listeners.endpoint) as peer:
            assert text_of(peer.call()) == "hello"


def test_shared_socket_turns_connections_away_while_all_slots_are_refused(
    unix_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = StepDispatcher()
    monkeypatch.setattr(periodic, "time", step.clock)
    listeners = Listeners(Endpoint(f"unix:{unix_path}", 0), 2, step)

    def is_turned_away() -> bool:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(unix_path))
            step.advance(TURN_AWAY_S)
            client.setblocking(False)
            try:
                return client.recv(1) == b""
            except BlockingIOError:
                return False

    assert not is_turned_away()
    listeners.refuse(1)
    assert not is_turned_away()
    for _ in range(2):
        listeners.refuse(0)
    assert is_turned_away()
    listeners.admit(0)
    assert not is_turned_away()
    listeners.refuse(0)
    listeners.close()
    assert step.raised == []


def test_shared_socket_that_is_closed_refuses_though_another_process_has_it(
    unix_path: Path,
) -> None:
    with listening(1, Endpoint(f"unix:{unix_path}", 0)) as listeners:
        with inherited(listeners, 0), socket.socket(socket.AF_UNIX) as waiting:
            waiting.connect(str(unix_path))
            os.link(unix_path, f"{unix_path}.2")
            listeners.close()
            waiting.settimeout(10)
            assert waiting.recv(1) == b""
            with socket.socket(socket.AF_UNIX) as client, pytest.raises(ConnectionRefusedError):
                client.connect(f"{unix_path}.2")


def test_failure_to_bind_all_sockets_leaves_none(monkeypatch: pytest.MonkeyPatch) -> None:
    real = listeners_module.bind_shared
    made: list[socket.socket] = []

    def bind_one(endpoint: Endpoint) -> socket.socket:
        if made:
            raise ListenError(24, "Too many open files")
        made.append(real(endpoint))
        return made[0]

    with listening(1) as listeners:
        endpoint = listeners.endpoint
    with monkeypatch.context() as patch:
        patch.setattr(listeners_module, "bind_shared", bind_one)
        with pytest.raises(ListenError, match="Too many"):
            Listeners(endpoint, 2, StepDispatcher())
    with listening(2, endpoint):
        pass


def test_free_port_that_was_given_is_used() -> None:
    with listening(1) as listeners:
        endpoint = listeners.endpoint
    with listening(2, endpoint) as listeners:
        assert listeners.endpoint == endpoint


def test_workers_can_not_serve_in_memory() -> None:
    with pytest.raises(ListenError, match="workers are processes of their own"):
        Listeners(Endpoint.in_memory(), 1, StepDispatcher())


def passed(*sockets: socket.socket) -> tuple[PassedSocket, ...]:
    return tuple(PassedSocket(sock.fileno()) for sock in sockets)


def test_passed_sockets_are_shared_and_never_shut_down() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as one,
        socket.create_server(("::1", 0), family=socket.AF_INET6) as other,
    ):
        listeners = new_listeners(passed(one, other), 2, StepDispatcher(), False)
        assert listeners.endpoint == Endpoint.from_sockaddr(one.getsockname())
        assert listeners.sockets_of(0) == listeners.sockets_of(1)
        assert len(listeners.sockets_of(0)) == 2
        assert listeners.own_sockets_of(0) == []
        for slot in (0, 1):
            listeners.refuse(slot)
        with RawPeer(listeners.endpoint) as peer:
            peer.send(request(1))
            listeners.admit(0)
            listeners.close()
            with make_server() as server:
                server.start(one.dup())
                assert text_of(peer.read_answer()) == "hello"


def test_no_copy_is_left_if_a_passed_socket_can_not_be_used() -> None:
    with socket.create_server(("127.0.0.1", 0)) as one:
        with pytest.raises(ListenError, match="no such descriptor"):
            new_listeners((*passed(one), PassedSocket(999)), 1, StepDispatcher(), False)


def test_workers_serve_at_addresses_only() -> None:
    with socket.create_server(("127.0.0.1", 0)) as one:
        with pytest.raises(TypeError, match="workers serve at an address"):
            new_listeners(one, 1, StepDispatcher(), False)


def test_supervisors_that_say_so_share_a_port() -> None:
    first = new_listeners(ANY, 2, StepDispatcher(), True)
    assert isinstance(first, Listeners)
    second = new_listeners(first.endpoint, 2, StepDispatcher(), True)
    assert second.endpoint == first.endpoint
    first.close()
    with make_server() as server:
        server.start(second.sockets_of(1)[0].dup())
        with RawPeer(second.endpoint) as peer:
            assert text_of(peer.call()) == "hello"
    second.close()
    assert is_refused(second.endpoint)


def test_unix_socket_is_not_shared_with_others(unix_path: Path) -> None:
    with pytest.raises(ListenError, match="only ports of TCP are shared"):
        new_listeners(Endpoint(f"unix:{unix_path}", 0), 1, StepDispatcher(), True)
