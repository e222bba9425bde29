"""SocketWriter: the work of the holder of the write right.

A producer that finds the queue empty has the right. It writes once itself; what is left, and what
was queued meanwhile, is written by `keep_write`, a continuation that the dispatcher runs. That
writes batch after batch, until it can give the right back with an empty queue, or the kernel takes
no more. Then it waits, still with the right but without a thread, until the descriptor is writable.

The holder of the right at any moment:

    a producer       inside `write`
    the connector    from the first write until TCP is established
    the handshake    from then, or from the beginning of an accepted socket, until it is over
    the dispatcher   while `keep_write` is posted, or the WritableWait waits
    nobody           the head of the queue is None

The `ConnectionLayer` puts the bytes into the descriptor. If it writes in the background, as TLS
does, the dispatcher makes all writes. Bytes that a layer took and still holds are not written: no
request is settled before the layer has nothing unsent.

When the socket fails, the holder of the right, or the next one, fails everything queued (`_drain`)
and gives the right back, until nothing more was pushed. The descriptor is closed by the holder that
meets the close request, so never during a system call on it.

Outcomes are collected during a step. Their callbacks run after it, without the right.
"""

from __future__ import annotations

import threading
import time
from functools import partial

from pybrpc.errors import OvercrowdedError, Phase, RpcError
from pybrpc.iobuf.iobuf import IOBuf
from pybrpc.transport.dispatch.event_dispatcher import DispatcherClosedError
from pybrpc.transport.writing.backlog import Backlog
from pybrpc.transport.writing.errors import broken_error, dispatcher_closed_error, interrupted_error
from pybrpc.transport.writing.outcomes import PendingOutcome, run_outcomes
from pybrpc.transport.writing.pending_writes import MAX_BATCH_REQUESTS, PendingWrites, note_begun
from pybrpc.transport.writing.socket_core import SocketCore
from pybrpc.transport.writing.writable_wait import LAYER_PAUSE_S, WritableWait
from pybrpc.transport.writing.write_queue import WriteQueue
from pybrpc.transport.writing.write_request import WRITTEN, WriteRequest

MAX_BATCHES_PER_STEP = 16
MAX_BYTES_PER_STEP = 4 * 1024 * 1024
"""After this many bytes other sockets are served, even if the kernel would take more."""
CUT_OFF_PAUSE_S = 0.001
"""Pause until a list that is cut is taken again; see WriteQueue."""
BURST_S = 0.0001
"""A write that follows the last one within this time belongs to a burst."""


