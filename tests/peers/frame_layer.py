"""FrameLayer: a ConnectionLayer below the messages, with lengths, checksums and credit.

    !I  size of what follows the header, in bytes
    !I  its CRC-32
    !B  0: bytes of messages
        1: a credit, !I bytes that may be sent in addition
        2: nothing more will come; empty

A side begins with `credit_bytes` and may send no more than the other side has credited: without
credit it answers EOVERCROWDED. A side that receives bytes credits as many.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Sequence

from pybrpc.errors import ErrorCode, OvercrowdedError, ProtocolError
from pybrpc.iobuf import IOBuf
from pybrpc.transport.interfaces import TlsInfo

HEADER = struct.Struct("!IIB")
CREDIT = struct.Struct("!I")
BYTES, CREDITS, END = 0, 1, 2
MAX_FRAME_BYTES = 1000


def pack_frame(kind: int, content: bytes) -> bytes:
    return HEADER.pack(len(content), zlib.crc32(content), kind) + content


class FrameLayer:
    """One side. `gives_credit` False: a side that takes bytes and never credits them."""

    tls: TlsInfo | None = None
    has_unread = False

    def __init__(
        self,
        credit_bytes: int = 1 << 30,
        *,
        writes_in_background: bool = False,
        gives_credit: bool = True,
    ) -> None:
        self.writes_in_background = writes_in_background
        self.credit_bytes = credit_bytes
        self.refused = 0
        self.said: list[str] = []
        self._gives_credit = gives_credit
        self._unsent = IOBuf()
        self._received = IOBuf()

    @property
    def has_unsent(self) -> bool:
        return bool(self._unsent)

    def shake_hands(self, fd: int, /) -> bool:
        return True

    def cut_into_fd(self, fd: int, pieces: Sequence[IOBuf], /) -> int:
        taken = 0
        if not self._unsent and any(pieces):
            taken = self._take(pieces)
        try:
            self._unsent.cut_into_fd(fd)
        except BlockingIOError:
            if not taken:
                raise
        return taken

    def append_from_fd(self, fd: int, buffer: IOBuf, max_bytes: int, /) -> int:
        data = os.read(fd, max_bytes)
        if not data:
            return 0
        self._received.append(data)
        before = len(buffer)
        while self._cut_frame(buffer):
            pass
        if len(buffer) == before:
            raise BlockingIOError
        return len(buffer) - before

    def finish(self, fd: int, /) -> None:
        if "finish" not in self.said:
            self.said.append("finish")
            self._unsent.append(pack_frame(END, b""))

    def close(self, fd: int, /) -> None:
        self.said.append("close")

    def _take(self, pieces: Sequence[IOBuf]) -> int:
        room = min(MAX_FRAME_BYTES, self.credit_bytes)
        if not room:
            self.refused += 1
            raise OvercrowdedError("no credit", code=ErrorCode.EOVERCROWDED)
        content = IOBuf()
        for piece in pieces:
            content.append(piece.cutn(room - len(content)))
        self.credit_bytes -= len(content)
        self._unsent.append(pack_frame(BYTES, bytes(content)))
        return len(content)

    def _cut_frame(self, buffer: IOBuf) -> bool:
        """False: there is no whole frame."""
        if len(self._received) < HEADER.size:
            return False
        size, crc, kind = HEADER.unpack(self._received.peek(HEADER.size))
        if size > MAX_FRAME_BYTES:
            raise ProtocolError(f"a frame of {size} bytes, at most {MAX_FRAME_BYTES} are allowed")
        if len(self._received) < HEADER.size + size:
            return False
        self._received.pop_front(HEADER.size)
        content = bytes(self._received.cutn(size))
        if zlib.crc32(content) != crc:
            raise ProtocolError("a frame's checksum is wrong")
        if kind == CREDITS:
            self.credit_bytes += CREDIT.unpack(content)[0]
        else:
            buffer.append(content)
            if self._gives_credit:
                self._unsent.append(pack_frame(CREDITS, CREDIT.pack(len(content))))
        return True
