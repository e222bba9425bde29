from __future__ import annotations

import socket

import pytest

from pybrpc.base.endpoint import Endpoint
from pybrpc.testing.step_dispatcher import StepDispatcher
from pybrpc.transport.listening.memory_acceptor import MemoryAcceptor
from pybrpc.transport.memory_listeners import connect_in_memory, endpoints_in_memory
from pybrpc.transport.runtime import Runtime


class Accepting:
    """An acceptor whose turns are made by hand, and what it has accepted."""

    def __init__(self) -> None:
        self.dispatcher = StepDispatcher()
        self.runtime = Runtime()
        self.accepted: list[socket.socket] = []
        self.raises: BaseException | None = None
        self.acceptor = MemoryAcceptor(
            Endpoint.in_memory(), self.dispatcher, self.on_accepted, self.runtime
        )
        self.endpoint = self.acceptor.endpoint

    def on_accepted(self, sock: socket.socket) -> None:
        if self.raises is not None:
            raise self.raises
        self.accepted.append(sock)


def test_both_ends_of_a_connection_are_connected() -> None:
    accepting = Accepting()
    accepting.acceptor.start()
    with connect_in_memory(accepting.endpoint) as client:
        client.sendall(b"early")  # as over TCP, before it is accepted
        accepting.dispatcher.run_until_idle()
        with accepting.accepted[0] as served:
            assert served.recv(5) == b"early"
    assert accepting.acceptor.accepted == 1
    accepting.acceptor.close()


def test_connects_are_refused_before_the_start_and_after_the_end() -> None:
    accepting = Accepting()
    with pytest.raises(ConnectionRefusedError):
        connect_in_memory(accepting.endpoint)
    accepting.acceptor.start()
    connect_in_memory(accepting.endpoint).close()
    accepting.acceptor.close()
    with pytest.raises(ConnectionRefusedError):
        connect_in_memory(accepting.endpoint)
    assert accepting.endpoint not in endpoints_in_memory()
    accepting.dispatcher.run_until_idle()
    assert accepting.accepted == []  # the one that had not been accepted is closed


def test_connects_are_refused_once_the_dispatcher_is_closed() -> None:
    accepting = Accepting()
    accepting.acceptor.start()
    accepting.dispatcher.close()
    with pytest.raises(ConnectionRefusedError):
        connect_in_memory(accepting.endpoint)
    accepting.acceptor.abandon()


@pytest.mark.parametrize("error", [OSError("gone"), ValueError("odd")])
def test_connection_that_its_server_does_not_take_is_closed(error: Exception) -> None:
    accepting = Accepting()
    accepting.raises = error
    accepting.acceptor.start()
    with connect_in_memory(accepting.endpoint) as client:
        accepting.dispatcher.run_until_idle()
        assert client.recv(1) == b""
    raised = [] if isinstance(error, OSError) else [error]
    assert accepting.dispatcher.raised == raised
    accepting.acceptor.undo()


def test_acceptor_says_what_it_does() -> None:
    accepting = Accepting()
    assert "not accepting, 0 accepted" in repr(accepting.acceptor)
    accepting.acceptor.start()
    assert f"on {accepting.endpoint}, accepting" in repr(accepting.acceptor)
    accepting.acceptor.close()
