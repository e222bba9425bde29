"""HttpReplies: the responses of a connection of HTTP, in the order of its requests.

Most responses are put whole, as in OrderedReplies. Others come in parts: interim responses before
the one that counts, and bodies whose length is not known. Parts that are appended before the turn
of their request are kept; those that are appended later are written at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from pybrpc.base.guard import SERVER
from pybrpc.errors import ErrorCode, RpcError, make_rpc_error
from pybrpc.iobuf.iobuf import IOBuf
from pybrpc.server.calls.ordered_replies import REPLY_BYTES, OrderedReplies
from pybrpc.transport.socket.socket import Socket
from pybrpc.transport.writing.backlog import Backlog
from pybrpc.transport.writing.outcomes import InternalOutcome

NO_END = 1 << 62


class _Parts:
    """A response that comes in parts, or the interim responses before one."""

    __slots__ = ("is_over", "kept", "wakes")

    def __init__(self) -> None:
        self.kept: deque[IOBuf] = deque()
        self.is_over = False
        """Whether nothing follows what is kept. Set after the last part is kept."""
        self.wakes: deque[Callable[[], object]] = deque()
        """Called when its turn has come, and when it never will."""

    def wake_all(self) -> None:
        while self.wakes:
            try:
                wake = self.wakes.popleft()
            except IndexError:  # another thread has taken it
                return
            wake()


class HttpReplies(OrderedReplies):
    """A SocketMessage. Its methods may be called in any thread; none blocks."""

    __slots__ = ("_is_dropped", "_last", "_on_last", "_parts")

    def __init__(self, socket: Socket, unanswered: Backlog) -> None:
        super().__init__(socket, unanswered)
        self._parts: dict[int, _Parts] = {}
        """Responses that are not over, by their positions."""
        self._is_dropped = False
        self._last = NO_END
        """The position behind which nothing is written."""
        self._on_last: Callable[[], object] | None = None
        """Called once the response at that position was taken to be written."""

    def begin(self, position: int) -> None:
        """The response at `position`, which is not written yet, comes in parts, or interim
        responses go before it. Any thread."""
        self._parts.setdefault(position, _Parts())

    def append(self, position: int, data: IOBuf) -> None:
        """Write a part when its turn has come. `write` must follow. Nothing happens if the response
        was ended, or the connection is gone."""
        parts = self._parts.get(position)
        if parts is None or parts.is_over or self._is_dropped:
            return
        self._unanswered.try_add(len(data) + REPLY_BYTES, True)
        parts.kept.append(data)
        if self._is_dropped:
            self._drop_parts(parts)

    def finish(self, position: int) -> None:
        """No part follows. `write` must follow."""
        parts = self._parts.get(position)
        if parts is not None:
            parts.is_over = True

    def end_behind(self, position: int) -> None:
        """Write nothing behind the response at `position`, which only the end of the connection
        ends. Later responses are dropped."""
        self._last = min(self._last, position)

    def drops(self, position: int) -> bool:
        return position > self._last

    def end_with_whole(self, position: int, on_last: Callable[[], object]) -> None:
        """`end_behind` for a response that will be put whole. `on_last` is called once it was taken
        to be written: in the thread that writes, where it must not run code of users."""
        self._on_last = on_last
        self.begin(position)
        self.end_behind(position)

    def write_and_tell(self, on_written: Callable[[RpcError | None], None]) -> None:
        """`write`, and call `on_written` when the kernel has taken what was there to be written,
        or with the error because of which it never will. In a turn, or now."""
        socket = self._socket
        try:
            outcome = InternalOutcome(on_written)
            socket.start_write(
                self, on_outcome=outcome, notify_on_success=True, ignore_eovercrowded=True
            )
        except RpcError as error:
            self._drop()
            on_written(error)
        except BaseException as raised:
            SERVER.caught("%r can't write a response", socket, error=raised)
            text = f"Fail to write a response: {type(raised).__name__}"
            failure = make_rpc_error(ErrorCode.EFAILEDSOCKET, text)
            socket.fail(failure)
            self._drop()
            on_written(failure)

    def put(self, position: int, data: IOBuf) -> None:
        """The whole response, or what follows the parts that were appended."""
        parts = self._parts.get(position)
        if parts is None:
            OrderedReplies.put(self, position, data)
            return
        self.append(position, data)
        parts.is_over = True

    def is_turn(self, position: int) -> bool:
        """Whether what is appended at `position` is written at once, or not at all."""
        return position <= self._written or self._is_dropped

    def when_turn(self, position: int, wake: Callable[[], object]) -> None:
        """Call `wake` once `is_turn` is true: now, or in the thread that writes, where it must not
        run code of users."""
        parts = self._parts.get(position)
        if parts is None:
            wake()
            return
        parts.wakes.append(wake)
        if self.is_turn(position):
            parts.wake_all()

    def append_to(self, buffer: IOBuf) -> None:
        while self._written <= self._last:
            OrderedReplies.append_to(self, buffer)
            parts = self._parts.get(self._written)
            if parts is None:
                return
            is_over = parts.is_over
            self._take_parts(parts, buffer)
            parts.wake_all()
            if not is_over:
                return
            self._written += 1
            self._parts.pop(self._written - 1, None)
        on_last = self._on_last
        if on_last is not None:
            self._on_last = None
            on_last()

    def _take_parts(self, parts: _Parts, buffer: IOBuf) -> None:
        while (data := _first(parts.kept)) is not None:
            self._unanswered.remove(len(data) + REPLY_BYTES, 1)
            buffer.append(data)

    @property
    def held_bytes(self) -> int:
        in_parts = sum(
            len(data) + REPLY_BYTES
            for parts in list(self._parts.values())
            for data in list(parts.kept)
        )
        return super().held_bytes + in_parts

    def on_failed(self, error: RpcError) -> None:
        """The connection has failed: nothing more is written. In a turn."""
        self._drop()

    def _drop(self) -> None:
        OrderedReplies._drop(self)
        self._is_dropped = True
        self._on_last = None
        for parts in list(self._parts.values()):
            self._drop_parts(parts)

    def _drop_parts(self, parts: _Parts) -> None:
        while (data := _first(parts.kept)) is not None:
            self._unanswered.remove(len(data) + REPLY_BYTES, 1)
        parts.wake_all()


def _first(kept: deque[IOBuf]) -> IOBuf | None:
    """Take the first one. `None` if there is none; another thread may have taken it."""
    try:
        return kept.popleft()
    except IndexError:
        return None
