"""PendingWrites: the requests that the holder of the write right has taken from the queue, until
they are settled.

From its turn to its outcome a request passes these steps:

    next_batch      a cancelled request is dropped, a SocketMessage is turned into bytes
    (the writer)    the layer takes bytes off the fronts of the batch
    settle_written  removes the requests that are fully written, and reports their outcomes
    settle_failed   reports the error of a request that is not written

It makes no system call and calls no callback: outcomes are reported by the dispatcher. All of it
belongs to the holder of the right.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from pybrpc.base.guard import deliver_interrupt
from pybrpc.errors import RpcError
from pybrpc.transport.dispatch.step_queue import Work
from pybrpc.transport.writing.backlog import Backlog
from pybrpc.transport.writing.errors import (
    bad_message_error,
    canceled_error,
    write_shutdown_error,
)
from pybrpc.transport.writing.outcomes import Outcome, report
from pybrpc.transport.writing.write_request import NOTHING, SENT, WRITTEN, WriteRequest

if TYPE_CHECKING:
    from pybrpc.transport.writing.socket_core import SocketCore

MAX_BATCH_REQUESTS = 256
MAX_DROPPED_PER_BATCH = 256
"""Most requests that are dropped, as they were cancelled or refused, while a batch is made."""


class PendingWrites:
    """Requests in the order in which they are written, the oldest first."""

    __slots__ = ("_backlog", "is_shutdown", "messages_written", "refused", "requests")

    def __init__(self, backlog: Backlog) -> None:
        self._backlog = backlog
        self.requests: deque[WriteRequest] = deque()
        self.is_shutdown = False
        """A request that asked to shut writing down is written. Any thread may read this."""
        self.messages_written = 0
        self.refused: list[Work] | None = None
        """Work that the dispatcher has refused because it is closed. The holder runs it as soon as
        it has given the right back."""

    def next_batch(self, socket: SocketCore) -> list[WriteRequest]:
        """The requests of the next system call; one that shuts writing down is the last.

        There may be none although requests are left: so many were dropped that others should be
        served first.
        """
        requests = self.requests
        if len(requests) == 1 and not self.is_shutdown:
            only = requests[0]
            if only.message is None:
                only.write_started = True
                if not only.is_canceled:
                    return [only]
        batch: list[WriteRequest] = []
        if self.is_shutdown:
            self._refuse_some(socket)
            return batch
        dropped = 0
        while len(requests) > len(batch) < MAX_BATCH_REQUESTS and dropped < MAX_DROPPED_PER_BATCH:
            request = requests[len(batch)]
            if self._is_ready(socket, request):
                batch.append(request)
                if request.shutdown_write:
                    break
            else:
                del requests[len(batch)]
                dropped += 1
        return batch

    def settle_written(self, socket: SocketCore, batch: list[WriteRequest]) -> bool:
        """Complete the requests that are fully written. True if there were any.

        Called only while the layer has nothing unsent.
        """
        size = count = 0
        for request in batch:
            if request.data:
                note_begun(batch[count:])
                break
            self.requests.popleft()
            size += request.size_bytes
            count += 1
            request.progress = WRITTEN
            request.data = NOTHING
            if request.on_outcome is not None:
                if request.notify_on_success:
                    self._report(socket, request.on_outcome, None)
                request.on_outcome = None
            if request.shutdown_write:
                self.is_shutdown = True
        self.messages_written += count
        if count:
            self._backlog.remove(size, count)
        return count > 0

    def next_short(self, max_bytes: int) -> bytes | None:
        """All bytes of the next system call, if it is for one short request, of which nobody wants
        to know that it is written. `None`: see `next_batch`."""
        if len(self.requests) != 1:
            return None
        request = self.requests[0]
        data = request.short_data(max_bytes)
        request.write_started = data is not None
        return None if request.is_canceled else data

    def settle_only(self) -> None:
        """Complete the request of `next_short`."""
        request = self.requests.popleft()
        request.progress = WRITTEN
        request.data = NOTHING
        self.messages_written += 1
        self._backlog.remove(request.size_bytes, 1)

    def settle_failed(
        self, socket: SocketCore, request: WriteRequest, error: RpcError | None
    ) -> None:
        """Report the error of a request that was taken out of `requests`. `None`: cancelled."""
        self._backlog.remove(request.size_bytes, 1)
        on_outcome, request.on_outcome = request.on_outcome, None
        if on_outcome is not None:
            reported = canceled_error(socket) if error is None else error.copy(request.phase)
            self._report(socket, on_outcome, reported)

    def refuse(self, work: Work) -> None:
        """Keep work that the dispatcher has refused."""
        if self.refused is None:
            self.refused = []
        self.refused.append(work)

    def note_all_sent(self) -> None:
        """Mark all as sent. The kernel may have taken any of the bytes: a retry could send them
        twice."""
        for request in self.requests:
            request.progress = SENT

    def _report(self, socket: SocketCore, on_outcome: Outcome, error: RpcError | None) -> None:
        refused = report(socket.dispatcher, on_outcome, error)
        if refused is not None:
            self.refuse(refused)

    def _is_ready(self, socket: SocketCore, request: WriteRequest) -> bool:
        """Whether it is to be written; it is `write_started` then. If not, its error is
        reported."""
        request.write_started = True
        if request.may_be_dropped:
            request.write_started = False
            self.settle_failed(socket, request, None)
            return False
        return request.message is None or self._set_up(socket, request)

    def _set_up(self, socket: SocketCore, request: WriteRequest) -> bool:
        try:
            request.setup()
        except BaseException as reason:
            request.write_started = False
            self.settle_failed(socket, request, bad_message_error(reason))
            deliver_interrupt(reason)
            return False
        self._backlog.correct(len(request.data) - request.size_bytes)
        request.size_bytes = len(request.data)
        return True

    def _refuse_some(self, socket: SocketCore) -> None:
        """Writing is shut down: fail what was queued behind that, a part at a time."""
        error = write_shutdown_error()
        left = MAX_DROPPED_PER_BATCH
        while self.requests and left:
            self.settle_failed(socket, self.requests.popleft(), error)
            left -= 1


def note_begun(batch: list[WriteRequest]) -> None:
    """Mark the requests of which the layer has taken bytes, and those of which it has not."""
    for request in batch:
        if len(request.data) < request.size_bytes:
            request.progress = SENT
        else:
            request.write_started = False
