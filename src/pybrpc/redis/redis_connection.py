"""RedisConnection: matches replies to commands by their order alone.

An attempt is in `_pending` from before it is queued until exactly one of these takes it: its last
reply, the failure of the socket, its deadline, its cancellation. Taking it is one `pop`.

Its position among the replies is independent of how its call ends. A message is in `_waiting` if
and only if its bytes are on the wire, or will be, in the order of `_waiting`, because one step does
both: `append_to`, which the holder of the write right runs for one message at a time, oldest first,
before any of its bytes can leave and so before its reply can come. A message whose attempt was
taken before that step leaves no bytes and gets no position. If the attempt is taken later, the
message keeps its position, and its replies are dropped when they come. Only the reader, one turn at
a time, removes messages from the front. When a connection breaks, its queue is discarded with it:
nothing more is read from it.

Commands may be sent again only if they have not left. The step marks the request as set up, and
then checks that its attempt is still pending; a thread that takes an attempt checks afterwards
whether the request was set up. Store, then load, on both sides: at least one sees the other. So
commands that an error calls unsent never leave.

After bRPC's `PipelinedInfo`, `_pipeline_q` and `WriteOptions.pipelined_count`.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from pybrpc.client.connections.connection import (
    ClientConnection,
    ConnectionOwner,
    ConnectionStatistics,
    protocol_error,
)
from pybrpc.errors import Phase, RpcError
from pybrpc.iobuf import IOBuf
from pybrpc.protocols.redis.reply_parser import BadReply, RedisPush, Reply
from pybrpc.redis.redis_messages import RedisBody
from pybrpc.transport.socket.socket import Socket
from pybrpc.transport.writing.write_request import Progress, WriteRequest

if TYPE_CHECKING:
    from pybrpc.client.calls.attempt import Attempt
    from pybrpc.rpc.timeout_queue import TimeoutQueues


class EndedError(Exception):
    """The attempt was taken before its message was turned into bytes."""


class PipelinedMessage:
    """A SocketMessage that is answered by `reply_count` replies."""

    __slots__ = ("_body", "_connection", "attempt", "replies")

    def __init__(self, attempt: Attempt, connection: RedisConnection) -> None:
        self.attempt = attempt
        self.replies: list[Reply] = []
        self._body: RedisBody = attempt.call.body
        self._connection = connection

    def append_to(self, buffer: IOBuf) -> None:
        """Take a position in the order of replies, and append the bytes. If the call has ended,
        raise EndedError and do neither."""
        self._connection.take_position(self)
        buffer.append(self._body.packed)

    def add(self, reply: Reply) -> bool:
        """Add one reply that has come; True if it was the last one."""
        self.replies.append(reply)
        return len(self.replies) == self._body.reply_count


class PipelinedRequest(WriteRequest):
    """A WriteRequest that counts as sent as soon as it is turned into bytes.

    The peer may act on it, and close, before the system call that sends it returns here.
    """

    __slots__ = ()

    def __init__(self, message: PipelinedMessage, size_bytes: int) -> None:
        super().__init__(IOBuf(), message)
        self.size_bytes = size_bytes

    @property
    def phase(self) -> Phase:
        return Phase.SENT if self.progress is Progress.SET_UP else super().phase


class RedisConnection(ClientConnection):
    """A connection to Redis, shared by any number of callers."""

    __slots__ = ("_late_answers", "_pending", "_pushes", "_waiting")

    def __init__(
        self, socket: Socket, timeouts: TimeoutQueues, owner: ConnectionOwner | None = None
    ) -> None:
        super().__init__(socket, timeouts, owner)
        self._pending: dict[Attempt, bool] = {}
        self._waiting: deque[PipelinedMessage] = deque()
        self._late_answers = 0
        self._pushes = 0

    @property
    def in_flight(self) -> int:
        return len(self._pending)

    def send(self, attempt: Attempt) -> None:
        message = PipelinedMessage(attempt, self)
        request = PipelinedRequest(message, len(attempt.call.body.packed))
        attempt.write_request = request
        self._pending[attempt] = True
        try:
            self.socket.write_request(request)
        except RpcError:
            if self._take(attempt):
                raise

    def take_position(self, message: PipelinedMessage) -> None:
        """Called with the write right, before a byte of the message can leave."""
        attempt = message.attempt
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
        return self._pending.pop(attempt, False)

    def _take_all(self) -> list[Attempt]:
        # An attempt that is added after this look finds the socket failed, and removes itself.
        return [attempt for attempt in list(self._pending) if self._take(attempt)]

    def _on_messages(self, messages: list[Any]) -> None:
        waiting = self._waiting
        for reply in messages:
            if type(reply) is RedisPush:
                self._pushes += 1
            elif not waiting:
                self._refuse_reply(reply)
                return
            elif waiting[0].add(reply):
                self._end(waiting.popleft())

    def _end(self, message: PipelinedMessage) -> None:
        attempt = message.attempt
        if not self._take(attempt):
            self._late_answers += 1
            return
        self._note_answer()
        for reply in message.replies:
            if type(reply) is BadReply:
                attempt.call.on_bad_response(attempt, reply.reason)
                return
        attempt.call.on_response(attempt, message.replies)

    def _refuse_reply(self, reply: Reply) -> None:
        socket = self.socket
        text = f"{socket.description} sent a reply that no command awaits: {reply!r:.200}"
        socket.fail(protocol_error(socket, text))
