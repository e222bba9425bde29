"""RtmpAppConnect: the AppConnect of a client of RTMP: its handshake, and `connect`."""

from __future__ import annotations

from pybrpc.errors import Phase, ProtocolError, RtmpStatusError
from pybrpc.iobuf.iobuf import IOBuf
from pybrpc.protocols.rtmp.chunk_writer import ChunkWriter
from pybrpc.protocols.rtmp.client_connect import ClientConnect, status_of
from pybrpc.protocols.rtmp.session import RtmpSession


class RtmpAppConnect:
    """For one socket, whose session continues where this ends.

    RtmpStatusError if the server refuses, with its text; ProtocolError if it does not speak RTMP.
    """

    __slots__ = ("_connect", "_session", "_writer")

    def __init__(self, connect: ClientConnect, session: RtmpSession, writer: ChunkWriter) -> None:
        self._connect = connect
        self._session = session
        self._writer = writer

    def start(self, outgoing: IOBuf) -> bool:
        outgoing.append(self._connect.start())
        return False

    def on_data(self, incoming: IOBuf, outgoing: IOBuf) -> bool:
        connect = self._connect
        connect.receive(incoming, outgoing, self._writer)
        if connect.broken is not None:
            text = f"the server does not speak RTMP: {connect.broken.reason}"
            raise ProtocolError(text, phase=Phase.HANDSHAKE, is_remote=True)
        answer = connect.answer
        if answer is None:
            return False
        if answer.name == "_error":
            raise refusal("the server refuses to connect", *status_of(answer)[1:])
        self._session.continue_from(connect.reader, connect.early)
        return True


def refusal(
    what: str, status: str, description: str, phase: Phase = Phase.HANDSHAKE, peer: str = ""
) -> RtmpStatusError:
    """The error for a status that the server has sent."""
    told = ": ".join(part for part in (status, description) if part)
    error = RtmpStatusError(
        f"{what}: {told}" if told else what, phase=phase, peer=peer, is_remote=True
    )
    error.status = status
    error.remote_text = description
    return error
