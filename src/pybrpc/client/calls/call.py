"""Call: one call from its start to its end; the engine under all forms of calling.

A call is always in one place: an attempt that waits in a connection for its answer, the queue for
a connection, the pause before a retry. Whoever takes it out of there (answer, broken connection,
deadline, cancellation) owns it: ends it, or carries it to the next place. So a call ends once, and
the forms differ only in `on_done`.

A deadline or a cancellation may come while somebody else owns the call. It leaves `_abort_error`
first and tries to take the call out after; an owner that has put the call into its next place
looks at `_abort_error` after that. One of the two sees the other.

A call with a backup request has two attempts at once; its `hedge` says which of those who have
taken one out owns the call.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from pybrpc.base.deadline import NEVER
from pybrpc.client.calls.attempt import Attempt, WaitPoint
from pybrpc.client.calls.backup_request import Hedge
from pybrpc.client.calls.call_record import CallRecord
from pybrpc.client.calls.retry import RetryPause
from pybrpc.errors import (
    CONNECTION_CODES,
    BadResponseError,
    ErrorCode,
    Phase,
    RpcError,
    make_rpc_error,
)
from pybrpc.rpc.controller import Controller
from pybrpc.rpc.timeout_queue import TimeoutQueue
from pybrpc.transport.dispatch.event_dispatcher import DispatcherClosedError

if TYPE_CHECKING:
    from pybrpc.client.calls.call_options import CalledMethod, CallOptions
    from pybrpc.client.connections.connection import ClientConnection
    from pybrpc.client.endpoints.interfaces import ConnectionSource

MAX_UNCOUNTED_SENDS = 8
"""So many connections that had died unnoticed are passed over before one counts as a retry."""


class Call(CallRecord):
    """One call. A form of calling is a subclass with an `on_done`."""

    __slots__ = ("_abort_error", "_place", "_timeout_queue")

    def __init__(
        self,
        source: ConnectionSource,
        method: CalledMethod,
        request: Any,
        timeout_s: float | None,
        options: CallOptions,
        controller: Controller | None,
    ) -> None:
        self.prepare(source, method, request, timeout_s, options, controller)

    def prepare(
        self,
        source: ConnectionSource,
        method: CalledMethod,
        request: Any,
        timeout_s: float | None,
        options: CallOptions,
        controller: Controller | None,
    ) -> None:
        """The constructor, also of a form that was made with `__new__`: that costs less, compiled.

        BadRequestError if `request` can't be sent, ValueError if `controller` makes no sense.
        """
        self.source = source
        self.method = method
        self.options = options if controller is None else options.of_call(controller)
        self.controller = controller
        self.connection = None
        self.hedge = None
        self.response = None
        self.error = None
        self.retried_count = 0
        self._failures = ""
        self._place: WaitPoint | None = None
        self._abort_error: RpcError | None = None
        self._timeout_queue: TimeoutQueue | None = None
        self._timeout_s = timeout_s
        self._started_at = time.monotonic()
        self.deadline = NEVER if timeout_s is None else self._started_at + timeout_s
        if controller is not None:
            controller.reset()
            controller.method_name = method.full_name
        self.body = self._serialize(request)

    def on_done(self) -> None:
        """The call has ended: `error` or `response` is set. Called once, by any thread."""
        raise NotImplementedError

    def start(self, expires: bool = True) -> None:
        """Make the first attempt. With `expires` a timer ends the call at its deadline.

        Never blocks and raises nothing: what goes wrong ends the call. Only what a signal handler
        raises meanwhile comes out.
        """
        try:
            if self._timeout_s == 0:
                self._fail(self.timeout_error())
                return
            options = self.options
            if options.backup is not None:
                self.hedge = Hedge(self, options.backup, options.backup_after_s)
            if expires and self._timeout_s is not None:
                timeouts = self.source.timeouts
                self._timeout_queue = timeouts.of(self._timeout_s)
                self._timeout_queue.add(self)
            self._start_attempt()
        except BaseException:
            self._on_interrupted()
            raise

    def is_on_dispatcher(self) -> bool:
        """Whether the calling code runs in a turn of the dispatcher that must bring the answer."""
        return self.source.dispatcher.is_current()

    def abort(self, error: RpcError) -> bool:
        """End the call with `error`; False if somebody else is just ending it. Any thread."""
        self._abort_error = error
        if not self._take_out():
            return False
        self._fail_aborted(error)
        return True

    def expire(self) -> None:
        """The deadline has passed."""
        self.abort(self.timeout_error())

    # --- told by connections: who calls these has taken the attempt out ---

    def on_response(self, attempt: Attempt, response: Any) -> None:
        """The answer has come."""
        hedge = self.hedge
        if hedge is not None and not hedge.win():
            return
        self.connection = attempt.connection
        self.response = response
        self._end()

    def on_error_response(self, attempt: Attempt, error: RpcError) -> None:
        """An answer has come, and it is an error."""
        if error.code == ErrorCode.ELOGOFF:
            attempt.connection.log_off()
        self._on_attempt_failed(attempt, error)

    def on_bad_response(self, attempt: Attempt, reason: str) -> None:
        """An answer has come that makes no sense."""
        error = BadResponseError(reason, phase=Phase.WAITING, peer=_peer_of(attempt.connection))
        self._on_attempt_failed(attempt, error)

    def on_attempt_failed(self, attempt: Attempt, error: RpcError) -> None:
        """The connection broke before an answer."""
        peer = _peer_of(attempt.connection)
        self._on_attempt_failed(attempt, error.copy(attempt.phase(), peer))

    # --- told by what else a call waits for, after it was taken out of there ---

    def on_connection(self, connection: ClientConnection) -> None:
        """A connection is there for this call, which waited for one."""
        self._start_attempt(connection)

    def on_no_connection(self, error: RpcError) -> None:
        """There will be none."""
        self._fail(error.copy(Phase.QUEUED, self.peer))

    def on_pause_over(self) -> None:
        """The pause before a retry is over."""
        self._start_attempt()

    # --- owned by the caller of these ---

    def wait_in(self, place: WaitPoint) -> None:
        """Say where the call will be, before anybody else can see it there."""
        self._place = place

    def check_abort(self) -> None:
        """After the call was put into a place: end it if that was asked for meanwhile."""
        abort_error = self._abort_error
        if abort_error is None and self.retried_count and time.monotonic() >= self.deadline:
            abort_error = self.timeout_error()
        if abort_error is not None:
            self.abort(abort_error)

    def _start_attempt(self, connection: ClientConnection | None = None) -> None:
        """Send it over `connection`, or over what the source gives, or wait for a connection."""
        refusals = 0
        while True:
            if connection is None:
                connection = self._look_for_connection()
            if connection is None:
                return
            try:
                self._send(connection)
            except RpcError as error:
                connection.release()
                failure = error.copy(Phase.QUEUED, self.peer)
                if connection.socket.is_connected and failure.code in CONNECTION_CODES:
                    refusals += 1
                if not 0 < refusals <= MAX_UNCOUNTED_SENDS and not self._plan_next_attempt(failure):
                    return
                connection = None
            else:
                return

    def _look_for_connection(self) -> ClientConnection | None:
        """`None`: the call waits for one, or has ended."""
        live = self.source.live
        if live is not None and live.takes_calls():
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

    def _send(self, connection: ClientConnection) -> None:
        """Raises what the connection refuses; then the call is still the caller's."""
        self.connection = connection
        attempt = Attempt.__new__(Attempt)
        attempt.prepare(self, connection)
        self._place = attempt
        if self.hedge is None:
            connection.send(attempt)
        else:
            self.hedge.send(attempt)
        if self._abort_error is not None or self.retried_count:
            self.check_abort()

    def _plan_next_attempt(self, error: RpcError, at_once: bool = True) -> bool:
        """True: make the next attempt now. False: the call has ended, or pauses.

        Not `at_once`: the endpoint is down, so to try again makes sense only after a pause.
        """
        if at_once and self._abort_error is None and self.waits_for_ready(error):
            self.note_failure(error)
            return True
        pause_s = None if self._abort_error is not None else self.pause_s_after(error)
        if pause_s is None or not (pause_s or at_once):
            if self._abort_error is None:
                self._fail(error)
            else:
                self._fail_aborted(self._abort_error)
            return False
        self.note_failure(error)
        self.retried_count += 1
        if pause_s:
            self._pause(pause_s, error)
        return not pause_s

    def _on_attempt_failed(self, attempt: Attempt, error: RpcError) -> None:
        hedge = self.hedge
        if hedge is not None and not hedge.lose():
            self.note_failure(error)
            return
        self.connection = attempt.connection
        if self._plan_next_attempt(error):
            self._start_attempt()

    def _pause(self, pause_s: float, error: RpcError) -> None:
        pause = self._place = RetryPause(self)
        try:
            pause.begin(self.source.dispatcher, pause_s)
        except DispatcherClosedError:
            self._fail(error)
        else:
            self.check_abort()

    def _take_out(self) -> bool:
        """For who wants to end the call: True if it is his now. What was not sent is dropped."""
        if self.hedge is not None:
            return self.hedge.try_claim(self._place)
        place = self._place
        return place is not None and (
            place.try_cancel() if type(place) is Attempt else place.try_claim()
        )

    def _on_interrupted(self) -> None:
        """Drop the connection: its write right may be lost with the frames that were unwound."""
        text = f"Interrupted by a signal handler that raised, while calling {self.peer}"
        phase, peer = self.phase, self.peer
        error = make_rpc_error(ErrorCode.EFAILEDSOCKET, text, phase=phase, peer=peer)
        self.abort(self.canceled_error())
        self.source.reclaim(self)
        if self.connection is not None:
            self.connection.socket.fail(error)

    @property
    def phase(self) -> Phase:
        place = self._place
        return place.phase() if type(place) is Attempt else Phase.QUEUED

    def _fail_aborted(self, error: RpcError) -> None:
        """Until the call was taken out it may have come further than when `error` was made."""
        error.phase = self.phase
        self._fail(error)

    def _fail(self, error: RpcError) -> None:
        self._note_last(error)
        self.error = error
        self._end()

    def _end(self) -> None:
        if self._timeout_queue is not None:
            self._timeout_queue.discard(self)
        if self.hedge is not None:
            self.hedge.end(self._place)
        if self.controller is not None:
            self._fill(self.controller)
        # A place knows the call: without this circle most calls are gone as soon as they end.
        self._place = None
        self.on_done()


def _peer_of(connection: ClientConnection) -> str:
    return str(connection.socket.remote_side)
