"""A client's handshake and its `connect`, as bytes in and bytes out."""

from __future__ import annotations

from typing import Any

import pytest

from pybrpc.iobuf import IOBuf
from pybrpc.protocols.rtmp import ChunkReader, ChunkWriter, Command, HandshakeServer, RtmpMessage
from pybrpc.protocols.rtmp.client_connect import MAX_EARLY_BYTES, ClientConnect, status_of
from pybrpc.protocols.rtmp.command import parse_command
from pybrpc.protocols.rtmp.handshake import BLOCK_SIZE
from pybrpc.protocols.rtmp.message import COMMAND, VIDEO, set_peer_bandwidth

RESULT = Command("_result", 1.0, {"fmsVer": "x"}, ({"code": "NetConnection.Connect.Success"},))


class Server:
    """The other side of a ClientConnect: shakes hands, and reads what comes behind."""

    def __init__(self, connect: ClientConnect) -> None:
        self.connect = connect
        self.client_writer = ChunkWriter()
        self.incoming = IOBuf()
        self.handshake = HandshakeServer()
        self.reader = ChunkReader()
        self.writer = ChunkWriter()
        self.received = IOBuf(connect.start())

    def feed(self, data: bytes, step: int = 0) -> None:
        for at in range(0, len(data), step or max(1, len(data))):
            self.incoming.append(data[at : at + step] if step else data)
            self.connect.receive(self.incoming, self.received, self.client_writer)

    def shake_hands(self, step: int = 0) -> list[RtmpMessage]:
        """The messages that the client sends behind the handshake."""
        self.feed(self.handshake.receive(self.received), step)
        assert self.handshake.receive(self.received) == b""
        assert self.handshake.is_done
        return self.reader.read(self.received)

    def packed(self, *messages: RtmpMessage) -> bytes:
        out = IOBuf()
        for message in messages:
            self.writer.append(out, message, 3)
        return bytes(out)


def new_server(**options: Any) -> Server:
    return Server(ClientConnect({"app": "live", "tcUrl": "rtmp://host/live"}, **options))


@pytest.mark.parametrize("step", [0, 1, 1000])
@pytest.mark.parametrize("uses_digest", [False, True])
def test_connect_follows_the_handshake(step: int, uses_digest: bool) -> None:
    server = new_server(uses_digest=uses_digest, chunk_size=7777, ack_window=99_999)
    (command,) = server.shake_hands(step)
    assert server.handshake.has_digest == uses_digest
    assert server.reader.ack_window == 99_999
    assert server.reader.chunk_size == 7777
    assert server.client_writer.chunk_size == 7777
    parsed = parse_command(command)
    assert (parsed.name, parsed.transaction_id) == ("connect", 1.0)
    assert parsed.command_object == {"app": "live", "tcUrl": "rtmp://host/live"}


@pytest.mark.parametrize("step", [0, 1])
def test_messages_around_the_answer_are_kept_for_the_session(step: int) -> None:
    server = new_server()
    server.shake_hands()
    before = set_peer_bandwidth(5000)
    behind = [Command("onBWDone").pack(), RtmpMessage(VIDEO, b"x" * 300, 1)]
    server.feed(server.packed(before, RESULT.pack(), *behind), step)
    connect = server.connect
    assert connect.answer == RESULT
    messages = connect.early
    while read := connect.reader.read(server.incoming):
        messages += read
    assert messages == [before, *behind]


def test_a_refusal_is_an_answer_too() -> None:
    server = new_server()
    server.shake_hands()
    info = {"level": "error", "code": "NetConnection.Connect.Rejected", "description": "no app"}
    server.feed(server.packed(Command("_error", 1.0, None, (info,)).pack()))
    assert server.connect.answer is not None
    assert status_of(server.connect.answer) == (
        "error",
        "NetConnection.Connect.Rejected",
        "no app",
    )


def test_answers_to_other_commands_are_none() -> None:
    server = new_server()
    server.shake_hands()
    server.feed(server.packed(Command("_result", 2.0).pack(), Command("onBWDone", 1.0).pack()))
    assert server.connect.answer is None
    assert len(server.connect.early) == 2


def test_a_first_byte_that_is_no_version_breaks_it() -> None:
    server = new_server()
    server.feed(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    assert server.connect.broken is not None
    assert "the first byte is 72" in server.connect.broken.reason


def test_a_server_with_tls_is_named() -> None:
    server = new_server()
    server.feed(b"\x15\x03\x01\x00\x02\x02\x46")
    assert server.connect.broken is not None
    assert "the peer speaks TLS" in server.connect.broken.reason


def test_malformed_chunks_break_it() -> None:
    server = new_server()
    server.shake_hands()
    server.feed(b"\xc3\x00\x00")
    assert server.connect.broken is not None
    server.feed(server.packed(RESULT.pack()))
    assert server.connect.answer is None


def test_a_malformed_command_breaks_it() -> None:
    server = new_server()
    server.shake_hands()
    server.feed(server.packed(RtmpMessage(COMMAND, b"\x02\x00\xffabc")))
    assert server.connect.broken is not None
    assert "malformed" in server.connect.broken.reason


@pytest.mark.parametrize("size", [0, 60_000])
def test_a_flood_before_the_answer_breaks_it(size: int) -> None:
    server = new_server()
    server.shake_hands()
    part = server.packed(RtmpMessage(VIDEO, bytes(size), 1))
    for _ in range(MAX_EARLY_BYTES):
        server.feed(part)
        if server.connect.broken is not None:
            break
    assert server.connect.broken is not None
    held = sum(len(message.payload) + 100 for message in server.connect.early)
    assert held <= MAX_EARLY_BYTES + size + 100


def test_nothing_is_sent_before_the_blocks_are_complete() -> None:
    server = new_server()
    blocks = server.handshake.receive(server.received)
    server.feed(blocks[:BLOCK_SIZE])
    assert len(server.received) == 0
    server.feed(blocks[BLOCK_SIZE : 2 * BLOCK_SIZE])
    assert len(server.received) == BLOCK_SIZE
    server.feed(blocks[2 * BLOCK_SIZE :])
    assert len(server.received) > BLOCK_SIZE


@pytest.mark.parametrize(
    "arguments", [(), ("text",), (None, 5.0), ({"other": 1.0},), ({"code": 5.0, "level": None},)]
)
def test_a_status_without_texts_is_empty(arguments: tuple[Any, ...]) -> None:
    assert status_of(Command("onStatus", 0.0, None, arguments)) == ("", "", "")


def test_long_texts_of_a_status_are_cut() -> None:
    info = {"code": "c" * 1000, "level": "error", "description": "d" * 100_000}
    _, code, text = status_of(Command("onStatus", 0.0, None, (info,)))
    assert (len(code), len(text)) == (300, 300)
