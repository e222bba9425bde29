"""SocketReader: the reading side of one socket, run by the dispatcher."""

from __future__ import annotations

import contextlib
from functools import partial

from pybrpc.errors import ErrorCode, Phase, ProtocolError, RpcError, make_rpc_error
from pybrpc.iobuf.iobuf import IOBuf
from pybrpc.transport.dispatch.event_dispatcher import DispatcherClosedError
from pybrpc.transport.interfaces import ConnectionLayer
from pybrpc.transport.socket.message_cutter import MessageCutter
from pybrpc.transport.writing.backlog import Backlog
from pybrpc.transport.writing.errors import broken_error
from pybrpc.transport.writing.socket_core import SocketCore
from pybrpc.transport.writing.writer import SocketWriter

READ_BYTES = 64 * 1024
MAX_READ_BYTES = 4 * 1024 * 1024
"""The largest block that is received into."""

READ_ON_BELOW = 1024 * 1024
"""Bytes that one connection reads in a turn before it lets other connections read."""

MAX_ALLOCATION_FACTOR = 16
"""For the rest of a message, this many times the bytes received so far are allocated at most, or
64 KiB: a peer that declares a large message and doesn't send it costs little memory."""

DISCARD_BYTES = 16 * 1024 * 1024
"""Most bytes that are read and discarded before the connection is closed."""


