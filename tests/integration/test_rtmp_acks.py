"""Players that acknowledge: a service with `ack_window` sends them what they take, and no more."""

from __future__ import annotations

import contextlib
import threading
from typing import Any

import pytest

from pybrpc.protocols.rtmp.command import Command
from pybrpc.protocols.rtmp.message import ack
from pybrpc.rtmp import Frame, RtmpService
from pybrpc.server import Server
from tests.fakes.threads import WAIT_S
from tests.peers.rtmp_peer import RtmpPeer
from tests.peers.rtmp_services import played, serving

PICTURES = [Frame.video(b"\x27\1\0\0\0" + bytes([n]) * 20_000, n) for n in range(200)]


class Sending(RtmpService):
    """Waits for room before each frame. The window is smaller than what may wait."""

    ack_window = 16 * 1024
    max_unwritten_bytes = 200_000

    def on_play(self, stream: Any) -> None:
        for frame in PICTURES:
            stream.send(frame)


class AckingPeer(RtmpPeer):
    """Acknowledges after each `every` bytes."""

    every = 0
    got = acked = 0

    def read_some(self) -> bytes:
        data = super().read_some()
        self.got += len(data)
        if self.every and self.got - self.acked >= self.every:
            self.acked = self.got
            self.send(ack(self.got))
        return data


@pytest.mark.parametrize("every", [2000, 16_384])
def test_acks_are_read_while_senders_wait_for_room(every: int) -> None:
    """The room comes with them."""
    with serving(Sending()) as endpoint, AckingPeer(endpoint).connect() as peer:
        peer.every = every
        peer.play()
        assert played(peer.wait_closed()) == PICTURES


def test_peer_that_reads_no_answers_costs_little_though_its_acks_are_read() -> None:
    """A player that has sent one Ack, and then asks for answers that it never takes."""
    go_on = threading.Event()

    class Service(Sending):
        def on_play(self, stream: Any) -> None:
            stream.accept()
            go_on.wait(WAIT_S)

    server = Server(rtmp_service=Service())
    endpoint = server.start("127.0.0.1:0")
    try:
        with RtmpPeer(endpoint).connect() as peer:
            peer.send(ack(3073))
            peer.play()
            peer.wait_code("NetStream.Play.Start")
            question = peer.pack(*[Command("unheardOf", 5.0).pack()] * 100)
            most = 0
            peer.sock.settimeout(1.0)
            with contextlib.suppress(ConnectionError, TimeoutError):
                for _ in range(2000):
                    peer.sock.sendall(question)
                    held = [each.unwritten_bytes for each in server.unfinished_connections()]
                    most = max(most, sum(held))
            assert most < 2_000_000
    finally:
        go_on.set()
        server.stop(0)
        server.join()