class SocketWriter:
    """The writing side of one socket. Its methods take the socket; see SocketCore."""

    __slots__ = (
        "_close_request",
        "_cut_off_steps",
        "_layer_is_full",
        "_queue",
        "_wait",
        "_wrote_at",
        "_wrote_since_read",
        "backlog",
        "bytes_written",
        "pending",
        "writes",
        "writes_blocked",
        "written_inline",
    )

    def __init__(self, backlog: Backlog) -> None:
        self.backlog = backlog
        self.pending = PendingWrites(backlog)
        """Belongs to the holder. Any thread may read its flag and its count."""
        self.bytes_written = 0
        self.written_inline = 0
        self.writes = 0
        self.writes_blocked = 0
        self._queue = WriteQueue()
        self._close_request: WriteRequest | None = None
        # All below belongs to the holder.
        self._wait = WritableWait()
        self._layer_is_full = False
        self._wrote_since_read = False
        self._wrote_at = 0.0
        self._cut_off_steps = 0

    def write(self, socket: SocketCore, request: WriteRequest) -> None:
        """Queue a request that the backlog has accepted; write it if no other thread writes."""
        if self._queue.push(request):
            self._begin(socket, request)

    def hold(self) -> None:
        """Take the right of a new socket, without writing. `keep_write` continues from there."""
        self._queue.push(WriteRequest(IOBuf()))

    def flush(self, socket: SocketCore) -> None:
        """Make the holder of the right write what the layer has unsent. Inside a turn."""
        if not self._wait.is_waiting and not self.pending.is_shutdown:
            self.backlog.try_add(0, ignore_limit=True)
            self.write(socket, WriteRequest(IOBuf()))

    def on_read(self) -> None:
        """Something was read: the next write is made at once again, not deferred."""
        self._wrote_since_read = False

    def on_writable(self, socket: SocketCore) -> None:
        """The wait is over: the kernel or the layer may have room again. Inside a turn."""
        if self._wait.stop(socket):
            self.keep_write(socket)

    def keep_write(self, socket: SocketCore) -> None:
        """The continuation: write batches until the queue is empty or the kernel is full."""
        outcomes: list[PendingOutcome] = []
        try:
            if socket.error is not None:
                self._drain(socket, outcomes)
            elif self._write_batches(socket, outcomes):
                self._continue(socket, outcomes)
        except BaseException as reason:
            self._give_up(socket, reason, outcomes)
            raise
        if outcomes:
            run_outcomes(outcomes)

    def close(self, socket: SocketCore) -> None:
        """Fail everything queued and close the descriptor. Inside a turn, after failure."""
        outcomes: list[PendingOutcome] = []
        if self._wait.stop(socket):
            self._drain(socket, outcomes)
        request = self._close_request = WriteRequest(IOBuf())
        if self._queue.push(request):
            self.pending.requests.append(request)
            self._drain(socket, outcomes)
        run_outcomes(outcomes)

    # --- with the right, in the producer ---

    def _begin(self, socket: SocketCore, request: WriteRequest) -> None:
        outcomes: list[PendingOutcome] = []
        has_right = True
        try:
            self.pending.requests.append(request)
            if socket.is_connected and socket.error is None and not self._defers_write(socket):
                self._write_batch(socket, outcomes)
                if request.progress is WRITTEN:
                    self.written_inline += 1
            if socket.error is not None:
                self._drain(socket, outcomes)
            else:
                # If a signal interrupts from here on, the right was most likely released or handed
                # over.
                has_right = False
                self._hand_over_right(socket, outcomes)
        except BaseException as reason:
            self._give_up(socket, reason, outcomes, has_right)
            raise
        if outcomes:
            run_outcomes(outcomes)

    def _hand_over_right(self, socket: SocketCore, outcomes: list[PendingOutcome]) -> None:
        """Give the right to the connector, back to the queue, or on to the dispatcher."""
        if not socket.is_connected:
            socket.start_connecting()
        elif self.pending.requests or not self._queue.release():
            self._continue(socket, outcomes)

    def _defers_write(self, socket: SocketCore) -> bool:
        """Whether to leave this write to the dispatcher, to be made together with what follows.

        Always if the layer writes in the background. Inside a turn, all writes but the first.
        Outside of turns, the writes of a burst: nothing was read since the last write, and that was
        less than BURST_S ago.
        """
        if socket.layer.writes_in_background:
            return True
        dispatcher = socket.dispatcher
        if dispatcher.is_current():
            if dispatcher.flushes_at_turn_end or self._wrote_since_read:
                return True
        elif self._wrote_since_read and time.monotonic() < self._wrote_at + BURST_S:
            return True
        self._wrote_since_read = True
        return False

    def _give_up(
        self,
        socket: SocketCore,
        reason: BaseException,
        outcomes: list[PendingOutcome],
        has_right: bool = True,
    ) -> None:
        """A signal handler raised, or memory ran out: the kernel may have taken any number of
        bytes.

        Going on could send bytes twice, so everything queued fails, as if it had been sent.
        """
        outcomes += socket.begin_fail(interrupted_error(socket, reason))
        if has_right:
            self.pending.note_all_sent()
            self._drain(socket, outcomes)
        run_outcomes(outcomes)

    # --- with the right, in a turn ---

    def _write_batches(self, socket: SocketCore, outcomes: list[PendingOutcome]) -> bool:
        """True if there is more to write now. False if nothing is left or a continuation is set."""
        began = self.bytes_written
        for _ in range(MAX_BATCHES_PER_STEP):
            is_whole = self._take_more()
            may_go_on = self._write_batch(socket, outcomes)
            if socket.error is not None:
                self._drain(socket, outcomes)
                return False
            if not may_go_on:
                self._wait_for_room(socket)
                return False
            if not is_whole:
                self._retry_cut_list(socket, outcomes)
                return False
            if not self.pending.requests and self._queue.release():
                return False
            if self.bytes_written - began >= MAX_BYTES_PER_STEP:
                break
        return True

    def _take_more(self) -> bool:
        """Take what was pushed, unless the batch is full; False if the list is cut."""
        if len(self.pending.requests) < MAX_BATCH_REQUESTS:
            taken = self._queue.take()
            if taken is None:
                return False
            self.pending.requests.extend(taken)
            self._cut_off_steps = 0
        return True

    def _write_batch(self, socket: SocketCore, outcomes: list[PendingOutcome]) -> bool:
        """Make one system call for up to 256 requests. False if there is no room for more now.

        If the call fails, the socket fails and nothing is settled.
        """
        pending, layer = self.pending, socket.layer
        batch = pending.next_batch(socket, outcomes)
        if not batch and not layer.has_unsent:
            return True
        try:
            pieces = [request.data for request in batch]
            written = layer.cut_into_fd(socket.fd, pieces)
            if batch and batch[-1].shutdown_write and not any(pieces):
                layer.finish(socket.fd)
        except BlockingIOError:
            self.writes += 1
            self.writes_blocked += 1
            note_begun(batch)
            return False
        except OvercrowdedError:
            self._layer_is_full = True
            note_begun(batch)
            return False
        except (OSError, RpcError) as error:
            note_begun(batch)
            reason = broken_error(socket, error, "write into", Phase.SENT)
            outcomes += socket.begin_fail(reason)
            return False
        if written:
            self.writes += 1
            self.bytes_written += written
            self._wrote_at = time.monotonic()
        if layer.has_unsent:
            note_begun(batch)
            return False
        has_room = pending.settle_written(batch, outcomes) or not batch
        if pending.is_shutdown:
            socket.shutdown_write_side()
        return has_room

    # --- handing over the right ---

    def _continue(self, socket: SocketCore, outcomes: list[PendingOutcome]) -> None:
        """Post `keep_write` to the dispatcher; if that is closed, fail and drain."""
        self._layer_is_full = False
        try:
            socket.dispatcher.post(partial(self.keep_write, socket))
        except DispatcherClosedError as error:
            outcomes += socket.begin_fail(dispatcher_closed_error(socket, error))
            self._drain(socket, outcomes)

    def _retry_cut_list(self, socket: SocketCore, outcomes: list[PendingOutcome]) -> None:
        """A producer is between exchange and link: try again next turn, after a pause if it lasts.

        The failure of the socket ends a pause early. On a failed socket nothing would end the pause
        if the dispatcher closed meanwhile, so a thread makes it.
        """
        self._cut_off_steps += 1
        try:
            if self._cut_off_steps == 1:
                socket.dispatcher.post(partial(self.keep_write, socket))
            elif socket.error is None:
                self._wait.pause(socket, CUT_OFF_PAUSE_S, partial(self.on_writable, socket))
            else:
                threading.Timer(CUT_OFF_PAUSE_S, partial(self.keep_write, socket)).start()
        except DispatcherClosedError as error:
            outcomes += socket.begin_fail(dispatcher_closed_error(socket, error))
            threading.Timer(CUT_OFF_PAUSE_S, partial(self.keep_write, socket)).start()

    def _wait_for_room(self, socket: SocketCore) -> None:
        """Wait until the kernel has room, or the layer."""
        resume = partial(self.on_writable, socket)
        if self._layer_is_full:
            self._layer_is_full = False
            self._wait.pause(socket, LAYER_PAUSE_S, resume)
        else:
            self._wait.wait_for_kernel(socket, resume)

    # --- after failure ---

    def _drain(self, socket: SocketCore, outcomes: list[PendingOutcome]) -> None:
        """Fail everything queued, then give the right back; again if more was pushed meanwhile."""
        pending, error = self.pending, socket.error
        assert error is not None
        while True:
            while pending.requests:
                request = pending.requests.popleft()
                if request is self._close_request:
                    socket.close_descriptor()
                else:
                    pending.settle_failed(request, error.copy(request.phase), outcomes)
            if self._queue.release():
                return
            taken = self._queue.take()
            if taken is None:
                self._retry_cut_list(socket, outcomes)
                return
            pending.requests.extend(taken)
