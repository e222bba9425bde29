"""SocketReader: the reading side of one socket, run by the dispatcher."""

from __future__ import annotations

import contextlib
import time
from functools import partial

from pybrpc.errors import ErrorCode, Phase, ProtocolError, RpcError, make_rpc_error
from pybrpc.iobuf.iobuf import IOBuf
from pybrpc.protocols.message import Message
from pybrpc.protocols.message_cutter import MessageCutter
from pybrpc.protocols.session import Session, follow
from pybrpc.transport.dispatch.event_dispatcher import DispatcherClosedError
from pybrpc.transport.dispatch.step_queue import FunctionWork
from pybrpc.transport.dispatch.turn_budget import LONG_S, TurnBudget
from pybrpc.transport.interfaces import PLAIN, ConnectionLayer
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

SMALL_BYTES = 2 * 1024
"""Bytes that are read at once while the budget of a loop is spent. Shorter messages are not
timed: they are charged a usual time."""

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
        "_discard_left",
        "_has_answered",
        "_has_more",
        "_is_discarding",
        "_is_paused",
        "_is_plain",
        "_is_read_posted",
        "_pauses_when_overcrowded",
        "_session",
        "_unanswered",
        "_writer",
        "bytes_read",
        "has_ended",
        "messages_read",
        "reads",
    )

    def __init__(
        self,
        session: Session,
        writer: SocketWriter,
        pauses_when_overcrowded: bool = False,
        unanswered: Backlog | None = None,
    ) -> None:
        self._session = session
        self._is_plain = type(session) is MessageCutter
        """Whether the session only cuts messages: it writes nothing, and nothing replaces it."""
        self._has_answered = False
        """Whether the last bytes that came have made the session write something."""
        self._has_more = False
        """Whether the session has complete messages that it left for a later turn."""
        self._writer = writer
        self._unanswered = unanswered
        self._pauses_when_overcrowded = pauses_when_overcrowded
        self._is_paused = False
        self._is_read_posted = False
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
    def session(self) -> Session:
        """The session that cuts the received bytes now."""
        return self._session

    @property
    def buffer(self) -> IOBuf:
        """Bytes that were read and are not cut yet. A handshake leaves the bytes after it here."""
        return self._session.buffer

    def start(self, socket: SocketCore) -> None:
        """Read from now on, beginning with the bytes that a handshake has left. Inside a turn."""
        socket.dispatcher.add_reader(socket.fd, partial(self.on_readable, socket))
        try:
            # A session may have bytes to write before anything comes.
            if self._is_discarding:
                self._session.buffer.clear()
            elif self.buffer or not self._is_plain:
                self._cut(socket)
            self._read_on(socket)
        except BaseException as error:
            socket.fail_as_raised("the reader", error)

    def read_while_overcrowded(self) -> None:
        """Don't pause any more when the peer does not read what is written to it."""
        self._pauses_when_overcrowded = False

    def stop(self, socket: SocketCore) -> None:
        """Inside a turn; before the descriptor is closed."""
        if socket.is_connected:
            socket.dispatcher.remove_reader(socket.fd)

    def discard_from_now_on(self) -> None:
        """Read on, but discard: closing with unread data would reset the connection."""
        self._is_discarding = True

    def on_readable(self, socket: SocketCore) -> None:
        """Read once, or more often while a large message is incomplete. Inside a turn.

        If the layer, a parser or the user of the socket raises, the socket fails: no message is
        lost in silence.
        """
        if self._has_more and self._is_read_posted:
            return  # its turn comes
        budget = socket.budget
        if budget is not None:
            self._read_within(budget, socket)
            return
        try:
            self._read_more(socket)
        except BaseException as error:
            socket.fail_as_raised("the reader", error)

    def _read_within(self, budget: TurnBudget, socket: SocketCore) -> None:
        """`on_readable` in a loop. If the budget is spent, little is read."""
        is_spent, before = budget.is_spent, self.bytes_read
        try:
            self._read_more(socket)
        except BaseException as error:
            socket.fail_as_raised("the reader", error)
        if is_spent and not 0 < self.bytes_read - before < SMALL_BYTES:
            # There is more to read, or a part of a record of TLS: it waits for its turn.
            budget.charge(2 * LONG_S)

    def _read_more(self, socket: SocketCore) -> None:
        if self._has_more:
            self._cut_more(socket)
            return
        self._writer.on_read()
        left = READ_ON_BELOW
        while left > 0:
            count = self._read_once(socket)
            if count < READ_BYTES or not self._session.bytes_wanted():
                return
            left -= count

    def _read_once(self, socket: SocketCore) -> int:
        """The number of bytes read: 0 at the end of the stream, -1 if there was nothing to read."""
        if socket.error is not None or self._is_paused or self.has_ended:
            return -1
        layer = socket.layer
        is_layered = layer is not PLAIN
        count = self._read(socket, layer)
        if is_layered and layer.has_unsent and socket.error is None:
            self._writer.flush(socket)
        if count >= 0:
            self.reads += 1
            self.bytes_read += count
        if count == 0:
            self._end(socket)
            return count
        if count > 0:
            if self._is_discarding:
                self._discard(socket, count)
            elif socket.budget is None:
                self._cut(socket)
            else:
                self._cut_and_charge(socket, socket.budget)
        if is_layered and layer.has_unread:
            self._read_on(socket)
        return count

    def _read(self, socket: SocketCore, layer: ConnectionLayer) -> int:
        """Read once into the buffer of the session; return the number of bytes, -1 if none came."""
        budget = socket.budget
        try:
            if budget is not None:
                return self._read_and_charge(socket, layer, budget)
            if layer is PLAIN:
                return self._session.buffer.append_from_fd(socket.fd, self._read_size())
            return layer.append_from_fd(socket.fd, self._session.buffer, self._read_size())
        except BlockingIOError:
            return -1
        except (OSError, RpcError) as error:
            failure = broken_error(socket, error, "read from", Phase.WAITING)
            failure.text = failure.message = failure.text + self._tls_hint(socket)
            socket.fail(failure)
            if budget is not None:
                budget.charge_end()
            return -1

    def _read_and_charge(
        self, socket: SocketCore, layer: ConnectionLayer, budget: TurnBudget
    ) -> int:
        """Read once in a loop: little, if its budget is spent. To decrypt may take long."""
        size = SMALL_BYTES if budget.is_spent else self._read_size()
        if layer is PLAIN and size <= READ_BYTES:
            return layer.append_from_fd(socket.fd, self._session.buffer, size)
        started_at = time.monotonic()
        try:
            return layer.append_from_fd(socket.fd, self._session.buffer, size)
        finally:
            budget.charge(time.monotonic() - started_at)

    def _read_size(self) -> int:
        wanted: int = self._session.bytes_wanted()
        if wanted <= READ_BYTES:
            return READ_BYTES
        return min(
            wanted,
            MAX_READ_BYTES,
            max(READ_BYTES, MAX_ALLOCATION_FACTOR * len(self._session.buffer)),
        )

    def _read_on(self, socket: SocketCore) -> None:
        """Post a read if the layer or the session holds data: the descriptor may not become
        readable again."""
        if self._is_paused or socket.error is not None:
            return
        if not self._has_more and not socket.layer.has_unread:
            return
        if not self._is_read_posted:
            self._is_read_posted = True
            try:
                if socket.budget is None:
                    socket.dispatcher.post(partial(self._read_posted, socket))
                else:
                    work = FunctionWork(self._read_posted, socket, "reading what TLS holds")
                    socket.budget.defer(work)
            except DispatcherClosedError:
                self._is_read_posted = False

    def _read_posted(self, socket: SocketCore) -> None:
        self._is_read_posted = False
        self.on_readable(socket)

    def _cut_more(self, socket: SocketCore) -> None:
        """Cut what the session has left, instead of reading: else the buffer would grow."""
        self._has_more = False
        if self._is_paused or socket.error is not None:
            return
        self._writer.on_read()
        if self._is_discarding:
            self._session.buffer.clear()
        elif socket.budget is None:
            self._cut(socket)
        else:
            self._cut_and_charge(socket, socket.budget)
        self._read_on(socket)

    def _cut_and_charge(self, socket: SocketCore, budget: TurnBudget) -> None:
        """Cut, and have the budget charge how long it took, unless it is little."""
        if len(self._session.buffer) < SMALL_BYTES:
            self._cut(socket)
            return
        started_at = time.monotonic()
        try:
            self._cut(socket)
        finally:
            budget.charge(time.monotonic() - started_at)

    def _cut(self, socket: SocketCore) -> None:
        messages = self._session.cut()
        if not self._is_plain:
            self._look_after_session(socket, messages)
        if messages:
            self._hand_over(socket, messages)
        broken = self._session.broken
        if broken is not None and not self._is_discarding:
            text = f"Close {socket.description}: {broken.reason}"
            peer = str(socket.remote_side)
            error = ProtocolError(text, phase=Phase.WAITING, peer=peer, is_remote=True)
            if socket.on_end(error):
                self._is_discarding = True
            else:
                self._fail(socket, error)
        else:
            backlog = self._overcrowded_backlog(socket)
            if backlog is not None:
                self._pause(socket, backlog)
            elif self._has_more:
                self._read_on(socket)

    def _hand_over(self, socket: SocketCore, messages: list[Message]) -> None:
        self.messages_read += len(messages)
        socket.dispatch_messages(messages)

    def _look_after_session(self, socket: SocketCore, messages: list[Message]) -> None:
        """Write what the session has to say, and go on with its successor, if it has one."""
        session = self._session
        if session.successor is not None:
            self._session = session = follow(session, messages)
            self._is_plain = type(session) is MessageCutter
        self._has_more = session.has_more
        if session.output and socket.error is None:
            output = IOBuf()
            output.swap(session.output)
            socket.write_output(output)
            self._has_answered = True
        else:
            self._has_answered = False

    def _fail(self, socket: SocketCore, error: RpcError) -> None:
        """Fail the socket; after this turn, if it ends with writing what the session has said."""
        if not self._is_plain and self._has_answered:
            self._is_discarding = True
            with contextlib.suppress(DispatcherClosedError):
                socket.dispatcher.post(partial(self._fail_now, socket, error))
                return
        self._fail_now(socket, error)

    def _fail_now(self, socket: SocketCore, error: RpcError) -> None:
        socket.fail(error)

    def _end_session(self, socket: SocketCore) -> None:
        """The end of the input may complete a message."""
        if self._is_plain or self._is_discarding or self._session.broken is not None:
            return
        messages = self._session.end()
        self._look_after_session(socket, messages)
        if messages:
            self._hand_over(socket, messages)

    def _end(self, socket: SocketCore) -> None:
        self.has_ended = True
        self._end_session(socket)
        text = f"Got EOF of {socket.description}{self._tls_hint(socket)}"
        peer = str(socket.remote_side)
        error = make_rpc_error(ErrorCode.EEOF, text, phase=Phase.WAITING, peer=peer, is_remote=True)
        if socket.on_end(error):
            self.stop(socket)
        else:
            self._fail(socket, error)
        budget = socket.budget
        if budget is not None:
            budget.charge_end()

    def _tls_hint(self, socket: SocketCore) -> str:
        """The end of the text of an error, if a peer without TLS has gone in silence: many servers
        with TLS do, when plaintext comes."""
        if self.bytes_read or not socket.bytes_written or socket.layer is not PLAIN:
            return ""
        return (
            ", which has sent nothing: has it stopped, or does it expect TLS, or another protocol?"
        )

    def _discard(self, socket: SocketCore, count: int) -> None:
        self._session.buffer.clear()
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
