"""RtmpLayer: sends no more than the peer acknowledges, for peers that send Acks.

A peer that knows a window sends an Ack each time it has received so many bytes. Real ones differ:
FFmpeg sends it after half a window, librtmp after a tenth, and GStreamer's rtmp2src only after more
than a whole one. So the credit is two windows and a chunk: with one window, rtmp2src and its server
would wait for each other. Nothing obliges a player to send Acks, and many never do: the credit
begins to count with the first one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

from pybrpc.base.checked_options import checked_count
from pybrpc.errors import DispatcherClosedError, OvercrowdedError
from pybrpc.iobuf.iobuf import IOBuf
from pybrpc.protocols.rtmp.message import U32_MASK
from pybrpc.transport.interfaces import ConnectionLayer, TlsInfo, bytes_held_by
from pybrpc.transport.socket.socket import Socket

MIN_ACK_WINDOW = 16 * 1024
"""Bytes. Peers may leave the 3 KiB of the handshake out of their Acks."""

_HALF = 1 << 31


class AckSource(Protocol):
    """The Acks of the peer, as the RtmpSession of the connection knows them."""

    acked_bytes: int
    """The number in the last Ack, modulo 2**32."""
    has_acks: bool
    on_ack: Callable[[], None] | None
    """Called when Acks have come. In a turn."""


def credit_of(ack_window: int, chunk_bytes: int) -> int:
    """Bytes that may be sent and not acknowledged. ValueError for a window under 16 KiB."""
    return 2 * checked_count("ack_window", ack_window, MIN_ACK_WINDOW) + chunk_bytes


class RtmpLayer:
    """A ConnectionLayer over another one, mostly `PLAIN`, which does the work.

    Without credit `cut_into_fd` raises OvercrowdedError, so the writer tries again after its pause,
    or when `resume` is called: `acks.on_ack` should have that done, in a turn. Acks that claim more
    than was sent count as all that was. A peer that sends none any more is not sent anything
    either: its connection becomes overcrowded, and is closed after `write_stall_timeout_s`.
    """

    __slots__ = ("_acks", "_below", "_credit", "_is_lifted", "_sent")

    def __init__(
        self, below: ConnectionLayer, acks: AckSource, credit_bytes: int, sent_bytes: int = 0
    ) -> None:
        """`sent_bytes`: on this connection so far, those of the handshake of RTMP included.

        It may replace the layer of a connection in use if nobody is writing meanwhile."""
        self._below = below
        self._acks = acks
        self._credit = credit_bytes
        self._sent = sent_bytes
        self._is_lifted = False

    def lift(self) -> None:
        """Limit no more: Acks are not read any longer. Any thread."""
        self._is_lifted = True

    @property
    def room_bytes(self) -> int | None:
        """Bytes that may be sent now; `None` if any number may, as the peer has sent no Ack."""
        if self._is_lifted or not self._acks.has_acks:
            return None
        unacked = (self._sent - self._acks.acked_bytes) & U32_MASK
        if unacked >= _HALF:
            unacked = 0
        return max(0, self._credit - unacked)

    @property
    def lacks_credit(self) -> bool:
        """Whether nothing may be sent before the peer has sent another Ack."""
        return self.room_bytes == 0

    def cut_into_fd(self, fd: int, pieces: Sequence[IOBuf], /) -> int:
        room = self.room_bytes
        if room is None or not pieces:
            taken = self._below.cut_into_fd(fd, pieces)
        elif room == 0:
            if not self._below.has_unsent:
                raise OvercrowdedError("the peer has not acknowledged what it was sent")
            taken = self._below.cut_into_fd(fd, ())
        else:
            taken = self._cut_some(fd, pieces, room)
        self._sent += taken
        return taken

    def _cut_some(self, fd: int, pieces: Sequence[IOBuf], room: int) -> int:
        """At most `room` bytes. A copy shares the blocks of the piece that is too long."""
        whole: list[IOBuf] = []
        for piece in pieces:
            if len(piece) > room:
                break
            whole.append(piece)
            room -= len(piece)
        else:
            return self._below.cut_into_fd(fd, pieces)
        if room == 0:
            return self._below.cut_into_fd(fd, whole)
        last = pieces[len(whole)]
        part = last.copy()
        part.pop_back(len(part) - room)
        taken = self._below.cut_into_fd(fd, [*whole, part])
        last.pop_front(room - len(part))
        return taken

    # --- the rest is done by the layer below ---

    @property
    def writes_in_background(self) -> bool:
        return self._below.writes_in_background

    @property
    def has_unsent(self) -> bool:
        return self._below.has_unsent

    @property
    def has_unread(self) -> bool:
        return self._below.has_unread

    @property
    def tls(self) -> TlsInfo | None:
        return self._below.tls

    @property
    def held_bytes(self) -> int:
        return bytes_held_by(self._below)

    @property
    def unsent_bytes(self) -> int:
        return int(getattr(self._below, "unsent_bytes", 0))

    def shake_hands(self, fd: int, /) -> bool:
        return self._below.shake_hands(fd)

    def append_from_fd(self, fd: int, buffer: IOBuf, max_bytes: int, /) -> int:
        return self._below.append_from_fd(fd, buffer, max_bytes)

    def finish(self, fd: int, /) -> None:
        self._below.finish(fd)

    def close(self, fd: int, /) -> None:
        self._below.close(fd)

    def __repr__(self) -> str:
        room = self.room_bytes
        state = "no Acks yet" if room is None else f"room for {room} bytes"
        return f"<RtmpLayer over {self._below!r}, {state}>"


def limit_unacknowledged(
    socket: Socket, acks: AckSource, ack_window: int, chunk_bytes: int
) -> Callable[[], None]:
    """Send no more on `socket` than its peer acknowledges. It shall do that after `ack_window`
    bytes, and gets chunks of `chunk_bytes`. In a turn, before other threads write.

    Return a function that ends this: to be called, in any thread, before the socket stops reading.
    ValueError for a window under 16 KiB.
    """
    credit = credit_of(ack_window, chunk_bytes)
    socket.read_while_overcrowded()  # an Ack may be what makes room
    layer = RtmpLayer(socket.layer, acks, credit, socket.bytes_written)
    socket.layer = layer
    acks.on_ack = partial(_resume_soon, socket)

    def lift() -> None:
        layer.lift()
        _resume_soon(socket)

    return lift


def _resume_soon(socket: Socket) -> None:
    """Not at once: the socket is reading."""
    with contextlib.suppress(DispatcherClosedError):
        socket.dispatcher.post(socket.resume_writing)
