"""SocketReader: the reading side of one socket, driven by the dispatcher."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from pybrpc.errors import ErrorCode, Phase, ProtocolError, from_os_error, make_rpc_error
from pybrpc.transport.event_dispatcher import DispatcherClosedError
from pybrpc.transport.message_cutter import MessageCutter

if TYPE_CHECKING:
    from pybrpc.transport.socket import Socket

READ_BYTES = 64 * 1024
MAX_READ_BYTES = 4 * 1024 * 1024
DISCARD_BYTES = 16 * 1024 * 1024


class SocketReader:
    """Reads what there is, cuts it into messages, hands them on, all of one read in one go.

    With `pauses_when_crowded` it stops reading while the peer doesn't read what is written to
    it, so that a slow reader is slowed down by TCP and doesn't make this process grow.
    """

    __slots__ = (
        "_cutter",
        "_discard_left",
        "_is_discarding",
        "_is_paused",
        "_pauses_when_crowded",
        "bytes_read",
        "messages_read",
        "reads",
    )

    def __init__(self, cutter: MessageCutter, pauses_when_crowded: bool = False) -> None:
        self._cutter = cutter
        self._pauses_when_crowded = pauses_when_crowded
        self._is_paused = False
        self._is_discarding = False
        self._discard_left = DISCARD_BYTES
        self.bytes_read = 0
        self.messages_read = 0
        self.reads = 0

    def start(self, socket: Socket) -> None:
        """Inside a turn."""
        socket.dispatcher.add_reader(socket.fd, socket.on_readable)

    def stop(self, socket: Socket) -> None:
        """Inside a turn; before the descriptor is closed."""
        if socket.is_connected:
            socket.dispatcher.remove_reader(socket.fd)

    def discard_from_now_on(self) -> None:
        """Read on, throw away: closing with unread data would reset what was written."""
        self._is_discarding = True

    def on_readable(self, socket: Socket) -> None:
        """One read, and what it completes. Inside a turn."""
        if socket.error is not None:
            return
        buffer = self._cutter.buffer
        size = min(max(READ_BYTES, self._cutter.bytes_wanted()), MAX_READ_BYTES)
        try:
            count = buffer.append_from_fd(socket.fd, size)
        except BlockingIOError:
            return
        except OSError as error:
            what = f"Fail to read from {socket.description}"
            peer = str(socket.remote_side)
            socket.set_failed(from_os_error(error, what, phase=Phase.WAITING, peer=peer))
            return
        self.reads += 1
        self.bytes_read += count
        if count == 0:
            text = f"Got EOF of {socket.description}"
            peer = str(socket.remote_side)
            socket.set_failed(
                make_rpc_error(ErrorCode.EEOF, text, phase=Phase.WAITING, peer=peer, is_remote=True)
            )
        elif self._is_discarding:
            self._discard(socket, count)
        else:
            self._cut(socket)

    def _cut(self, socket: Socket) -> None:
        messages = self._cutter.cut()
        if messages:
            self.messages_read += len(messages)
            socket.give_messages(messages)
        broken = self._cutter.broken
        if broken is not None and not self._is_discarding:
            text = f"Close {socket.description}: {broken.reason}"
            peer = str(socket.remote_side)
            socket.set_failed(ProtocolError(text, phase=Phase.WAITING, peer=peer, is_remote=True))
        elif self._pauses_when_crowded and socket.backlog.is_crowded:
            self._pause(socket)

    def _discard(self, socket: Socket, count: int) -> None:
        self._cutter.buffer.clear()
        self._discard_left -= count
        if self._discard_left < 0:
            socket.close()

    def _pause(self, socket: Socket) -> None:
        if not self._is_paused:
            self._is_paused = True
            socket.dispatcher.remove_reader(socket.fd)
            socket.backlog.when_roomy(socket.resume_reading)

    def resume(self, socket: Socket) -> None:
        """There is room again, or the socket has failed. Any thread."""
        with contextlib.suppress(DispatcherClosedError):
            socket.dispatcher.post(socket.restart_reading)

    def restart(self, socket: Socket) -> None:
        """Inside a turn."""
        if self._is_paused and socket.error is None:
            self._is_paused = False
            self.start(socket)
