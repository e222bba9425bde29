"""Scripts for ScriptedServer that keep nothing of what they read, for tests of many calls."""

from __future__ import annotations

import socket

from pybrpc.iobuf import IOBuf
from pybrpc.protocols.baidu_std import BAIDU_STD
from pybrpc.protocols.message import RpcRequest
from tests.peers.echo import echo_frame
from tests.peers.scripted_server import LIMITS, Peer


def echo_in_batches(peer: Peer) -> None:
    """A script for ScriptedServer; keeps no requests, so that many may come."""
    buffer = IOBuf()
    while data := _receive(peer.sock):
        buffer.append(data)
        frames: list[bytes] = []
        while isinstance(message := BAIDU_STD.parse(buffer, LIMITS), RpcRequest):
            frames.append(echo_frame(message))
        peer.send(b"".join(frames))


def swallow(peer: Peer) -> None:
    """A script for ScriptedServer: reads, keeps nothing, says nothing."""
    while _receive(peer.sock):
        pass


def _receive(sock: socket.socket) -> bytes:
    try:
        return sock.recv(256 * 1024)
    except ConnectionError:
        return b""
