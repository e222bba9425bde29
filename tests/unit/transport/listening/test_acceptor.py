from __future__ import annotations

import contextlib
import errno
import gc
import logging
import os
import queue
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from pybrpc.base.endpoint import Endpoint
from pybrpc.errors import PyBrpcError
from pybrpc.testing.step_dispatcher import StepDispatcher
from pybrpc.transport.dispatch.epoll_dispatcher import EpollDispatcher
from pybrpc.transport.listening import acceptor as acceptor_module
from pybrpc.transport.listening.acceptor import Acceptor, ListenError
from pybrpc.transport.runtime import Runtime
from pybrpc.transport.socket.peer_address import remote_side_of
from tests.fakes.clocks import use_clock

LOCAL = Endpoint("127.0.0.1", 0)


class Listening:
    """An acceptor on a dispatcher of its own, and what it accepted."""

    def __init__(self, endpoint: Endpoint = LOCAL) -> None:
        self.accepted: queue.SimpleQueue[socket.socket] = queue.SimpleQueue()
        self.runtime = Runtime()
        self.dispatcher = EpollDispatcher("test-acceptor")
        self.acceptor = Acceptor(endpoint, self.dispatcher, self.on_accepted, self.runtime)

    def on_accepted(self, sock: socket.socket) -> None:
        self.accepted.put(sock)

    def connect(self) -> socket.socket:
        endpoint = self.acceptor.endpoint
        return socket.create_connection((endpoint.host, endpoint.port), timeout=10)

    def is_served(self) -> bool:
        """Whether a new connection is accepted and works."""
        with self.connect() as client, self.accepted.get(timeout=10) as served:
            served.setblocking(True)
            client.sendall(b"ping")
            return served.recv(4) == b"ping"

    def close(self) -> None:
        self.acceptor.close()
        self.dispatcher.close()


@contextlib.contextmanager
def listening(endpoint: Endpoint = LOCAL) -> Iterator[Listening]:
    listening = Listening(endpoint)
    listening.acceptor.start()
    try:
        yield listening
    finally:
        listening.close()


class FaultyListener:
    """A listening socket whose accept fails some times before it works."""

    def __init__(self, sock: socket.socket, errors: list[int]) -> None:
        self.sock = sock
        self.errors = errors

    def accept(self) -> tuple[socket.socket, object]:
        if self.errors:
            code = self.errors.pop(0)
            raise OSError(code, os.strerror(code))
        return self.sock.accept()

    def fileno(self) -> int:
        return self.sock.fileno()

    def close(self) -> None:
        self.sock.close()


def make_faulty(listening: Listening, errors: list[int]) -> FaultyListener:
    sock = listening.acceptor._sock
    assert sock is not None
    faulty = FaultyListener(sock, errors)
    listening.acceptor._sock = faulty  # type: ignore[assignment]
    return faulty


def test_port_0_is_replaced_by_the_chosen_one() -> None:
    with listening() as it:
        assert it.acceptor.endpoint.host == "127.0.0.1"
        assert it.acceptor.endpoint.port > 0
        assert it.is_served()


def test_name_is_resolved() -> None:
    with listening(Endpoint("localhost", 0)) as it:
        assert it.is_served()


def test_acceptor_listens_on_ipv6() -> None:
    with listening(Endpoint("::1", 0)) as it:
        assert str(it.acceptor.endpoint).startswith("[::1]:")
        assert it.is_served()


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="the system keeps IPv4 and IPv6 apart")
def test_any_address_of_ipv6_listens_for_ipv4_too() -> None:
    with listening(Endpoint.parse("[::]:0", allow_port_0=True)) as it:
        port = it.acceptor.endpoint.port
        assert str(it.acceptor.endpoint) == f"[::]:{port}"
        for host in ("::1", "127.0.0.1"):
            with socket.create_connection((host, port), timeout=10) as client:
                with it.accepted.get(timeout=10) as served:
                    assert remote_side_of(served) == Endpoint(host, client.getsockname()[1])
        with pytest.raises(ListenError, match="Address already in use"):
            Acceptor(Endpoint("0.0.0.0", port), it.dispatcher, it.on_accepted, it.runtime)


def test_one_address_listens_for_its_own_family() -> None:
    with listening(Endpoint("::1", 0)) as it:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", it.acceptor.endpoint.port), timeout=10)


