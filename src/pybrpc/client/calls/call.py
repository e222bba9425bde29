"""Call: one call from its start to its end; the engine under all forms of calling.

A call always waits in one place: an attempt that waits in a connection for its response, the queue
for a connection, the pause before a retry. The thread that claims it there (for a response, a
broken connection, a deadline, a cancellation) owns it: it ends the call, or moves it to the next
place. So each call ends exactly once, and the forms differ only in `on_done`.

A deadline or a cancellation may come while another thread owns the call. It stores `_abort_error`
first and tries to claim the call after that; an owner that has put the call into its next place
looks at `_abort_error` after that. Store, then load, on both sides: at least one sees the other.

The end of a call is data: `_end` stores the outcome, and runs no code of the user. What the user
wants to be run then is a completion of the dispatcher (`on_done`).

If the thread that owns a call loses it, the TimeoutQueue ends the call some time after its deadline
(`give_up`). So two threads might end it: only that which has discarded the call from the queue does
so. A blocking call has no timer: its caller gives it up itself.

A call with a backup request has two attempts at once; its `hedge` decides which of the threads that
have claimed one owns the call.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from pybrpc.base.deadline import NEVER
from pybrpc.base.guard import CLIENT, UserCodeError, deliver_interrupt, safe_repr
from pybrpc.client.calls.attempt import Attempt, AttemptConnection, WaitPoint, new_attempt
from pybrpc.client.calls.attempt_end import CanceledBy, canceled_by
from pybrpc.client.calls.backup_request import Hedge
from pybrpc.client.calls.call_record import CallRecord
from pybrpc.client.calls.call_span import begin_span, end_span, note_sent
from pybrpc.errors import (
    CONNECTION_CODES,
    BadResponseError,
    ErrorCode,
    Phase,
    RpcError,
    make_rpc_error,
)
from pybrpc.rpc.controller import Controller
from pybrpc.rpc.serving import current_call
from pybrpc.rpc.timeout_queue import TimeoutQueue
from pybrpc.tracing.switch import wants_client_span
from pybrpc.transport.dispatch.event_dispatcher import DispatcherClosedError

if TYPE_CHECKING:
    from pybrpc.client.calls.call_options import CalledMethod, CallOptions
    from pybrpc.client.calls.interfaces import ConnectionSource

MAX_UNCOUNTED_SENDS = 8
"""Sends of one attempt that may fail because the connection had broken unnoticed. The next failure
counts as a retry."""


class Call(CallRecord):
    """One call. A form of calling is a subclass with an `on_done`, and a function that makes it."""

    __slots__ = ("_abort_error", "_place", "_timeout_queue")

    def set_up(
        self,
        source: ConnectionSource,
        method: CalledMethod,
        request: Any,
        timeout_s: float | None,
        options: CallOptions,
        controller: Controller | None,
    ) -> None:
        """Set the fields that all forms have. For the function that makes a call of one form.

        BadRequestError if `request` can't be sent, ControllerInUseError if another call uses
        `controller`.
        """
        self.source = source
        self.method = method
        self.options = options if controller is None else options.of_call(controller)
        self.controller = controller
        self.connection = None
        self.pick = None
        self.hedge = None
        self.response = None
        self.error = None
        self.is_over = False
        self.retried_count = 0
        self._failed_attempts = None
        self._place: WaitPoint | None = None
        self._abort_error: RpcError | None = None
        self._timeout_queue: TimeoutQueue | None = None
        self.is_blocking = False
        self._timeout_s = timeout_s
        self._started_at = time.monotonic()
        self.deadline = NEVER if timeout_s is None else self._started_at + timeout_s
        served = self.served = current_call()
        if served is not None:
            self._inherit_deadline(served)
        if controller is not None:
            controller.begin_call(self, method.full_name)
        self.span = None
        self.body = self._serialize(request)
        if wants_client_span(self._started_at):
            self.span = begin_span(method.full_name, controller, self._started_at)

    def on_done(self) -> None:
        """The call has ended: `error` or `response` is set. Called once, by any thread. It must
        not raise, block or run user code."""
        raise NotImplementedError

    def begin_reading(self, connection: AttemptConnection) -> None:
        """The call is about to be sent over `connection`, which it has for itself: have somebody
        read the response."""
        direct = connection.direct
        if direct is not None:
            direct.require_reader()

    def stop_reading(self) -> None:
        """It was not sent."""

    def start(self, expires: bool = True) -> None:
        """Make the first attempt. With `expires` a timer ends the call at its deadline.

        Never blocks. Errors end the call and are not raised; only an exception of a signal handler
        that runs meanwhile is raised here.
        """
        try:
            if self._timeout_s == 0:
                self._fail(self.timeout_error())
                return
            if self.served is not None and not self.served.add(self):
                self._fail(self.handler_canceled_error(self.served.cancel_reason))
                return
            options = self.options
            if options.backup is not None and self.may_run_twice:
                self.hedge = Hedge(self, options.backup, options.backup_after_s)
            if expires and self._timeout_s is not None:
                timeouts = self.source.timeouts
                queue = timeouts.of(self._timeout_s)
                queue.add(self)
                self._timeout_queue = queue
            self._start_attempt()
        except BaseException as reason:
            self._on_interrupted(reason)
            raise

    def abort(self, error: RpcError) -> bool:
        """End the call with `error`; False if another thread owns it just now. Any thread.

        Once it was claimed it ends, whatever strikes this thread, which is raised then.
        """
        self._abort_error = error
        if not self._try_cancel(canceled_by(error)):
            return False
        try:
            self._fail_aborted(error)
        except BaseException:
            if not self.is_over:
                self.error = error
                self._end()
            raise
        return True

    def expire(self) -> bool:
        """The deadline has passed. False if another thread owns the call just now."""
        return self.abort(self.timeout_error())

    def give_up(self) -> None:
        """The deadline has passed, and the thread that owns the call has not ended it: end it."""
        self._report_lost_attempt()
        self._fail(self.timeout_error())

    def _report_lost_attempt(self) -> None:
        place = self._place
        if type(place) is Attempt:
            place.report(ErrorCode.ERPCTIMEDOUT, CanceledBy.DEADLINE)
        if self.hedge is not None and self.hedge.has_backup:
            self.hedge.may_have_run = True

    def on_handler_canceled(self, reason: str) -> None:
        """The request was canceled that the handler serves which made this call. Any thread."""
        self.abort(self.handler_canceled_error(reason))

    # --- called by connections, with an attempt that they have claimed ---

    def on_response(self, attempt: Attempt, response: Any) -> None:
        """The response has arrived."""
        if attempt.listeners is not None or attempt.pick is not None:
            attempt.report(0)
        hedge = self.hedge
        if hedge is not None and not hedge.win():
            return
        queue = self._timeout_queue
        if not self.is_over and (queue is None or queue.discard(self)):
            self.connection = attempt.connection
            self.response = response
            self._end()

    def on_error_response(self, attempt: Attempt, error: RpcError, response: Any = None) -> None:
        """A response has arrived, and it is an error."""
        attempt.report(error.code)
        if error.code == ErrorCode.ELOGOFF:
            attempt.connection.retire()
        self._on_attempt_failed(attempt, error, response)

    def on_bad_response(self, attempt: Attempt, reason: str) -> None:
        """A response has arrived that can't be parsed."""
        error = BadResponseError(reason, phase=Phase.WAITING, peer=_peer_of(attempt.connection))
        attempt.report(error.code)
        self._on_attempt_failed(attempt, error)

    def on_attempt_failed(self, attempt: Attempt, error: RpcError) -> None:
        """The connection broke before a response."""
        if attempt.write_request is not None:
            # So its phase is QUEUED only if no byte of it ever leaves.
            attempt.write_request.cancel()
        attempt.report_failure(error)
        peer = _peer_of(attempt.connection)
        self._on_attempt_failed(attempt, error.copy(attempt.phase, peer))

    def on_raised(self, attempt: Attempt, reason: BaseException) -> None:
        """One of the methods above has raised `reason`: end the call if it has not ended."""
        attempt.report(ErrorCode.ERESPONSE)
        if self.pick is not None:
            self.pick.end(int(ErrorCode.ERESPONSE), None)  # of an attempt that was never sent
        if self.is_over:
            return
        text = f"Fail to handle the response: {safe_repr(reason)}"
        error = BadResponseError(text, phase=Phase.WAITING, peer=_peer_of(attempt.connection))
        error.__cause__ = reason
        if self._timeout_queue is not None:
            self._timeout_queue.discard(self)
        self.error = error
        self._end()

    # --- called by other places where a call waits, after it was claimed there ---

    def on_connection(self, connection: AttemptConnection) -> None:
        """This call, which waited for a connection, gets one."""
        self._start_attempt(connection)

    def on_no_connection(self, error: RpcError) -> None:
        """There will be no connection for this call."""
        self._fail(error.copy(Phase.QUEUED, self.peer))

    def on_pause_over(self) -> None:
        """The pause before a retry is over."""
        self._start_attempt()

    # --- for the owner of the call ---

    def wait_in(self, place: WaitPoint) -> None:
        """Note where the call will wait, before any other thread can find it there."""
        self._place = place

    def check_abort(self) -> None:
        """After the call was put into a place: end it if it was aborted meanwhile."""
        if self.is_over:
            self._leave(self._place)
            return
        abort_error = self._abort_error
        if abort_error is None and self.retried_count and time.monotonic() >= self.deadline:
            abort_error = self.timeout_error()
        if abort_error is not None:
            self.abort(abort_error)

    def _start_attempt(self, connection: AttemptConnection | None = None) -> None:
        """Send the call over `connection`, or over one of the source, or wait for a connection."""
        refusals = 0
        while True:
            if connection is None:
                connection = self._look_for_connection()
            if connection is None:
                return
            try:
                self._send(connection)
            except RpcError as error:
                if connection.direct is not None:
                    self.stop_reading()
                connection.release()
                if self.pick is not None:
                    self.pick.end(error.code, None)
                failure = error.copy(Phase.QUEUED, self.peer)
                if connection.socket.is_connected and failure.code in CONNECTION_CODES:
                    refusals += 1
                if not 0 < refusals <= MAX_UNCOUNTED_SENDS and not self._plan_next_attempt(failure):
                    return
                connection = None
            else:
                return

    def _look_for_connection(self) -> AttemptConnection | None:
        """A connection for the next attempt; `None`: the call waits for one, or has ended."""
        pool = self.source.pool
        live = self.source.live
        if pool is not None and not self.retried_count and pool.serves(self.is_blocking, live):
            idle = pool.take(self)
            if idle is not None:
                return idle
            if pool.may_grow:
                live = None
        if live is not None and live.is_usable():
            return live
        try:
            connection = self.source.get(self)
        except RpcError as error:
            self._plan_next_attempt(error.copy(Phase.QUEUED, self.peer), at_once=False)
            return None
        if connection is None:
            self.source.wait(self)
            self.check_abort()
        return connection

    def _send(self, connection: AttemptConnection) -> None:
        """Raises the error of a connection that refuses the call; the caller still owns the call
        then."""
        self.connection = connection
        attempt = new_attempt(self, connection)
        attempt.pick = self.pick
        self._place = attempt
        if connection.direct is not None:
            self.begin_reading(connection)
        if self.hedge is None:
            connection.send(attempt)
        else:
            self.hedge.send(attempt)
        if self.span is not None:
            note_sent(self.span)
        if self.is_over:
            self._leave(attempt)
        elif self._abort_error is not None or self.retried_count:
            self.check_abort()

    def _leave(self, place: WaitPoint | None) -> None:
        """The call was given up before its owner put it into this place."""
        if place is not None:
            place.try_cancel(CanceledBy.DEADLINE)
        self._place = None

    def _plan_next_attempt(self, error: RpcError, at_once: bool = True) -> bool:
        """True: make the next attempt now. False: the call has ended, or pauses.

        Without `at_once` the call is retried only after a pause, because the endpoint is down.
        """
        if self.is_over:
            return False
        if at_once and self._abort_error is None and self.waits_for_ready(error):
            self.note_failure(error)
            return True
        pause_s = None
        if self._abort_error is None:
            try:
                pause_s = self.pause_s_after(error)
            except UserCodeError as raised:
                self._fail_by_policy(error, raised.reason)
                deliver_interrupt(raised.reason)
                return False
            except BaseException as reason:
                self._fail_by_policy(error, reason)
                raise  # not by code of the user: another thread has set it in this one
        if pause_s is not None and not self.source.take_retry(error):
            pause_s = None
        if pause_s is None or not (pause_s or at_once):
            if self._abort_error is None:
                self._fail(error)
            else:
                self._fail_aborted(self._abort_error)
            return False
        self.note_failure(error)
        self.response = None
        self.retried_count += 1
        text = "retry %d of %s, after %g s: %s"
        CLIENT.debug(text, self.retried_count, self.method.full_name, pause_s, error)
        if pause_s:
            self._pause(pause_s, error)
        return not pause_s

    def _fail_by_policy(self, error: RpcError, reason: BaseException) -> None:
        error.text += f" [and then the retry policy raised {safe_repr(reason)}]"
        error.__cause__ = reason
        self._fail(error)

    def _on_attempt_failed(self, attempt: Attempt, error: RpcError, response: Any = None) -> None:
        hedge = self.hedge
        if hedge is not None:
            if error.may_have_run:
                hedge.may_have_run = True
            if not hedge.lose():
                self.note_failure(error)
                return
        self.connection = attempt.connection
        if not self.is_over:
            self.response = response
        if self._plan_next_attempt(error):
            self._start_attempt()

    def _pause(self, pause_s: float, error: RpcError) -> None:
        try:
            self.source.pause(self, pause_s)
        except DispatcherClosedError:
            self._fail(error)
        else:
            self.check_abort()

    def _try_cancel(self, by: CanceledBy) -> bool:
        """Claim the call to end it. True if the caller owns it now."""
        if self.hedge is not None:
            return self.hedge.try_cancel(self._place, by)
        place = self._place
        return place is not None and place.try_cancel(by)

    def _on_interrupted(self, reason: BaseException) -> None:
        """Fail the connection: the interrupted code may have held its write right."""
        # By a signal handler, by another thread, or because no stack or memory is left.
        text = f"Interrupted by {type(reason).__name__} while calling {self.peer}"
        phase, peer = self.phase, self.peer
        error = make_rpc_error(ErrorCode.EFAILEDSOCKET, text, phase=phase, peer=peer)
        if not self.abort(self.canceled_error()) and self._place is None and not self.is_over:
            # It was not put into any place yet, so no other thread can have it.
            self._fail(self.canceled_error())
        self.source.reclaim(self)
        if self.connection is not None:
            self.connection.socket.fail(error)

    @property
    def phase(self) -> Phase:
        place = self._place
        return Phase.QUEUED if place is None else place.phase

    def _fail_aborted(self, error: RpcError) -> None:
        """Before the call was claimed it may have come further than when `error` was made."""
        error.phase = self.phase
        self.response = None
        self._fail(error)

    def _fail(self, error: RpcError) -> None:
        queue = self._timeout_queue
        if not self.is_over and (queue is None or queue.discard(self)):
            self._note_last(error)
            self.error = error
            self._end()

    def _end(self) -> None:
        """For the one thread that may end the call; it has stored the outcome."""
        self._ended_at = time.monotonic()
        self.is_over = True
        try:
            if self.served is not None:
                self.served.discard(self)
            if self.hedge is not None:
                self.hedge.end(self._place)
            if self.span is not None:
                end_span(self.span, self.remote_side, self.error, self.response)
            times = self.source.call_times
            if times is not None:
                times.note(self.method, self.error, self._ended_at - self._started_at)
            # A place refers to the call, and an error that is raised later to frames that know it:
            # without these circles most calls are freed as soon as they end.
            self._place = None
            self._abort_error = None
        finally:
            self.on_done()


def _peer_of(connection: AttemptConnection) -> str:
    return str(connection.socket.remote_side)