class SocketReader:
    """Reads bytes, cuts them into messages, and hands over all messages of one read at once.

    With `pauses_when_overcrowded` it stops reading while the peer doesn't read what is written to
    it: TCP then slows such a peer down, and this process doesn't grow. It also stops reading while
    `unanswered` is overcrowded: the user of the socket counts there the received bytes that it has
    not dealt with yet.
    """

    __slots__ = (
        "_cutter",
        "_discard_left",
        "_is_discarding",
        "_is_paused",
        "_pauses_when_overcrowded",
        "_unanswered",
        "_writer",
        "bytes_read",
        "has_ended",
        "messages_read",
        "reads",
    )

    def __init__(
        self,
        cutter: MessageCutter,
        writer: SocketWriter,
        pauses_when_overcrowded: bool = False,
        unanswered: Backlog | None = None,
    ) -> None:
        self._cutter = cutter
        self._writer = writer
        self._unanswered = unanswered
        self._pauses_when_overcrowded = pauses_when_overcrowded
        self._is_paused = False
        self._is_discarding = False
        self._discard_left = DISCARD_BYTES
        self.has_ended = False
        """Whether the peer has shut its writing side; nothing is read any more."""
        self.bytes_read = 0
        self.messages_read = 0
        self.reads = 0

    @property
    def is_paused(self) -> bool:
        """Whether nothing is read because a backlog is overcrowded."""
        return self._is_paused

    @property
    def buffer(self) -> IOBuf:
        """Bytes that were read and are not cut yet. A handshake leaves the bytes after it here."""
        return self._cutter.buffer

    def start(self, socket: SocketCore) -> None:
        """Read from now on, beginning with the bytes that a handshake has left. Inside a turn."""
        socket.dispatcher.add_reader(socket.fd, partial(self.on_readable, socket))
        if self.buffer:
            self._cut(socket)
        self._read_on(socket)

    def stop(self, socket: SocketCore) -> None:
        """Inside a turn; before the descriptor is closed."""
        if socket.is_connected:
            socket.dispatcher.remove_reader(socket.fd)

    def discard_from_now_on(self) -> None:
        """Read on, but discard: closing with unread data would reset the connection."""
        self._is_discarding = True

    def on_readable(self, socket: SocketCore) -> None:
        """Read once, or more often while a large message is incomplete. Inside a turn."""
        self._writer.on_read()
        left = READ_ON_BELOW
        while left > 0:
            count = self._read_once(socket)
            if count < READ_BYTES or not self._cutter.bytes_wanted():
                return
            left -= count

    def _read_once(self, socket: SocketCore) -> int:
        """The number of bytes read: 0 at the end of the stream, -1 if there was nothing to read."""
        if socket.error is not None or self._is_paused or self.has_ended:
            return -1
        layer = socket.layer
        count = self._read(socket, layer)
        if layer.has_unsent and socket.error is None:
            self._writer.flush(socket)
        if count < 0:
            return count
        self.reads += 1
        self.bytes_read += count
        if count == 0:
            self._end(socket)
            return count
        if self._is_discarding:
            self._discard(socket, count)
        else:
            self._cut(socket)
        if layer.has_unread:
            self._read_on(socket)
        return count

    def _read(self, socket: SocketCore, layer: ConnectionLayer) -> int:
        """Read once into the buffer of the cutter; return the number of bytes, -1 if none came."""
        try:
            return layer.append_from_fd(socket.fd, self._cutter.buffer, self._read_size())
        except BlockingIOError:
            return -1
        except (OSError, RpcError) as error:
            socket.fail(broken_error(socket, error, "read from", Phase.WAITING))
            return -1

    def _read_size(self) -> int:
        wanted: int = self._cutter.bytes_wanted()
        if wanted <= READ_BYTES:
            return READ_BYTES
        return min(
            wanted,
            MAX_READ_BYTES,
            max(READ_BYTES, MAX_ALLOCATION_FACTOR * len(self._cutter.buffer)),
        )

    def _read_on(self, socket: SocketCore) -> None:
        """Post a read if the layer holds data: the descriptor may not become readable again."""
        if socket.layer.has_unread and not self._is_paused and socket.error is None:
            with contextlib.suppress(DispatcherClosedError):
                socket.dispatcher.post(partial(self.on_readable, socket))

    def _cut(self, socket: SocketCore) -> None:
        messages = self._cutter.cut()
        if messages:
            self.messages_read += len(messages)
            socket.dispatch_messages(messages)
        broken = self._cutter.broken
        if broken is not None and not self._is_discarding:
            text = f"Close {socket.description}: {broken.reason}"
            peer = str(socket.remote_side)
            error = ProtocolError(text, phase=Phase.WAITING, peer=peer, is_remote=True)
            if socket.on_end(error):
                self._is_discarding = True
            else:
                socket.fail(error)
        else:
            backlog = self._overcrowded_backlog(socket)
            if backlog is not None:
                self._pause(socket, backlog)

    def _end(self, socket: SocketCore) -> None:
        self.has_ended = True
        text = f"Got EOF of {socket.description}"
        peer = str(socket.remote_side)
        error = make_rpc_error(ErrorCode.EEOF, text, phase=Phase.WAITING, peer=peer, is_remote=True)
        if socket.on_end(error):
            self.stop(socket)
        else:
            socket.fail(error)

    def _discard(self, socket: SocketCore, count: int) -> None:
        self._cutter.buffer.clear()
        self._discard_left -= count
        if self._discard_left < 0:
            socket.close()

    def _overcrowded_backlog(self, socket: SocketCore) -> Backlog | None:
        """The backlog that has to shrink before more is read, if there is one."""
        unanswered = self._unanswered
        if self._pauses_when_overcrowded and socket.backlog.is_overcrowded:
            return socket.backlog
        return unanswered if unanswered is not None and unanswered.is_overcrowded else None

    def _pause(self, socket: SocketCore, backlog: Backlog) -> None:
        if not self._is_paused:
            self._is_paused = True
            socket.dispatcher.remove_reader(socket.fd)
            backlog.on_below_low_water(partial(self._resume, socket))

    def _resume(self, socket: SocketCore) -> None:
        """The backlog is under its mark again, or the socket has failed. Any thread."""
        with contextlib.suppress(DispatcherClosedError):
            socket.dispatcher.post(partial(self._restart, socket))

    def _restart(self, socket: SocketCore) -> None:
        """Inside a turn."""
        if not self._is_paused or socket.error is not None:
            return
        backlog = self._overcrowded_backlog(socket)
        if backlog is not None:
            backlog.on_below_low_water(partial(self._resume, socket))
            return
        self._is_paused = False
        self.start(socket)