def test_many_connections_at_once_are_all_accepted() -> None:
    count = 3 * acceptor_module.ACCEPTS_PER_TURN
    it = Listening()
    clients = [it.connect() for _ in range(count)]
    it.acceptor.start()
    for sock in [it.accepted.get(timeout=10) for _ in range(count)] + clients:
        sock.close()
    assert it.acceptor.accepted == count
    it.close()


def test_address_in_use_is_a_clear_error() -> None:
    with listening() as it:
        endpoint = it.acceptor.endpoint
        with pytest.raises(ListenError, match=f"listen on {endpoint}: Address already") as caught:
            Acceptor(endpoint, it.dispatcher, it.on_accepted, it.runtime)
    assert caught.value.errno == errno.EADDRINUSE
    assert isinstance(caught.value, PyBrpcError)


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid", "a" * 70 + ".example"])
def test_address_of_nobody_is_a_clear_error(host: str) -> None:
    with pytest.raises(ListenError, match="Fail to listen on") as caught:
        Acceptor(Endpoint(host, 0), StepDispatcher(), socket.socket.close, Runtime())
    assert caught.value.errno == errno.EADDRNOTAVAIL


def test_port_can_be_taken_again_after_close() -> None:
    with listening() as it:
        endpoint = it.acceptor.endpoint
        assert it.is_served()
    with listening(endpoint) as it:
        assert it.is_served()


def test_close_refuses_new_connections() -> None:
    with listening() as it:
        pass
    with pytest.raises(ConnectionRefusedError):
        it.connect()
    assert "closed" in repr(it.acceptor)


def test_close_without_start() -> None:
    it = Listening()
    it.close()
    assert "closed" in repr(it.acceptor)


def test_close_in_a_turn_closes_at_once() -> None:
    is_closed: queue.SimpleQueue[bool] = queue.SimpleQueue()
    with listening() as it:

        def close() -> None:
            it.acceptor.close()
            is_closed.put("closed" in repr(it.acceptor))

        it.dispatcher.post(close)
        assert is_closed.get(timeout=10)


def test_close_after_the_dispatcher() -> None:
    it = Listening()
    it.dispatcher.close()
    it.acceptor.close()
    assert "closed" in repr(it.acceptor)


@pytest.mark.parametrize("code", [errno.EMFILE, errno.ENFILE])
def test_out_of_descriptors_pauses_and_goes_on(
    code: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(acceptor_module, "PAUSE_S", 0.0)
    it = Listening()
    errors = make_faulty(it, [code, code]).errors
    it.acceptor.start()
    with caplog.at_level(logging.WARNING, "pybrpc"):
        assert it.is_served()
    assert errors == []
    assert [record.message.count("can't accept") for record in caplog.records] == [1], (
        "one a second"
    )
    it.close()


def test_acceptor_accepts_nothing_during_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acceptor_module, "PAUSE_S", 3600.0)
    it = Listening()
    errors = make_faulty(it, [errno.EMFILE, errno.EMFILE]).errors
    it.acceptor.start()
    with it.connect():
        turns_later(it, 5)
        assert errors == [errno.EMFILE]
        assert "not accepting" in repr(it.acceptor)
    it.close()


@pytest.mark.parametrize("code", [errno.ECONNABORTED, errno.EPERM, errno.EPROTO])
def test_lost_connection_is_skipped(code: int) -> None:
    it = Listening()
    make_faulty(it, [code] * 3)
    it.acceptor.start()
    assert it.is_served()
    it.close()


def test_connection_that_cannot_be_set_up_is_closed() -> None:
    it = Listening()
    seen: list[int] = []

    def refuse(sock: socket.socket) -> None:
        seen.append(sock.fileno())
        raise OSError(errno.EINVAL, "Invalid argument")

    it.acceptor._on_accepted = refuse
    it.acceptor.start()
    with it.connect() as client:
        assert client.recv(1) == b""
    assert len(seen) == 1
    it.close()


class Refused(BaseException):
    """No Exception, as what a server's code must not raise here."""


def test_connection_is_closed_whatever_its_set_up_raises_and_accepting_goes_on() -> None:
    it = Listening()
    seen: list[int] = []

    def refuse(sock: socket.socket) -> None:
        seen.append(sock.fileno())
        raise Refused

    it.acceptor._on_accepted = refuse
    it.acceptor.start()
    for count in (1, 2):
        with it.connect() as client:
            assert client.recv(1) == b""
        assert len(seen) == count
    it.close()


