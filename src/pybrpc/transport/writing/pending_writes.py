"""PendingWrites: the requests that the holder of the write right has taken from the queue, until
they are settled.

From its turn to its outcome a request passes these steps:

    next_batch      a cancelled request is dropped, a SocketMessage is turned into bytes
    (the writer)    the layer takes bytes off the fronts of the batch
    settle_written  removes the requests that are fully written, and notes their outcomes
    settle_failed   notes the error of a request that is not written

It makes no system call and calls no callback: outcomes are noted, and run once no right is held.
All of it belongs to the holder of the right.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from pybrpc.errors import ErrorCode, Phase, RpcError, make_rpc_error
from pybrpc.transport.writing.backlog import Backlog
from pybrpc.transport.writing.errors import canceled_error, write_shutdown_error
from pybrpc.transport.writing.outcomes import PendingOutcome
from pybrpc.transport.writing.write_request import NOTHING, SENT, WRITTEN, WriteRequest

if TYPE_CHECKING:
    from pybrpc.transport.writing.socket_core import SocketCore

MAX_BATCH_REQUESTS = 256


class PendingWrites:
    """Requests in the order in which they are written, the oldest first."""

    __slots__ = ("_backlog", "is_shutdown", "messages_written", "requests")

    def __init__(self, backlog: Backlog) -> None:
        self._backlog = backlog
        self.requests: deque[WriteRequest] = deque()
        self.is_shutdown = False
        """A request that asked to shut writing down is written. Any thread may read this."""
        self.messages_written = 0

    def next_batch(self, socket: SocketCore, outcomes: list[PendingOutcome]) -> list[WriteRequest]:
        """The requests of the next system call; one that shuts writing down is the last."""
        requests = self.requests
        if len(requests) == 1 and not self.is_shutdown:
            only = requests[0]
            if only.message is None:
                only.write_started = True
                if not only.is_canceled:
                    return [only]
        batch: list[WriteRequest] = []
        while len(requests) > len(batch) < MAX_BATCH_REQUESTS:
            request = requests[len(batch)]
            if self.is_shutdown or (batch and batch[-1].shutdown_write):
                self._refuse_from(len(batch), outcomes)
                break
            request.write_started = True
            if request.may_be_dropped:
                del requests[len(batch)]
                request.write_started = False
                self.settle_failed(request, canceled_error(socket), outcomes)
            elif request.message is not None and not self._set_up(request, outcomes):
                del requests[len(batch)]
                request.write_started = False
            else:
                batch.append(request)
        return batch

    def settle_written(self, batch: list[WriteRequest], outcomes: list[PendingOutcome]) -> bool:
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
                    outcomes.append((request.on_outcome, None))
                request.on_outcome = None
            if request.shutdown_write:
                self.is_shutdown = True
        self.messages_written += count
        if count:
            self._backlog.remove(size, count)
        return count > 0

    def settle_failed(
        self, request: WriteRequest, error: RpcError, outcomes: list[PendingOutcome]
    ) -> None:
        """Note the error of a request that was taken out of `requests`."""
        self._backlog.remove(request.size_bytes, 1)
        on_outcome, request.on_outcome = request.on_outcome, None
        if on_outcome is not None:
            outcomes.append((on_outcome, error))

    def note_all_sent(self) -> None:
        """Mark all as sent. The kernel may have taken any of the bytes: a retry could send them
        twice."""
        for request in self.requests:
            request.progress = SENT

    def _set_up(self, request: WriteRequest, outcomes: list[PendingOutcome]) -> bool:
        try:
            request.setup()
        except Exception as reason:
            text = f"Fail to turn the message into bytes: {reason!r}"
            error = make_rpc_error(ErrorCode.EINVAL, text, phase=Phase.QUEUED)
            error.__cause__ = reason
            self.settle_failed(request, error, outcomes)
            return False
        self._backlog.correct(len(request.data) - request.size_bytes)
        request.size_bytes = len(request.data)
        return True

    def _refuse_from(self, index: int, outcomes: list[PendingOutcome]) -> None:
        refused = list(self.requests)[index:]
        for request in refused:
            self.requests.pop()
            self.settle_failed(request, write_shutdown_error(), outcomes)


def note_begun(batch: list[WriteRequest]) -> None:
    """Mark the requests of which the layer has taken bytes, and those of which it has not."""
    for request in batch:
        if len(request.data) < request.size_bytes:
            request.progress = SENT
        else:
            request.write_started = False
