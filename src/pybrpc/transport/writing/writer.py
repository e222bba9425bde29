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

In a loop of the main thread a signal handler may raise before what is posted begins, and the loop
goes on without it. So `_posted_until` tells that the right is with the loop; after that time a
producer, or closing, posts again. `keep_write` resets it: what is posted twice runs once.

The `ConnectionLayer` puts the bytes into the descriptor. If it writes in the background, as TLS
does, the dispatcher makes all writes. Bytes that a layer took and still holds are not written: no
request is settled before the layer has nothing unsent.

When the socket fails, the holder of the right, or the next one, fails everything queued (`_drain`),
a part in each turn, until nothing more was pushed. A producer leaves that to the dispatcher. The
descriptor is closed by the holder that meets the close request, so never during a system call on
it.

No callback runs in here: the dispatcher calls them (see outcomes). What a closed dispatcher has
refused waits in `pending.refused`, and is run by the thread that gives the right back, after that.
"""

from __future__ import annotations

import contextlib
import threading
from functools import partial
from time import monotonic

from pybrpc.base.guard import TRANSPORT
from pybrpc.base.once_posted import LOST_S
from pybrpc.errors import OvercrowdedError, Phase, RpcError
from pybrpc.iobuf.iobuf import IOBuf
from pybrpc.iobuf.short_io import SHORT_BYTES, write_short
from pybrpc.transport.dispatch.completion import expects_writes
from pybrpc.transport.dispatch.event_dispatcher import DispatcherClosedError
from pybrpc.transport.dispatch.step_queue import FunctionWork
from pybrpc.transport.dispatch.turn_budget import CALL_S
from pybrpc.transport.interfaces import PLAIN
from pybrpc.transport.writing.backlog import Backlog
from pybrpc.transport.writing.errors import broken_error, dispatcher_closed_error, interrupted_error
from pybrpc.transport.writing.outcomes import run_all
from pybrpc.transport.writing.pending_writes import MAX_BATCH_REQUESTS, PendingWrites, note_begun
from pybrpc.transport.writing.socket_core import SocketCore
from pybrpc.transport.writing.writable_wait import LAYER_PAUSE_S, WritableWait
from pybrpc.transport.writing.write_queue import WriteQueue
from pybrpc.transport.writing.write_request import WRITTEN, WriteRequest

MAX_BATCHES_PER_STEP = 16
MAX_BYTES_PER_STEP = 4 * 1024 * 1024
"""After this many bytes other sockets are served, even if the kernel would take more."""
MAX_DRAINED_PER_STEP = 1024
DRAIN_STEP_S = 0.002
"""After so many failed requests, or so many seconds, others are served."""
CUT_OFF_PAUSE_S = 0.001
"""Pause until it is looked again whether a producer has linked its request."""
MAX_CUT_OFF_PAUSE_S = 0.05
MAX_CUT_OFF_STEPS = 125
"""Pauses on a failed socket, about 5 s, after which the producer has been interrupted for good."""
SMALL_BYTES = 16 * 1024
"""If less is queued, writing it is not long, and never waits for the budget of a loop."""
BURST_S = 0.0001
"""A write that follows the last one within this time belongs to a burst."""

_handed_over = 0
"""Changed without a lock: of threads that run at the same moment, one may be missed."""


def writes_handed_over() -> int:
    """How often a producer of this process has left writing to the dispatcher, because it could not
    write all, or what comes next was to be written with it (KeepWrite in C++ bRPC)."""
    return _handed_over


class SocketWriter:
    """The writing side of one socket. Its methods take the socket; see SocketCore."""

    __slots__ = (
        "_close_request",
        "_cut_off_steps",
        "_layer_is_full",
        "_posted_again_until",
        "_posted_until",
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
        self._posted_until = 0.0
        """0.0 unless a loop has the right."""
        self._posted_again_until = 0.0
        """Belongs to the producers."""

    def write(self, socket: SocketCore, request: WriteRequest) -> None:
        """Queue a request that the backlog has accepted; write it if no other thread writes."""
        if self._queue.push(request):
            self._begin(socket, request)
        elif self._posted_until and self._posted_until <= monotonic():
            self._post_again(socket)

    def hold(self) -> None:
        """Take the right of a new socket, without writing. `keep_write` continues from there."""
        self._queue.push(WriteRequest(IOBuf()))

    def flush(self, socket: SocketCore) -> None:
        """Make the holder of the right write what the layer has unsent. Inside a turn."""
        if not self._wait.is_waiting and not self.pending.is_shutdown:
            self.backlog.try_add(0, ignore_limit=True)
            self.write(socket, WriteRequest(IOBuf()))

    @property
    def waits_for_kernel(self) -> bool:
        """Whether the peer has to read first. Any thread."""
        return self._wait.waits_for_kernel

    def on_read(self) -> None:
        """Something was read: the next write is made at once again, not deferred."""
        self._wrote_since_read = False

    def on_writable(self, socket: SocketCore) -> None:
        """The wait is over: the kernel or the layer may have room again. Inside a turn."""
        if socket.budget is None:
            if self._wait.stop(socket):
                self.keep_write(socket)
        elif self._wait.is_waiting:
            self._posted_until = monotonic() + LOST_S
            self._wait.stop(socket)
            self._write_in_turn(socket)

    def keep_write(self, socket: SocketCore) -> None:
        """The continuation: write batches until the queue is empty or the kernel is full."""
        try:
            self._posted_until = 0.0
            if socket.error is not None:
                self._drain(socket)
            elif self._write_batches(socket):
                self._continue(socket)
        except BaseException as reason:
            self._give_up(socket, reason, True)
            raise

    def close(self, socket: SocketCore) -> None:
        """Fail everything queued and close the descriptor. Inside a turn, after failure."""
        if self._wait.stop(socket) or self._posted_until:
            self._posted_until = 0.0
            self._drain(socket)
        request = self._close_request = WriteRequest(IOBuf())
        if self._queue.push(request):
            self.pending.requests.append(request)
            self._drain(socket)

    # --- with the right, in the producer ---

    def _begin(self, socket: SocketCore, request: WriteRequest) -> None:
        has_right = True
        try:
            self.pending.requests.append(request)
            if socket.is_connected and socket.error is None and not self._defers_write(socket):
                if not self._write_short(socket, request):
                    self._write_batch(socket)
                if request.progress is WRITTEN:
                    self.written_inline += 1
            # If a signal interrupts from here on, the right was most likely released or handed
            # over.
            has_right = False
            self._hand_over_right(socket)
        except BaseException as reason:
            self._give_up(socket, reason, has_right)
            raise

    def _write_short(self, socket: SocketCore, request: WriteRequest) -> bool:
        """Write the only pending request at once, if it is short: what `_write_batch` does, for the
        most frequent case. False if it is another case, or if more of it is to be written."""
        data = self.pending.next_short(SHORT_BYTES) if socket.layer is PLAIN else None
        if data is None:
            return False
        try:
            written = write_short(socket.fd, data)
        except BlockingIOError:
            return False
        except OSError as error:
            # The kernel reports it once: `_write_batch` would meet another one.
            self._fail(socket, broken_error(socket, error, "write into", Phase.SENT))
            return True
        self.writes += 1
        self.bytes_written += written
        self._wrote_at = monotonic()
        if written < len(data):
            request.data.pop_front(written)
            return False
        self.pending.settle_only()
        return True

    def _hand_over_right(self, socket: SocketCore) -> None:
        """Give the right to the connector, back to the queue, or on to the dispatcher."""
        global _handed_over
        if not socket.is_connected and socket.error is None:
            socket.start_connecting()
        elif self.pending.requests or not self._release():
            _handed_over += 1
            self._continue(socket)

    def _defers_write(self, socket: SocketCore) -> bool:
        """Whether to leave this write to the dispatcher, to be made together with what follows.

        Always if the layer writes in the background. Inside a turn, all writes but the first.
        Outside of turns, the writes of callers that relay, and those of a burst: nothing was read
        since the last write, and that was less than BURST_S ago.
        """
        if socket.layer is not PLAIN and socket.layer.writes_in_background:
            return True
        dispatcher = socket.dispatcher
        if dispatcher.is_current():
            if dispatcher.flushes_at_turn_end or self._wrote_since_read:
                return True
        else:
            is_burst = self._wrote_since_read and monotonic() < self._wrote_at + BURST_S
            if is_burst or expects_writes(dispatcher):
                return True
        self._wrote_since_read = True
        return False

    def _give_up(self, socket: SocketCore, reason: BaseException, has_right: bool) -> None:
        """A signal handler raised, or memory ran out: the kernel may have taken any number of
        bytes.

        Going on could send bytes twice, so everything queued fails, as if it had been sent.
        """
        self._fail(socket, interrupted_error(socket, reason))
        if has_right:
            self.pending.note_all_sent()
            self._continue(socket)

    # --- with the right, in a turn ---

    def _write_batches(self, socket: SocketCore) -> bool:
        """True if there is more to write now. False if nothing is left or a continuation is set."""
        began = self.bytes_written
        for _ in range(MAX_BATCHES_PER_STEP):
            is_whole = self._take_more()
            may_go_on = self._write_batch(socket)
            if socket.error is not None:
                self._drain(socket)
                return False
            if not may_go_on:
                self._wait_for_room(socket)
                return False
            if not is_whole:
                return self._retry_take(socket)
            if not self.pending.requests and self._release():
                return False
            if self.bytes_written - began >= MAX_BYTES_PER_STEP:
                break
        return True

    def _take_more(self) -> bool:
        """Take what was pushed, unless the batch is full; False if that is not possible yet."""
        if len(self.pending.requests) < MAX_BATCH_REQUESTS:
            taken = self._queue.take()
            if taken is None:
                return False
            self.pending.requests.extend(taken)
            self._cut_off_steps = 0
        return True

    def _write_batch(self, socket: SocketCore) -> bool:
        """Make one system call for up to 256 requests. False if there is no room for more now.

        If the call fails, the socket fails and nothing is settled.
        """
        pending, layer = self.pending, socket.layer
        batch = pending.next_batch(socket)
        if not batch and (layer is PLAIN or not layer.has_unsent):
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
            self._fail(socket, broken_error(socket, error, "write into", Phase.SENT))
            return False
        if written:
            self.writes += 1
            self.bytes_written += written
            self._wrote_at = monotonic()
        if layer is not PLAIN and layer.has_unsent:
            note_begun(batch)
            return False
        has_room = pending.settle_written(socket, batch) or not batch
        if pending.is_shutdown:
            socket.shutdown_write_side()
        return has_room

    # --- with the right, in a turn of a loop ---

    def _write_in_turn(self, socket: SocketCore) -> None:
        """`keep_write` in this round of the loop, or, if it is long, when its turn comes. Nothing
        if the right is not with the loop any more."""
        if not self._posted_until:
            return
        budget = socket.budget
        assert budget is not None
        if self._wait.is_waiting:
            self._wait.stop(socket)  # what was to resume it has been lost
        if self.backlog.size_bytes < SMALL_BYTES:
            budget.charge(CALL_S)
            self.keep_write(socket)
            return
        if budget.is_spent:
            budget.defer(FunctionWork(self._write_in_turn, socket, "writing on"))
            return
        started_at = monotonic()
        try:
            self.keep_write(socket)
        finally:
            budget.charge(monotonic() - started_at)

    # --- handing over the right ---

    def _release(self) -> bool:
        """Give the right back, then run what a closed dispatcher has refused. False if something
        was pushed: the caller keeps the right."""
        pending = self.pending
        refused = pending.refused
        if refused is None:
            return self._queue.release()
        pending.refused = None
        if not self._queue.release():
            pending.refused = refused
            return False
        run_all(refused)
        return True

    def _continue(self, socket: SocketCore) -> None:
        """Hand the right to the dispatcher; if that is closed, drain."""
        self._layer_is_full = False
        if not self._post_keep_write(socket):
            self._drain(socket)

    def _post_keep_write(self, socket: SocketCore) -> bool:
        """Hand the right to the dispatcher. False if that is closed: the caller keeps the right,
        and the socket has failed."""
        try:
            self._post(socket)
        except DispatcherClosedError as error:
            self._posted_until = 0.0
            self._fail(socket, dispatcher_closed_error(socket, error))
            return False
        return True

    def _post(self, socket: SocketCore) -> None:
        if socket.budget is None:
            socket.dispatcher.post(partial(self.keep_write, socket))
            return
        self._posted_until = monotonic() + LOST_S
        socket.dispatcher.post(partial(self._write_in_turn, socket))

    def _post_again(self, socket: SocketCore) -> None:
        """Without the right: the loop has it, but may have lost what was posted."""
        now = monotonic()
        if now < self._posted_again_until:
            return
        self._posted_again_until = now + LOST_S
        with contextlib.suppress(DispatcherClosedError):
            socket.dispatcher.post(partial(self._write_in_turn, socket))

    def _pause(self, socket: SocketCore, pause_s: float) -> None:
        if socket.budget is not None:
            self._posted_until = monotonic() + pause_s + LOST_S
        self._wait.pause(socket, pause_s, partial(self.on_writable, socket))

    def _retry_take(self, socket: SocketCore) -> bool:
        """Not all that was pushed could be taken. True if the next step may go on at once, False
        if a continuation is set: a producer is between exchange and link.

        It goes on in the next turn, after a pause if it lasts. The failure of the socket ends a
        pause early. On a failed socket nothing would end the pause if the dispatcher closed
        meanwhile, so a thread makes it.
        """
        if not self._queue.is_cut:
            return True
        self._cut_off_steps += 1
        try:
            if self._cut_off_steps == 1:
                self._post(socket)
            elif socket.error is None:
                self._pause(socket, CUT_OFF_PAUSE_S)
            else:
                self._retry_or_give_up(socket)
        except DispatcherClosedError as error:
            self._posted_until = 0.0
            self._fail(socket, dispatcher_closed_error(socket, error))
            self._retry_or_give_up(socket)
        return False

    def _retry_or_give_up(self, socket: SocketCore) -> None:
        """On a failed socket: look again in a thread, but not for ever.

        A signal handler, or another thread, may have interrupted the producer between exchange and
        link. Then what was pushed later is out of reach: no outcome is reported, and the descriptor
        is closed here.
        """
        if self._cut_off_steps <= MAX_CUT_OFF_STEPS:
            self._retry_in_a_thread(socket)
            return
        TRANSPORT.warning("Close %s: a write was interrupted for good", socket.description)
        socket.close_descriptor()

    def _retry_in_a_thread(self, socket: SocketCore) -> None:
        refused, self.pending.refused = self.pending.refused, None
        pause_s = min(CUT_OFF_PAUSE_S * self._cut_off_steps, MAX_CUT_OFF_PAUSE_S)
        threading.Timer(pause_s, partial(self.keep_write, socket)).start()
        if refused is not None:
            run_all(refused)

    def _wait_for_room(self, socket: SocketCore) -> None:
        """Wait until the kernel has room, or the layer."""
        if self._layer_is_full:
            self._layer_is_full = False
            self._pause(socket, LAYER_PAUSE_S)
        else:
            self._wait.wait_for_kernel(socket, partial(self.on_writable, socket))

    # --- failure ---

    def _fail(self, socket: SocketCore, error: RpcError) -> None:
        """Fail the socket. If no turn will come any more, it ends once the right is given back."""
        if socket.begin_fail(error):
            self.pending.refuse(FunctionWork(socket.finish_fail, error, "the end of a connection"))

    def _drain(self, socket: SocketCore) -> None:
        """Fail everything queued, a part in each turn, then give the right back; again if more was
        pushed meanwhile. In a turn, or in any thread if the dispatcher is closed."""
        pending, error = self.pending, socket.error
        assert error is not None
        left = MAX_DRAINED_PER_STEP
        stops_at = monotonic() + DRAIN_STEP_S
        while True:
            while pending.requests and left:
                request = pending.requests.popleft()
                if request is self._close_request:
                    socket.close_descriptor()
                else:
                    pending.settle_failed(socket, request, error)
                left -= 1
                if monotonic() >= stops_at:
                    left = 0
            if not pending.requests and self._release():
                return
            if not pending.requests and not self._take_more():
                if not self._retry_take(socket):
                    return
                left = 0
            if left == 0 and self._post_keep_write(socket):
                return
            left = left or MAX_DRAINED_PER_STEP