@pytest.mark.parametrize(("slow_s", "accepts"), [(0.0, 3), (acceptor_module.STEP_S, 1)])
def test_turn_accepts_a_few_connections(
    slow_s: float, accepts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At most three here, and none any more once it has lasted long."""
    step = StepDispatcher()
    use_clock(monkeypatch, step.clock)
    accepted: list[socket.socket] = []

    def accept(sock: socket.socket) -> None:
        accepted.append(sock)
        step.clock.advance(slow_s)

    acceptor = Acceptor(LOCAL, step, accept, Runtime(), accepts_per_turn=3)
    clients = [
        socket.create_connection((acceptor.endpoint.host, acceptor.endpoint.port)) for _ in range(7)
    ]
    acceptor.start()
    acceptor._on_readable()
    assert len(accepted) == accepts
    acceptor.close()
    step.run_until_idle()
    for sock in clients + accepted:
        sock.close()


def is_free(endpoint: Endpoint) -> bool:
    with contextlib.suppress(OSError):
        socket.create_server((endpoint.host, endpoint.port)).close()
        return True
    return False


def test_address_is_free_at_once_after_undo() -> None:
    it = Listening()
    assert not is_free(it.acceptor.endpoint)
    it.acceptor.undo()
    assert is_free(it.acceptor.endpoint)
    it.acceptor.start()
    turns_later(it, 2)
    assert "closed" in repr(it.acceptor)
    it.close()


def test_socket_that_was_given_stays_open_after_undo() -> None:
    with socket.socket() as given:
        given.bind(("127.0.0.1", 0))
        for ends in ("undo", "close"):
            acceptor = Acceptor(given, StepDispatcher(), socket.socket.close, Runtime())
            if ends == "undo":
                acceptor.undo()
                assert given.fileno() >= 0
            else:
                acceptor.abandon()
                assert given.fileno() == -1


def test_address_is_free_if_the_acceptor_cannot_be_made() -> None:
    class FullRuntime(Runtime):
        acceptors: Any = None

        def __init__(self) -> None:
            """Without a place for acceptors."""

    with socket.create_server(("127.0.0.1", 0)) as listener:
        endpoint = Endpoint.from_sockaddr(listener.getsockname())
    with pytest.raises(AttributeError):
        Acceptor(endpoint, StepDispatcher(), socket.socket.close, FullRuntime())
    assert is_free(endpoint)


def test_abandon_closes_the_descriptor_only() -> None:
    with listening() as it:
        turns_later(it, 2)
        sock = it.acceptor._sock
        assert sock is not None
        copy = sock.dup()
        it.acceptor.abandon()
        assert sock.fileno() == -1
        with it.connect():
            pass
        copy.close()


def test_runtime_knows_its_acceptors_and_keeps_none_alive() -> None:
    it = Listening()
    assert list(it.runtime.acceptors) == [it.acceptor]
    runtime = it.runtime
    it.close()
    del it
    gc.collect()
    assert list(runtime.acceptors) == []


def turns_later(it: Listening, turns: int) -> None:
    """Return after some turns of the dispatcher."""
    for _ in range(turns):
        is_done = threading.Event()
        it.dispatcher.post(is_done.set)
        assert is_done.wait(10)


def test_acceptor_whose_socket_was_shut_down_is_polled_no_more_and_accepts_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As a supervisor does. A socket that doesn't listen is readable all the time."""
    step = StepDispatcher()
    monkeypatch.setattr(acceptor_module, "time", step.clock)
    acceptor = Acceptor(LOCAL, step, lambda sock: sock.close(), Runtime())
    acceptor.start()
    step.run_until_idle()
    sock = acceptor._sock
    assert sock is not None
    sock.shutdown(socket.SHUT_RDWR)
    step.run_until_idle()
    assert repr(acceptor).endswith("not accepting, 0 accepted>")
    sock.bind(("127.0.0.1", 0))
    sock.listen()
    step.advance(acceptor_module.PAUSE_S)
    with socket.create_connection(sock.getsockname()):
        step.run_until_idle()
    assert acceptor.accepted == 1
    acceptor.close()
    step.run_until_idle()
