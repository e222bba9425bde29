"""RedisConnection: matches replies to commands by their order alone.

An attempt is in `_pending` from before it is queued until exactly one of these takes it: its last
reply, the failure of the socket, its deadline, its cancellation. Taking it is one `pop`.

Its position among the replies is independent of how its call ends. A message is in `_waiting` if
and only if its bytes are on the wire, or will be, in the order of `_waiting`, because one step does
both: `append_to`, which the holder of the write right runs for one message at a time, oldest first,
before any of its bytes can leave and so before its reply can come. A message whose attempt was
taken before that step leaves no bytes and gets no position. If the attempt is taken later, the
message keeps its position, and its replies are dropped when they come; but it keeps neither the
call nor the bytes, as a server may take commands and answer late, or never. Only the reader, one
turn at a time, removes messages from the front. When a connection breaks, its queue is discarded
with it: nothing more is read from it.

Commands may be sent again only if they have not left. The step marks the request as set up, and
then checks that its attempt is still pending; a thread that takes an attempt checks afterwards
whether the request was set up. Store, then load, on both sides: at least one sees the other. So
commands that an error calls unsent never leave.

After bRPC's `PipelinedInfo`, `_pipeline_q` and `WriteOptions.pipelined_count`.
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Any

from pybrpc.base.guard import REDIS
from pybrpc.client.connections.connection import (
    ClientConnection,
    ConnectionOwner,
    ConnectionStatistics,
    protocol_error,
    raise_in_turn,
)
from pybrpc.errors import ErrorCode, Phase, RpcError, make_rpc_error
from pybrpc.iobuf import IOBuf
from pybrpc.protocols.redis.reply_parser import BadReply, RedisError, RedisPush, Reply
from pybrpc.redis.redis_messages import RedisBody
from pybrpc.transport.socket.socket import Socket
from pybrpc.transport.writing.write_request import Progress, WriteRequest

if TYPE_CHECKING:
    from pybrpc.client.calls.attempt import Attempt
    from pybrpc.rpc.timeout_queue import TimeoutQueues


DROPPED_FROM_S = 1.0
"""Age in seconds from which on a connection is dropped when the server answers READONLY: it is a
replica, and after a failover the address may lead to another server. A younger connection is kept,
as otherwise a program that writes to a replica by mistake would connect for each command."""

MOST_UNANSWERED = 100_000
"""Calls that may have ended while their replies are still to come. With more of them the connection
is closed: its server answers nothing, and each of them takes some memory."""


class EndedError(Exception):
    """The attempt was taken before its message was turned into bytes."""


class PipelinedMessage:
    """A SocketMessage that is answered by `reply_count` replies."""

    __slots__ = ("_connection", "_packed", "_reply_count", "attempt", "replies")

    def __init__(self, attempt: Attempt, connection: RedisConnection) -> None:
        body: RedisBody = attempt.call.body
        self.attempt: Attempt | None = attempt
        """`None` once it was taken."""
        self.replies: list[Reply] = []
        self._packed: IOBuf | None = body.packed
        self._reply_count = body.reply_count
        self._connection = connection

    def append_to(self, buffer: IOBuf) -> None:
        """Take a position in the order of replies, and append the bytes. If the call has ended,
        raise EndedError and do neither."""
        packed, self._packed = self._packed, None
        assert packed is not None
        self._connection.take_position(self)
        buffer.append(packed)

    def add(self, reply: Reply) -> bool:
        """Add one reply that has come; True if it was the last one."""
        self.replies.append(reply)
        return len(self.replies) == self._reply_count


class PipelinedRequest(WriteRequest):
    """A WriteRequest that counts as sent as soon as it is turned into bytes.

    The peer may act on it, and close, before the system call that sends it returns here.
    """

    __slots__ = ()

    def __init__(self, message: PipelinedMessage, size_bytes: int) -> None:
        super().__init__(IOBuf(), message)
        self.size_bytes = size_bytes


class RedisConnection(ClientConnection):
    """A connection to Redis, shared by any number of callers."""

    __slots__ = ("_connected_at", "_late_answers", "_pending", "_pushes", "_waiting")

    def __init__(
        self, socket: Socket, timeouts: TimeoutQueues, owner: ConnectionOwner | None = None
    ) -> None:
        super().__init__(socket, timeouts, owner)
        self._pending: dict[Attempt, PipelinedMessage] = {}
        self._waiting: deque[PipelinedMessage] = deque()
        self._late_answers = 0
        self._pushes = 0
        self._connected_at = time.monotonic()

    @property
    def in_flight(self) -> int:
        return len(self._pending)

    def send(self, attempt: Attempt) -> None:
        message = PipelinedMessage(attempt, self)
        request = PipelinedRequest(message, len(attempt.call.body.packed))
        attempt.write_request = request
        if self.attempt_listeners is not None:
            attempt.begin(self.attempt_listeners)
        self._pending[attempt] = message
        if len(self._waiting) - len(self._pending) > MOST_UNANSWERED:
            self._give_up()
        try:
            self.socket.write_request(request)
        except RpcError as error:
            if self._take(attempt):
                attempt.report_failure(error)
                raise

    def on_connected(self, socket: Socket) -> None:
        self._connected_at = time.monotonic()
        if REDIS.wants_debug():
            REDIS.debug("%s is ready for commands", socket.description)
        super().on_connected(socket)

    def take_position(self, message: PipelinedMessage) -> None:
        """Called with the write right, before a byte of the message can leave."""
        attempt = message.attempt
        if attempt is None:
            raise EndedError("the call has ended")
        assert attempt.write_request is not None
        attempt.write_request.progress = Progress.SET_UP
        if attempt not in self._pending:
            raise EndedError(f"{attempt!r} has ended")
        self._waiting.append(message)

    def statistics(self) -> ConnectionStatistics:
        """Pushes, which answer no command, are counted in `unknown_answers`."""
        return ConnectionStatistics(
            in_flight=len(self._pending),
            late_answers=self._late_answers,
            unknown_answers=self._pushes,
            socket=self.socket.statistics(),
        )

    def _take(self, attempt: Attempt) -> bool:
        message = self._pending.pop(attempt, None)
        if message is None:
            return False
        message.attempt = None
        return True

    def _attempts(self) -> list[Attempt]:
        return list(self._pending)

    def _on_messages(self, messages: list[Any]) -> None:
        waiting = self._waiting
        raised: BaseException | None = None
        for reply in messages:
            if type(reply) is RedisPush:
                self._pushes += 1
            elif not waiting:
                self._refuse_reply(reply)
                break
            elif waiting[0].add(reply):
                message = waiting.popleft()
                attempt = message.attempt
                try:
                    self._end(attempt, message.replies)
                except BaseException as error:
                    raised = raised or error
                    if attempt is not None:
                        attempt.call.on_raised(attempt, error)
        if raised is not None:
            raise_in_turn(self.socket.dispatcher, raised)

    def _end(self, attempt: Attempt | None, replies: list[Reply]) -> None:
        """All replies have come to a message. `attempt`: `None` if its call has ended before."""
        is_taken = attempt is not None and self._take(attempt)
        bad: BadReply | None = None
        is_read_only = False
        for reply in replies:
            if type(reply) is RedisError:
                is_read_only = is_read_only or reply.code == "READONLY"
            elif type(reply) is BadReply:
                bad = bad or reply
            elif type(reply) is list and len(replies) > 1:
                is_read_only = is_read_only or _has_read_only(reply)
        # A connection that will be closed must not become idle first: another call would get it.
        if is_read_only and time.monotonic() - self._connected_at >= DROPPED_FROM_S:
            if not self.is_retired:
                REDIS.info("%s has become read-only: it is replaced", self.socket.description)
            self.retire()
        elif is_taken:
            self._note_answer()
        if attempt is None or not is_taken:
            self._late_answers += 1
        elif bad is not None:
            attempt.call.on_bad_response(attempt, bad.reason)
        else:
            attempt.call.on_response(attempt, replies)

    def _give_up(self) -> None:
        """Close the connection: its server takes commands and answers none."""
        socket = self.socket
        text = (
            f"{socket.description} was closed by this side: its server has not answered "
            f"{MOST_UNANSWERED} commands whose calls have ended"
        )
        peer = str(socket.remote_side)
        socket.fail(make_rpc_error(ErrorCode.EFAILEDSOCKET, text, phase=Phase.WAITING, peer=peer))

    def _refuse_reply(self, reply: Reply) -> None:
        socket = self.socket
        text = f"{socket.description} sent a reply that no command awaits: {reply!r:.200}"
        socket.fail(protocol_error(socket, text))


def _has_read_only(replies: list[Reply]) -> bool:
    """Whether one of the replies that are in the reply to EXEC is READONLY. A script answers so
    only when it runs, other commands when they are queued."""
    return any(type(reply) is RedisError and reply.code == "READONLY" for reply in replies)
