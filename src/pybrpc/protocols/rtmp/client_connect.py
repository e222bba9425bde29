"""ClientConnect: a client's handshake and its `connect` command, as bytes in and bytes out.

    client                                          server
    C0 C1                                -------->
                                         <--------  S0 S1 S2
    C2 WindowAck SetChunkSize connect    -------->
                                         <--------  ... _result

The server may send other messages before its answer, and behind it. They are kept for the session.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pybrpc.iobuf.iobuf import IOBuf
from pybrpc.protocols.detect import tls_hint
from pybrpc.protocols.protocol import Broken
from pybrpc.protocols.rtmp.amf0 import AmfError
from pybrpc.protocols.rtmp.chunk_reader import ChunkReader
from pybrpc.protocols.rtmp.chunk_writer import (
    COMMAND_CHUNK_STREAM,
    CONTROL_CHUNK_STREAM,
    ChunkWriter,
)
from pybrpc.protocols.rtmp.command import Command, parse_command
from pybrpc.protocols.rtmp.handshake import HandshakeClient
from pybrpc.protocols.rtmp.message import (
    COMMAND,
    COMMAND_AMF3,
    DEFAULT_ACK_WINDOW,
    DEFAULT_CHUNK_SIZE,
    DEFAULT_MAX_MESSAGE_BYTES,
    RtmpMessage,
    set_chunk_size,
    window_ack,
)
from pybrpc.protocols.rtmp.session import HANDSHAKE_BYTES

CONNECT_TRANSACTION = 1.0
MAX_EARLY_BYTES = 256 * 1024
"""Limit for the messages that come before the answer to `connect`, with a little for each."""

_EARLY_MESSAGE_BYTES = 100


class ClientConnect:
    """For one connection and one thread at a time; does no I/O.

    `answer` is set once the server has answered `connect`, with `_result` or `_error`. Then `early`
    has the other messages, and `reader` and `writer` are to be used for those that follow. `broken`
    is set if the peer has sent what makes no sense.
    """

    __slots__ = ("_early_bytes", "_handshake", "_messages", "answer", "broken", "early", "reader")

    def __init__(
        self,
        connect: Mapping[str, Any],
        *,
        uses_digest: bool = False,
        chunk_size: int = DEFAULT_CHUNK_SIZE,
        ack_window: int = DEFAULT_ACK_WINDOW,
        max_message_bytes: int = DEFAULT_MAX_MESSAGE_BYTES,
    ) -> None:
        """`connect`: the fields of the command, such as "app". Errors as of `amf0.encode`."""
        command = Command("connect", CONNECT_TRANSACTION, dict(connect))
        self._messages = [window_ack(ack_window), set_chunk_size(chunk_size), command.pack()]
        self._handshake: HandshakeClient | None = HandshakeClient(uses_digest)
        self._early_bytes = 0
        self.reader = ChunkReader(max_message_bytes, received_bytes=HANDSHAKE_BYTES)
        self.early: list[RtmpMessage] = []
        self.answer: Command | None = None
        self.broken: Broken | None = None

    def start(self) -> bytes:
        """The bytes to send first."""
        assert self._handshake is not None
        return self._handshake.start()

    def receive(self, incoming: IOBuf, outgoing: IOBuf, writer: ChunkWriter) -> None:
        """Take bytes off `incoming`, and append those to send to `outgoing`.

        `writer` is that of the connection. What is left in `incoming` once there is an answer
        belongs to the session. No bytes make it raise.
        """
        if self._handshake is not None and not self._shake_hands(incoming, outgoing, writer):
            return
        while self.answer is None and self.broken is None:
            messages = self.reader.read(incoming)
            self._look_at(messages)
            self.broken = self.broken or self.reader.broken
            if not messages:
                return

    def _shake_hands(self, incoming: IOBuf, outgoing: IOBuf, writer: ChunkWriter) -> bool:
        handshake = self._handshake
        assert handshake is not None
        hint = tls_hint(incoming)
        outgoing.append(handshake.receive(incoming))
        if handshake.broken is not None:
            self.broken = Broken(f"{handshake.broken.reason}{hint}")
        if not handshake.is_done:
            return False
        self._handshake = None
        for message in self._messages:
            is_command = message.message_type == COMMAND
            chunk_stream = COMMAND_CHUNK_STREAM if is_command else CONTROL_CHUNK_STREAM
            writer.append(outgoing, message, chunk_stream)
        return True

    def _look_at(self, messages: list[RtmpMessage]) -> None:
        for message in messages:
            if self.answer is None and message.message_type in (COMMAND, COMMAND_AMF3):
                try:
                    command = parse_command(message)
                except AmfError as error:
                    self.broken = Broken(f"RTMP: the answer to connect is malformed: {error}")
                    return
                if command.transaction_id == CONNECT_TRANSACTION and command.name in (
                    "_result",
                    "_error",
                ):
                    self.answer = command
                    continue
            self.early.append(message)
            self._early_bytes += len(message.payload) + _EARLY_MESSAGE_BYTES
            if self.answer is None and self._early_bytes > MAX_EARLY_BYTES:
                text = f"RTMP: more than {MAX_EARLY_BYTES} bytes came before the answer to connect"
                self.broken = Broken(text)
                return

    def __repr__(self) -> str:
        state = "broken" if self.broken else "answered" if self.answer else "waiting"
        return f"<ClientConnect {state}>"


def status_of(command: Command) -> tuple[str, str, str]:
    """The level, the code and the description in an answer or an onStatus; "" for what is missing.

    They come from the peer: the text is cut, and may hold anything.
    """
    for value in (*command.arguments, command.command_object):
        if isinstance(value, dict) and ("code" in value or "level" in value):
            texts = (value.get(key) for key in ("level", "code", "description"))
            level, code, text = (text[:300] if isinstance(text, str) else "" for text in texts)
            return level, code, text
    return "", "", ""
