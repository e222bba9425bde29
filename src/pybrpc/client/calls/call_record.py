"""CallRecord: the data of one call: its request, its progress, its result.

Where the call waits, and which thread may end it, belongs to the Call. Only the thread that owns
the call changes its record; any thread may ask for the texts and the phase of an error.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from pybrpc.base.deadline import milliseconds_text
from pybrpc.base.guard import CLIENT, UserCodeError, deliver_interrupt, run_guarded, safe_repr
from pybrpc.client.calls.call_span import note_failed_attempt
from pybrpc.client.calls.failed_attempts import FailedAttempts
from pybrpc.client.calls.retry import RetryPolicy
from pybrpc.errors import (
    BadRequestError,
    BadResponseError,
    ErrorCode,
    HandlerCanceledError,
    Phase,
    RpcError,
    is_unreachable,
    make_rpc_error,
)
from pybrpc.rpc.controller import Controller
from pybrpc.transport.dispatch.step_queue import Work

if TYPE_CHECKING:
    from pybrpc.base.endpoint import Endpoint
    from pybrpc.client.calls.attempt import AttemptConnection, AttemptPick
    from pybrpc.client.calls.backup_request import Hedge
    from pybrpc.client.calls.call_options import CalledMethod, CallOptions
    from pybrpc.client.calls.interfaces import ConnectionSource
    from pybrpc.rpc.serving import ServedCall
    from pybrpc.tracing.span import Span

MAX_TIMEOUT_MS = 0x7FFFFFFF

_WHILE = {
    Phase.RESOLVE: ", while its name was being resolved",
    Phase.HANDSHAKE: ", during the handshake",
}
"""Texts for calls that have timed out before their connection was established."""


class CallRecord(Work):
    """The data of one call. `Call.set_up` sets the fields of both: a constructor here would cost
    200 ns per call."""

    __slots__ = (
        "_ended_at",
        "_failed_attempts",
        "_started_at",
        "_timeout_s",
        "body",
        "connection",
        "controller",
        "deadline",
        "error",
        "hedge",
        "is_blocking",
        "is_over",
        "method",
        "options",
        "pick",
        "response",
        "retried_count",
        "served",
        "source",
        "span",
    )

    source: ConnectionSource
    method: CalledMethod
    options: CallOptions
    controller: Controller | None
    body: Any
    """The request, as a connection packs it."""
    deadline: float
    connection: AttemptConnection | None
    """The connection of the last attempt, or of the attempt that ended the call."""
    pick: AttemptPick | None
    """How the server of its last attempt was picked out of a cluster; `None` if it has but one."""
    hedge: Hedge | None
    """Its backup request, if it may have one."""
    retried_count: int
    served: ServedCall | None
    """The request that the handler serves which made this call; `None` outside of handlers."""
    response: Any
    """The response that has ended the call, also if it is an error; `None` if there is none."""
    error: RpcError | None
    """The error of a call that has ended, until it is taken."""
    is_over: bool
    """Whether the call has ended, by `error` or `response`."""
    span: Span | None
    """Its span; `None`: it is not traced."""
    _timeout_s: float | None
    _started_at: float
    _ended_at: float
    """Set once the call has ended."""
    _failed_attempts: FailedAttempts | None
    """`None`: no attempt has failed."""

    # --- its outcome, after the end ---

    def message(self) -> Any:
        """The response, parsed, or the call's error raised. Once.

        Any Exception of the parser is a BadResponseError. What was set in this thread from outside
        is raised as it is: a KeyboardInterrupt, or an exception of a class that parsers don't know.
        """
        if self.error is not None:
            raise self._taken_error()
        try:
            return self.method.parse(self.response, self.options.max_body_size)
        except BadResponseError as error:
            self._note_bad(error)
            raise
        except Exception as reason:
            if not is_of_parser(reason):
                raise
            raise self._bad_response(reason) from reason

    def try_message(self) -> Any:
        """The response, parsed, or `None`: `error` then says why. Fills in the controller, too.

        Never raises. For an end that is not in the caller's thread.
        """
        message = None
        if self.error is None:
            try:
                message = self.method.parse(self.response, self.options.max_body_size)
            except BadResponseError as error:
                self._note_bad(error)
                self.error = error.with_traceback(None)
            except BaseException as reason:
                self.error = self._bad_response(reason)
        self._fill_guarded()
        return message

    def take_error(self) -> RpcError | None:
        """The error. The call forgets it: an error has a traceback, whose frames know the call, and
        the circle would keep the objects of the caller until the garbage collector runs."""
        error, self.error = self.error, None
        return error

    def _taken_error(self) -> RpcError:
        error = self.take_error()
        assert error is not None
        return error

    def _bad_response(self, reason: BaseException) -> BadResponseError:
        text = f"Fail to parse response of {self.method.full_name}: {safe_repr(reason)}"
        error = BadResponseError(text, phase=Phase.WAITING)
        error.__cause__ = reason
        self._note_bad(error)
        return error

    def _note_bad(self, error: BadResponseError) -> None:
        error.peer = self.peer
        self._note_last(error)
        if self.controller is not None:
            self._fill_error(self.controller, error)

    def wire_timeout_ms(self) -> int | None:
        """The timeout that is sent to the server, in milliseconds, at least 1. In a retry it is the
        time that is left."""
        if self._timeout_s is None:
            return None
        left_s = self._timeout_s
        if self.retried_count or self.hedge is not None:
            left_s = self.deadline - time.monotonic()
        return min(max(1, int(left_s * 1000)), MAX_TIMEOUT_MS)

    def _inherit_deadline(self, served: ServedCall) -> None:
        """End this call at the deadline of `served`, if that is earlier than its own."""
        if served.deadline < self.deadline:
            self.deadline = served.deadline
            self._timeout_s = max(0.0, served.deadline - self._started_at)

    @property
    def is_lost(self) -> bool:
        """Whether nobody will ever get the outcome, so that its controller may serve others."""
        return False

    @property
    def phase(self) -> Phase:
        """How far the call has come."""
        raise NotImplementedError

    @property
    def remote_side(self) -> Endpoint | None:
        """The peer of its connection; without one, where its source would connect to, `None` for a
        cluster."""
        connection = self.connection
        return self.source.endpoint if connection is None else connection.socket.remote_side

    @property
    def peer(self) -> str:
        side = self.remote_side
        return self.source.name if side is None else str(side)

    def get_hash_key(self) -> int | None:
        """The key by which a balancer that hashes picks its server; `None`: the caller set none."""
        return None if self.controller is None else self.controller._hash_key

    # --- what may follow an attempt ---

    @property
    def tries(self) -> int:
        """Attempts after the first one, including a backup request."""
        return self.retried_count + (self.hedge is not None and self.hedge.has_backup)

    @property
    def has_tries_left(self) -> bool:
        """Whether the request may be sent once more."""
        return self.tries < self.options.max_retry

    def waits_for_ready(self, error: RpcError) -> bool:
        """Whether the call waits, after `error`, until the endpoint can be reached."""
        return (
            self.options.wait_for_ready
            and is_unreachable(error)
            and time.monotonic() < self.deadline
        )

    def pause_s_after(self, error: RpcError) -> float | None:
        """Seconds to wait before the next attempt; `None` if there will be none.

        UserCodeError if code of the user in the retry policy raises.
        """
        now = time.monotonic()
        if not self.has_tries_left or now >= self.deadline:
            return None
        retry = self.options.retry
        if not self._is_safe_after(error):
            return None
        try:
            if not retry.may_retry(error) and not self._may_go_elsewhere(error):
                return None
            pause_s = float(retry.delay_s(self.retried_count))
        except BaseException as reason:
            if type(retry) is RetryPolicy and not retry.runs_user_code:
                raise
            raise UserCodeError(reason) from None
        return pause_s if pause_s > 0 and now + pause_s < self.deadline else 0.0

    def _may_go_elsewhere(self, error: RpcError) -> bool:
        """Whether the server has refused the call, and there is another one."""
        return self.options.retry.judge is None and self.source.may_retry_elsewhere(self, error)

    @property
    def may_run_twice(self) -> bool:
        """Whether the request may be sent again although it may have run."""
        return self.options.retry.may_have_run or self.method.is_idempotent

    def _is_safe_after(self, error: RpcError) -> bool:
        return self.may_run_twice or not error.may_have_run

    # --- its errors ---

    def timeout_error(self) -> RpcError:
        text = f"{self._reached_deadline()} @{self.peer}"
        cause = self.source.why_down if self.options.wait_for_ready else None
        if cause is not None:
            text += f", which is not ready: {cause.text}"
        phase = self.phase
        text += _WHILE.get(phase, "")
        error = make_rpc_error(ErrorCode.ERPCTIMEDOUT, text, phase=phase, peer=self.peer)
        error.__cause__ = cause
        return error

    def _reached_deadline(self) -> str:
        """Which deadline has passed, for the text of an error."""
        timeout_ms = milliseconds_text(self._timeout_s)
        if self.served is None or self.served.deadline > self.deadline:
            return f"Reached timeout={timeout_ms}ms"
        when = f"{timeout_ms}ms after this call began" if self._timeout_s else "before this call"
        return f"Reached the deadline of the request that the handler serves, {when}"

    def handler_canceled_error(self, reason: str) -> RpcError:
        text = f"Canceled with the request that the handler serves, because {reason} @{self.peer}"
        return HandlerCanceledError(text, phase=self.phase, peer=self.peer)

    def canceled_error(self) -> RpcError:
        text = f"Canceled by the caller @{self.peer}"
        return make_rpc_error(ErrorCode.ECANCELED, text, phase=self.phase, peer=self.peer)

    def note_failure(self, error: RpcError) -> FailedAttempts:
        """An attempt has failed, and the call continues. The failed attempts so far."""
        if self.span is not None:
            note_failed_attempt(self.span, error.code)
        failed = self._failed_attempts or FailedAttempts()
        failed.add(error, self.retried_count)
        self._failed_attempts = failed
        return failed

    def _note_last(self, error: RpcError) -> None:
        """The call fails with `error`: make it describe the failures of all attempts."""
        self.note_failure(error).describe_in(error)
        if self.hedge is not None and self.hedge.may_have_run:
            error._earlier_may_have_run = True
        error.ended_call = True

    def fill_controller(self, controller: Controller) -> None:
        """Fill in the caller's controller, after the end, in the thread that gets the outcome.

        Once: from then on it may serve another call.
        """
        if not controller.is_used_by(self):
            return
        try:
            self._fill(controller)
        finally:
            controller.end_call(self)

    def _fill(self, controller: Controller) -> None:
        controller.latency_us = int((self._ended_at - self._started_at) * 1e6)
        controller.retried_count = self.tries
        controller.has_backup_request = self.tries > self.retried_count
        if self.connection is not None:
            controller.remote_side = self.connection.socket.remote_side
            controller.local_side = self.connection.socket.local_side
        if self.error is not None:
            self._fill_error(controller, self.error)
        if self.response is not None:
            self.method.fill(controller, self.response)

    def _fill_guarded(self) -> None:
        if self.controller is not None:
            run_guarded(
                self.fill_controller, self.controller, what="the controller of a call", log=CLIENT
            )

    def release_controller(self) -> None:
        """Don't fill the controller in any more. In the thread that fills it in."""
        if self.controller is not None:
            self.controller.end_call(self)

    def _fill_error(self, controller: Controller, error: RpcError) -> None:
        controller.error_code = error.code
        controller.error_text = error.text

    def _serialize(self, request: Any) -> Any:
        try:
            return self.method.serialize(request, self.controller)
        except BaseException as error:
            if isinstance(error, BadRequestError):
                self._note_last(error)
                if self.controller is not None:
                    self._fill_error(self.controller, error)
            self.release_controller()
            raise

    def __repr__(self) -> str:
        state = "in flight"
        if self.is_over:
            state = "failed" if self.response is None else "answered"
        return f"<{type(self).__name__} {self.method.full_name} {state}>"


def deliver_parser_interrupt(error: RpcError) -> None:
    """If a KeyboardInterrupt struck `try_message` in the main thread, have that thread get it."""
    if isinstance(error, BadResponseError) and error.__cause__ is not None:
        deliver_interrupt(error.__cause__)


_PARSERS = frozenset({"builtins", "google", "pybrpc", "struct", "zlib"})


def is_of_parser(error: Exception) -> bool:
    """Whether a parser of messages may have raised `error`.

    Otherwise it was set in this thread from outside. Those exceptions, such as the time limits of
    job queues, have classes of their own, or are a TimeoutError.
    """
    package = type(error).__module__.partition(".")[0]
    return package in _PARSERS and not isinstance(error, OSError)
