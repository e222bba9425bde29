"""Deeds of a hostile peer with streams."""

from __future__ import annotations

import random
import socket

from pybrpc.iobuf import IOBuf
from pybrpc.protocols.message import StreamSettings
from pybrpc.protocols.protocol import ParseLimits
from pybrpc.protocols.streaming.stream_frame import (
    StreamFrame,
    data_meta,
    pack_close,
    pack_data,
    pack_feedback,
    pack_rst,
)
from pybrpc.protocols.streaming.streaming_rpc import StreamingRpc
from pybrpc.streams.opening import ids_of_answer
from soak.hostile.victim import Victim, reset
from soak.streams.service import UNREAD

STORM = 5000
"""Frames of a storm."""
MOST_REQUESTS = 17
"""With 64 streams each they are more than a connection may have."""


def flood_streams(victim: Victim, source: random.Random) -> None:
    """Send on streams that nobody reads until they are reset, and then go on."""
    with victim.connect() as sock:
        for stream_id in opened_streams(victim, sock, source.randint(1, 5)):
            size = source.choice((0, 1000, 100_000))
            goes_on = source.random() < 0.5
            frame = bytes(pack_data(data_meta(stream_id, 1, has_continuation=goes_on), bytes(size)))
            sock.sendall(frame * (2_000_000 // (size + 64)))
        reset(sock)


def storm_with_stream_frames(victim: Victim, source: random.Random) -> None:
    """Send frames of all kinds to streams that are there, and to others."""
    with victim.connect() as sock:
        ids = [*opened_streams(victim, sock, 2), source.getrandbits(62), 0, -1]
        frames = [
            source.choice(
                (
                    pack_rst(source.choice(ids)),
                    pack_close(source.choice(ids), source.getrandbits(40)),
                    pack_feedback(source.choice(ids), 1, source.getrandbits(62)),
                    bytes(pack_data(data_meta(source.choice(ids), 1), b"x")),
                )
            )
            for _ in range(STORM)
        ]
        sock.sendall(b"".join(frames))
        if source.random() < 0.5:
            sock.sendall(b"STRM" + source.randbytes(100))
        reset(sock)


def leave_streams_open(victim: Victim, source: random.Random) -> None:
    """Ask for as many streams as there may be, or more, and leave."""
    with victim.connect() as sock:
        for _ in range(source.randint(1, MOST_REQUESTS)):
            sock.sendall(asking_frame(victim, source.choice((1, 64, 65))))
        if source.random() < 0.5:
            sock.recv(1000)
        reset(sock)


def opened_streams(victim: Victim, sock: socket.socket, count: int) -> list[int]:
    """Ask for streams; their ids, which the server has chosen. ConnectionError if it closes."""
    sock.sendall(asking_frame(victim, count))
    buffer = IOBuf()
    while not isinstance(frame := StreamingRpc().parse(buffer, ParseLimits()), StreamFrame):
        data = sock.recv(65_536)
        if not data:
            raise ConnectionError("the server has closed")
        buffer.append(data)
    return ids_of_answer(frame.data)


def asking_frame(victim: Victim, count: int) -> bytes:
    """A request for so many streams."""
    settings = StreamSettings(1, True, True, tuple(range(2, count + 1)))
    return victim.frame(1, UNREAD, stream_settings=settings)
