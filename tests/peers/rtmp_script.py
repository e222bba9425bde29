"""A server of RTMP that does what a test's script says, and a client on top of it.

with ScriptedServer(lambda peer: RtmpServerEnd(peer).serve()) as server: ...
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from pybrpc.iobuf import IOBuf
from pybrpc.protocols.rtmp import HandshakeServer
from pybrpc.protocols.rtmp.chunk_reader import ChunkReader
from pybrpc.protocols.rtmp.chunk_writer import ChunkWriter
from pybrpc.protocols.rtmp.command import Command, parse_command, stored_data
from pybrpc.protocols.rtmp.message import AUDIO, COMMAND, DATA, VIDEO, RtmpMessage
from pybrpc.rtmp import Frame, RtmpClient, RtmpOptions
from tests.fakes.threads import WAIT_S
from tests.peers.scripted_server import Peer, Script, ScriptedServer

MEDIA = AUDIO, VIDEO, DATA
PATIENT = RtmpOptions(timeout=WAIT_S, connect_timeout=WAIT_S)


def status(code: str, level: str = "status", text: str = "") -> Command:
    info = {"level": level, "code": code, "description": text}
    return Command("onStatus", 0.0, None, (info,))


class RtmpServerEnd:
    """The server's end of one connection. Blocking; used by the thread of its script."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.handshake = HandshakeServer()
        self.reader = ChunkReader()
        self.writer = ChunkWriter()
        self.buffer = IOBuf()
        self.commands: list[tuple[Command, int]] = []
        """Commands that have come and were not taken, each with the id of its stream."""
        self.frames: list[Frame] = []
        self.data: list[bytes] = []
        """Payloads of data messages, as they came."""
        self.others: list[RtmpMessage] = []
        self.seen: list[str] = []
        """Names of all commands that have come."""

    def shake_hands(self) -> None:
        while not self.handshake.is_done and self._receive():
            self.peer.send(self.handshake.receive(self.buffer))

    def expect(self, name: str) -> tuple[Command, int]:
        """The next command of this name; others are skipped. With the id of its stream."""
        found = self.next(name)
        assert found is not None, f"the client closed instead of sending {name}"
        return found

    def next(self, name: str) -> tuple[Command, int] | None:
        """As `expect`, or `None` if the client has closed."""
        while True:
            for index, (command, stream_id) in enumerate(self.commands):
                if command.name == name:
                    del self.commands[: index + 1]
                    return command, stream_id
            self.commands.clear()
            self._cut()
            if not self.commands and not self.read_on():
                return None

    def read_on(self) -> bool:
        """Read once. False if the client has closed."""
        if not self._receive():
            return False
        self._cut()
        return True

    def _cut(self) -> None:
        while messages := self.reader.read(self.buffer):
            for message in messages:
                if message.message_type == COMMAND:
                    command = parse_command(message)
                    self.seen.append(command.name)
                    self.commands.append((command, message.stream_id))
                elif message.message_type in MEDIA:
                    if message.message_type == DATA:
                        self.data.append(message.payload)
                        message = stored_data(message)
                    self.frames.append(Frame.of_message(message))
                else:
                    self.others.append(message)
        assert self.reader.broken is None, self.reader.broken

    def read_to_end(self) -> None:
        self._cut()
        while self.read_on():
            pass

    def packed(self, *messages: RtmpMessage) -> bytes:
        out = IOBuf()
        for message in messages:
            self.writer.append(out, message, 3 if message.message_type == COMMAND else 4)
        return bytes(out)

    def send(self, *messages: RtmpMessage) -> None:
        self.peer.send(self.packed(*messages))

    def answer(self, command: Command, *arguments: Any, name: str = "_result") -> RtmpMessage:
        return Command(name, command.transaction_id, None, arguments).pack()

    def accept_connect(self) -> Command:
        self.shake_hands()
        command, _ = self.expect("connect")
        self.send(self.answer(command, {"code": "NetConnection.Connect.Success"}))
        return command

    def create(self, stream_id: int = 1) -> bool:
        """False if the client has closed instead."""
        found = self.next("createStream")
        if found is not None:
            self.send(self.answer(found[0], float(stream_id)))
        return found is not None

    def accept_publish(self, stream_id: int = 1) -> None:
        self.create(stream_id)
        self.expect("publish")
        self.send(status("NetStream.Publish.Start").pack(stream_id))

    def accept_play(self, stream_id: int = 1) -> None:
        self.create(stream_id)
        self.expect("play")
        self.send(status("NetStream.Play.Start").pack(stream_id))

    def send_frames(self, *frames: Frame, stream_id: int = 1) -> None:
        self.send(
            *(
                RtmpMessage(frame.message_type, frame.payload, stream_id, frame.timestamp)
                for frame in frames
            )
        )

    def _receive(self) -> bool:
        try:
            data = self.peer.sock.recv(65536)
        except ConnectionError:
            data = b""
        self.buffer.append(data)
        return bool(data)


@contextmanager
def client_of(
    *scripts: Script, options: RtmpOptions = PATIENT
) -> Iterator[tuple[RtmpClient, ScriptedServer]]:
    """A client of a server whose connections run these scripts, one after another."""
    with (
        ScriptedServer(*scripts) as server,
        RtmpClient(f"rtmp://{server.address}/live", options) as client,
    ):
        yield client, server


SOON_S = 0.05
"""For what never comes."""

HASTY = RtmpOptions(timeout=SOON_S, connect_timeout=WAIT_S)
FRAMES = [
    Frame.of_metadata({"width": 160.0}),
    Frame.video(b"\x17\x00" + bytes(50), 0),
    Frame.video(b"\x17\x01" + bytes(200_000), 40),
    Frame.audio(b"\xaf\x01sound", 45),
]


def playing(*frames: Frame) -> Callable[[Peer], None]:
    """The script of a server that plays frames and ends the stream."""

    def script(peer: Peer) -> None:
        rtmp = RtmpServerEnd(peer)
        rtmp.accept_connect()
        rtmp.accept_play()
        rtmp.send_frames(*frames)
        rtmp.send(status("NetStream.Play.UnpublishNotify").pack(1))
        rtmp.read_to_end()

    return script


def silent(peer: Peer) -> None:
    """The script of a server that answers `connect`, and nothing after it."""
    RtmpServerEnd(peer).accept_connect()
    peer.wait_closed()


class PublishScript:
    """The script of a server that takes what is published, and keeps it."""

    def __init__(self) -> None:
        self.peers: list[RtmpServerEnd] = []

    def __call__(self, peer: Peer) -> None:
        rtmp = RtmpServerEnd(peer)
        self.peers.append(rtmp)
        rtmp.accept_connect()
        rtmp.accept_publish()
        rtmp.read_to_end()


def connecting(*parts: bytes | RtmpMessage) -> Callable[[Peer], None]:
    """The script of a server that shakes hands, reads `connect` and answers with this."""

    def script(peer: Peer) -> None:
        rtmp = RtmpServerEnd(peer)
        rtmp.shake_hands()
        rtmp.expect("connect")
        for part in parts:
            peer.send(part if isinstance(part, bytes) else rtmp.packed(part))
        peer.wait_closed()

    return script
