"""KeyUpdate messages of TLS 1.3, each of which costs the peer two keys and an answer."""

from __future__ import annotations

import socket
import ssl
import threading
from typing import Any

import pytest

import pybrpc
from bench.times.key_updates import RECORD_BYTES, key_updates, key_updates_among_data
from tests.cases.child import run_in_child
from tests.cases.peers import PATIENT_S, echo_stub, serving
from tests.peers.echo import echo_request
from tests.peers.tls import certificates

UPDATES = 20_000
UNREAD = 300_000
"""Messages whose answers are 8 MB: more than a server keeps, and the kernel for it."""


class UpdatingPeer:
    """A client of Python's ssl that sends KeyUpdate messages."""

    def __init__(self, address: str) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(incoming, self._outgoing)
        host, port = address.split(":")
        self.sock = socket.socket()
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.sock.settimeout(PATIENT_S)
        self.sock.connect((host, int(port)))
        while not self._is_established():
            self.sock.sendall(self._outgoing.read())
            incoming.write(self.sock.recv(65_536))
        self.sock.sendall(self._outgoing.read())

    def updates(self, count: int) -> bytes:
        """Nothing but such messages."""
        return key_updates(self._tls, self._outgoing, count)

    def updates_among_data(self, count: int) -> bytes:
        """Such messages, with a byte of one large request now and then."""
        return key_updates_among_data(self._tls, self._outgoing, count)

    def _is_established(self) -> bool:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True


def serving_tls() -> Any:
    return serving(
        tls=certificates().server_tls(allow_plaintext=True),
        options=pybrpc.SocketOptions(send_buffer_bytes=65_536),
    )


def calls_answered_among_key_updates() -> int:
    """How many calls of another connection, one after the other, are answered meanwhile."""
    answered, is_over, has_begun = 0, threading.Event(), threading.Event()
    with serving_tls() as address:
        peer, stub = UpdatingPeer(address), echo_stub(address)
        records = peer.updates_among_data(UPDATES)
        stub.Echo(echo_request())

        def call_again(response: Any, error: pybrpc.RpcError | None) -> None:
            nonlocal answered
            assert error is None, error
            if is_over.is_set():
                return
            answered += has_begun.is_set()
            stub.Echo.with_callback(echo_request(), call_again)

        def read_answers() -> None:
            left = UPDATES * RECORD_BYTES
            while left > 0:
                left -= len(peer.sock.recv(1 << 20))
                has_begun.set()
            is_over.set()

        stub.Echo.with_callback(echo_request(), call_again)
        threading.Thread(target=peer.sock.sendall, args=(records,), daemon=True).start()
        reader = threading.Thread(target=read_answers, daemon=True)
        reader.start()
        reader.join(PATIENT_S)
        return answered


def test_calls_are_answered_among_many_key_updates() -> None:
    assert run_in_child(calls_answered_among_key_updates) >= 10


def end_of_a_peer_that_sends_nothing_else() -> list[Any]:
    with serving_tls() as address:
        peer, stub = UpdatingPeer(address), echo_stub(address)
        try:
            peer.sock.sendall(peer.updates(UPDATES))
            while peer.sock.recv(1 << 20):
                pass
            ended = "closed"
        except ConnectionError:
            ended = "closed"
        return [ended, stub.Echo(echo_request("hello")).message]


def test_peer_that_sends_nothing_but_key_updates_is_closed() -> None:
    assert run_in_child(end_of_a_peer_that_sends_nothing_else) == ["closed", "hello"]


def end_of_a_peer_that_reads_no_answers() -> list[Any]:
    with serving_tls() as address:
        peer, stub = UpdatingPeer(address), echo_stub(address)
        peer.sock.settimeout(3.0)
        ended = "taken"
        try:
            for _ in range(UNREAD // 1000):
                peer.sock.sendall(peer.updates_among_data(1000))
        except OSError as error:
            ended = type(error).__name__
        return [ended, stub.Echo(echo_request("hello")).message]


@pytest.mark.slow
def test_peer_that_reads_no_answers_to_its_key_updates_is_closed_or_not_read() -> None:
    ended, message = run_in_child(end_of_a_peer_that_reads_no_answers)
    assert ended != "taken"
    assert message == "hello"
