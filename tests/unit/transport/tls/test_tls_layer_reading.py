"""Records that a TlsLayer reads: whole, in parts, too many, and without data."""

from __future__ import annotations

import contextlib
import socket as plain
import ssl
import threading

import pytest

from pybrpc.errors import ErrorCode
from pybrpc.testing.step_dispatcher import StepDispatcher
from pybrpc.transport.interfaces import bytes_held_by
from pybrpc.transport.socket.reader import READ_BYTES
from pybrpc.transport.tls import tls_layer
from pybrpc.transport.tls.records import GROUP_BYTES
from pybrpc.transport.writing.backlog import Backlog
from tests.fakes.sockets import MakeWire, User
from tests.fakes.tls_sockets import (
    Encrypted,
    client_layer,
    encrypted,
    message,
    server_layer,
)
from tests.peers.tls import NAME, MemoryPeer, certificates


def test_all_records_of_one_read_are_decrypted(step: StepDispatcher, make_wire: MakeWire) -> None:
    """Else the last would wait in the TLS object for a descriptor that has nothing new."""
    user = User()
    near = encrypted(step, make_wire, user)
    for number in range(20):
        near.peer.tls.write(message(number))
    near.peer.send()
    step.run_until_idle()
    assert [user.messages.get_nowait().correlation_id for _ in range(20)] == list(range(20))
    assert near.socket.statistics().reads == 1


def test_half_a_record_is_counted_until_its_end_comes(
    step: StepDispatcher, make_wire: MakeWire
) -> None:
    user = User()
    near = encrypted(step, make_wire, user)
    assert bytes_held_by(near.socket.layer) == 0
    near.peer.tls.write(message(1, 10_000))
    record = near.peer.take_ciphertext()
    near.peer.sock.sendall(record[:5_000])
    step.run_until_idle()
    assert bytes_held_by(near.socket.layer) == 5_000
    near.peer.sock.sendall(record[5_000:])
    step.run_until_idle()
    assert user.messages.get_nowait().correlation_id == 1
    assert bytes_held_by(near.socket.layer) == 0


def test_records_that_wait_while_reading_is_paused_are_counted_and_no_more_are_read(
    step: StepDispatcher, make_wire: MakeWire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls_layer, "STEP_S", 0.0)
    user, unanswered, count = User(), Backlog(1000, 500), 400
    wire = make_wire(step, layer=client_layer(), user=user, unanswered=unanswered)
    near = Encrypted(wire, step)
    unanswered.try_add(2000, True)
    near.peer.sock.setblocking(True)
    near.peer.sock.setsockopt(plain.SOL_SOCKET, plain.SO_SNDBUF, 1 << 20)
    for number in range(count):
        near.peer.tls.write(message(number, 1000))
    size = len(records := near.peer.take_ciphertext())
    sender = threading.Thread(target=near.peer.sock.sendall, args=(records,))
    sender.start()
    while not near.socket.is_reading_paused:
        step.run_until_idle()
    step.run_until_idle()
    held = bytes_held_by(near.socket.layer)
    assert size - READ_BYTES - GROUP_BYTES > held > READ_BYTES // 2
    assert held <= READ_BYTES + GROUP_BYTES
    unanswered.remove(2000, 1)
    while user.messages.qsize() < count:
        step.run_until_idle()
    sender.join()
    assert bytes_held_by(near.socket.layer) == 0


@pytest.mark.parametrize("then_ends", [False, True])
def test_bytes_together_with_the_end_of_the_handshake_are_read(
    step: StepDispatcher, make_wire: MakeWire, then_ends: bool
) -> None:
    user = User()
    wire = make_wire(step, layer=server_layer(), user=user)
    peer = MemoryPeer(wire.peer, certificates().client_context(), NAME)
    while True:
        try:
            peer.tls.do_handshake()
        except ssl.SSLWantReadError:
            peer.send()
            step.run_until_idle()
            peer.receive()
            continue
        break
    peer.tls.write(message(9))
    if then_ends:
        peer.finish()
    peer.send()
    step.run_until_idle()
    assert user.messages.get_nowait().correlation_id == 9
    assert user.errors.qsize() == then_ends


def test_a_peer_that_sends_a_byte_a_record_costs_no_object_a_byte(
    step: StepDispatcher, make_wire: MakeWire
) -> None:
    user = User()
    near = encrypted(step, make_wire, user)
    data = message(3, 1500)
    for at in range(len(data)):
        near.peer.send(data[at : at + 1])
        step.run_until_idle()
        assert near.socket._reader.buffer.block_count <= 2
    assert user.messages.get_nowait().correlation_id == 3


def test_decrypting_stops_when_the_step_is_over_and_goes_on_in_the_next_turn(
    step: StepDispatcher, make_wire: MakeWire, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Hurrying:
        """A clock of which each look costs a second."""

        now_s = 0.0

        def monotonic(self) -> float:
            self.now_s += 1
            return self.now_s

    user = User()
    near = encrypted(step, make_wire, user)
    monkeypatch.setattr(tls_layer, "time", Hurrying())
    for number in range(40):
        near.peer.tls.write(message(number))
    near.peer.sock.setsockopt(plain.SOL_SOCKET, plain.SO_SNDBUF, 1 << 20)
    near.peer.send()
    near.peer.finish()
    counts: list[int] = []
    while step.step():
        counts.append(user.messages.qsize() - sum(counts))
    assert [count for count in counts if count] == [16, 16, 8]
    assert user.errors.get_nowait().code == ErrorCode.EEOF


@pytest.mark.parametrize(("tickets", "fails"), [(40, False), (100, True)])
def test_peer_that_sends_records_without_data_for_ever_is_refused(
    step: StepDispatcher, make_wire: MakeWire, tickets: int, fails: bool
) -> None:
    user = User()
    wire = make_wire(step, layer=client_layer(), user=user)
    context = certificates().server_context()
    context.num_tickets = tickets
    peer = MemoryPeer(wire.peer, context)
    peer.shake_hands(step.run_until_idle)
    with contextlib.suppress(OSError):
        peer.send(message(1))
    step.run_until_idle()
    assert wire.socket.is_failed is fails
    if fails:
        assert "in a row that carry no data" in user.take_error().text
    else:
        assert user.messages.get_nowait().correlation_id == 1
