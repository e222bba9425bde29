"""Ctrl-C and SIGTERM stop a server that runs until it is asked to quit."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable

import pytest

from pybrpc.server import Server
from tests.fakes.threads import wait_until
from tests.peers.raw_peer import RawPeer, request, text_of
from tests.peers.serving import Gate, make_server, start

NO_GRACE_NEEDED = 3600.0
UNHANDLED = (signal.SIG_DFL, signal.SIG_IGN, signal.default_int_handler)
"""Before a server listens to them; a shell has what runs in its background ignore SIGINT."""


def in_thread(function: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=function)
    thread.start()
    return thread


def send(number: int, server: Server) -> None:
    """Send a signal once it is handled, and return when the server has begun to stop."""
    wait_until(lambda: signal.getsignal(number) not in UNHANDLED)
    os.kill(os.getpid(), number)
    wait_until(lambda: "stopping" in repr(server))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_stops_and_running_requests_end(number: int) -> None:
    gate = Gate()
    server = make_server(gate)
    answers: list[str] = []

    def call_and_send_signal() -> None:
        with RawPeer(server.endpoint) as peer:
            peer.send(request(1))
            gate.wait_entered()
            send(number, server)
            gate.open()
            answers.append(text_of(peer.read_answer()))

    start(server)
    thread = in_thread(call_and_send_signal)
    server.run_until_asked_to_quit(NO_GRACE_NEEDED)
    thread.join()
    assert answers == ["hello"]
    assert not server.is_running


def test_second_signal_ends_the_grace() -> None:
    gate = Gate()
    server = make_server(gate)

    def call_and_send_signals() -> None:
        with RawPeer(server.endpoint) as peer:
            peer.send(request(1))
            gate.wait_entered()
            send(signal.SIGINT, server)
            os.kill(os.getpid(), signal.SIGTERM)
            assert peer.read_to_end() == b""

    start(server)
    thread = in_thread(call_and_send_signals)
    server.run_until_asked_to_quit(NO_GRACE_NEEDED)
    thread.join()
    assert not server.is_running
    gate.open()


def test_handlers_are_restored() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    server = make_server()
    start(server)
    server.stop()
    server.run_until_asked_to_quit()
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_in_another_thread_stop_ends_it() -> None:
    server = make_server()
    endpoint = start(server)
    thread = in_thread(server.run_until_asked_to_quit)
    with RawPeer(endpoint) as peer:
        assert text_of(peer.call()) == "hello"
    server.stop()
    thread.join()
    assert not server.is_running
