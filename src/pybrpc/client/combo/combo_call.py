"""ComboCall: the parts that the calls of all combined channels share.

A call begins its sub calls, which report their ends to it, each once, in any thread. It ends once,
in `_settle`: with the outcome of its sub calls, at its deadline, or because it is cancelled. What
comes later changes nothing. Its lock is held for bookkeeping alone; sub calls are started and
cancelled, and the user's functions run, without it.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from pybrpc.base.deadline import NEVER, milliseconds_text
from pybrpc.base.guard import deliver_interrupt, run_guarded, safe_repr
from pybrpc.client.combo.call_form import Form, Timer
from pybrpc.client.combo.sub_call import SubResult
from pybrpc.errors import (
    ChannelClosedError,
    ErrorCode,
    HandlerCanceledError,
    Phase,
    RpcError,
    make_rpc_error,
)
from pybrpc.rpc.controller import Controller
from pybrpc.rpc.method import Method
from pybrpc.rpc.serving import current_call
from pybrpc.transport.dispatch.event_dispatcher import DispatcherClosedError

if TYPE_CHECKING:
    from pybrpc.client.combo.sub_channel import SubMethods

GRACE_S = 1.0
"""Seconds after its deadline that a call waits for sub calls which do not end, and for its
merger."""

Listener = Callable[[SubResult | None], object]
"""Gets each sub call that has ended, then `None`. It must not block or raise."""


class Flight:
    """One sub call."""

    __slots__ = ("future", "has_ended", "result")

    def __init__(self, result: SubResult) -> None:
        self.result = result
        self.future: Any = None
        """`None` until it has begun."""
        self.has_ended = False


class NamedChannel(Protocol):
    """A combined channel, as its calls see it."""

    @property
    def name(self) -> str:
        """For texts."""

    def check_may_block(self, method: Method) -> None:
        """WouldDeadlockError if a blocking call in this thread would wait for itself."""


class ComboCall:
    """One call on a combined channel. A kind of channel has a subclass."""

    def __init__(
        self,
        channel: NamedChannel,
        methods: SubMethods,
        request: Any,
        timeout_s: float | None,
        controller: Controller | None,
        form: Form,
    ) -> None:
        self.channel = channel
        self.method: Method = methods.method
        self.form = form
        self._methods = methods
        self._request = request
        self._controller = Controller() if controller is None else controller
        self._timeout_s = timeout_s
        self._started_at = time.monotonic()
        self.deadline = NEVER if timeout_s is None else self._started_at + timeout_s
        self._served = current_call()
        if self._served is not None and self._served.deadline < self.deadline:
            self.deadline = self._served.deadline
            self._timeout_s = max(0.0, self.deadline - self._started_at)
        self._lock = threading.RLock()
        self._future: Any = None
        self._timer: Timer | None = None
        self._backup_timer: Timer | None = None
        self._is_settled = False
        self._is_canceled = False
        """Whether `cancel` ends it, whatever its sub calls still give."""
        self._ended: list[SubResult] = []
        self._listeners: list[Listener] = []
        self._prepare()

    # --- for a subclass ---

    def _prepare(self) -> None:
        """Set the fields of the subclass. The call may be ended before `_start`, or instead."""
        raise NotImplementedError

    def _start(self) -> None:
        """Begin the sub calls. May run functions of the user, in the calling thread."""
        raise NotImplementedError

    def _on_end(self, flight: Flight) -> None:
        """A sub call has ended: its result says how. Once for each, in any thread."""
        raise NotImplementedError

    def _on_deadline(self, error: RpcError) -> None:
        """The deadline has passed: `error` says so. In a turn; no function of the user here."""
        raise NotImplementedError

    def _cancel_flights(self) -> None:
        """The call has ended, or is about to: cancel the sub calls, those that begin just now
        too."""
        raise NotImplementedError

    def _sub_results(self) -> tuple[SubResult | None, ...]:
        """For the caller's controller."""
        raise NotImplementedError

    # --- its begin and its ends ---

    def begin(self, future: Any) -> None:
        """Start. `future` gets the outcome."""
        self._future = future
        self.form.begin()
        try:
            self._controller.begin_call(self, self.method.full_name)
        except BaseException:
            self.form.end()
            raise
        served = self._served
        try:
            if self._timeout_s == 0:
                self._settle(None, self.timeout_error())
            elif served is not None and not served.add(self):
                self.on_handler_canceled(served.cancel_reason)
            else:
                if self.deadline < NEVER:
                    self._timer = self.form.call_at(self.deadline, self._expire)
                self._start()
        except BaseException:
            self.cancel(self.canceled_error())
            raise

    def cancel(self, error: RpcError) -> None:
        """End the call, and its sub calls, with `error`. Any thread of its form."""
        self._is_canceled = True
        self._cancel_flights()
        self._settle(None, error, is_canceled=type(error) is not HandlerCanceledError)

    def on_handler_canceled(self, reason: str) -> None:
        """The request was canceled that the handler serves which made this call. Any thread."""
        text = f"Canceled with the request that the handler serves, because {reason}"
        error = HandlerCanceledError(text, phase=Phase.WAITING, peer=self.channel.name)
        self.form.run_in_place(partial(self.cancel, error))

    def _expire(self) -> None:
        error = self.timeout_error()
        give_up = partial(self._settle, None, error)
        with self._lock, contextlib.suppress(DispatcherClosedError):
            if not self._is_settled:
                self._timer = self.form.call_at(time.monotonic() + GRACE_S, give_up)
        self._on_deadline(error)

    def _settle(self, response: Any, error: RpcError | None, is_canceled: bool = False) -> None:
        """End the call. Only the first time counts. Without the lock."""
        with self._lock:
            if self._is_settled:
                return
            self._is_settled = True
            timer, self._timer = self._timer, None
            listeners, self._listeners = self._listeners, []
        for each in (timer, self._backup_timer):
            if each is not None:
                each.cancel()
        if self._served is not None:
            self._served.discard(self)
        if error is not None:
            error.ended_call = True
            self._cancel_flights()
        run_guarded(self._fill, error, what="the controller of a call")
        self._controller.end_call(self)
        future, self._future = self._future, None
        for listener in listeners:
            listener(None)
        try:
            future.settle(response, error, is_canceled)
        finally:
            self.form.end()
            del future, error

    def _fill(self, error: RpcError | None) -> None:
        controller = self._controller
        controller.latency_us = int((time.monotonic() - self._started_at) * 1e6)
        controller.sub_calls = self._sub_results()
        if error is not None:
            controller.error_code = error.code
            controller.error_text = error.text

    @property
    def is_lost(self) -> bool:
        """Whether nobody will ever get the outcome."""
        return self.form.is_lost

    # --- sub calls ---

    def follow(self, listener: Listener) -> None:
        """Have `listener` get each sub call that has ended, those before too, then `None`."""
        with self._lock:
            for result in self._ended:
                listener(result)
            if not self._is_settled:
                self._listeners.append(listener)
                return
        listener(None)

    def _begin_flight(self, flight: Flight, method: Any, request: Any, timeout: Any) -> None:
        """Start a sub call. What is wrong with it is its error; a signal handler may raise."""
        try:
            future = self.form.start(method, request, timeout, flight.result.controller)
        except Exception as reason:
            self._end_flight(flight, None, self._sub_error(reason, self.error))
            return
        flight.future = future
        future.add_done_callback(partial(self._on_future_done, flight))

    def _cancel_flight(self, flight: Flight) -> None:
        """Cancel it, if it has begun."""
        future = flight.future
        if future is None:
            return
        future.cancel()
        if future.done():
            # So it has ended when this returns; the future of a loop calls back a round later.
            self._on_future_done(flight, future)

    def _on_future_done(self, flight: Flight, future: Any) -> None:
        response: Any = None
        error: RpcError | None = None
        if future.cancelled():
            error = self._canceled_sub_error()
        else:
            raised = future.exception()
            if raised is None:
                response = future.result()
            else:
                error = self._sub_error(raised, self._waiting_error)
        self._end_flight(flight, response, error)

    def _end_flight(self, flight: Flight, response: Any, error: RpcError | None) -> None:
        with self._lock:
            if flight.has_ended:
                return
            flight.has_ended = True
            flight.future = None
            flight.result.end(response, error)
            if not self._is_settled:
                self._ended.append(flight.result)
                for listener in self._listeners:
                    listener(flight.result)
        self._on_end(flight)

    # --- errors ---

    def error(self, code: int, text: str) -> RpcError:
        """An error of this call, of which nothing has been sent."""
        return make_rpc_error(code, text, phase=Phase.QUEUED, peer=self.channel.name)

    def canceled_error(self) -> RpcError:
        """For a caller that cancels the call."""
        return self._waiting_error(ErrorCode.ECANCELED, "Canceled by the caller")

    def timeout_error(self) -> RpcError:
        timeout_ms = milliseconds_text(self._timeout_s)
        text = f"Reached timeout={timeout_ms}ms @{self.channel.name}"
        return self._waiting_error(ErrorCode.ERPCTIMEDOUT, text)

    def _canceled_sub_error(self) -> RpcError:
        return self._waiting_error(ErrorCode.ECANCELED, "Canceled with the main call")

    def _waiting_error(self, code: int, text: str) -> RpcError:
        return make_rpc_error(code, text, phase=Phase.WAITING, peer=self.channel.name)

    def _sub_error(self, reason: BaseException, made: Callable[[int, str], RpcError]) -> RpcError:
        """The error of a sub call that raised `reason`; `made` knows its phase. An interceptor may
        raise anything, also after the server has run the call."""
        if isinstance(reason, RpcError):
            return reason
        deliver_interrupt(reason)
        is_closed = isinstance(reason, ChannelClosedError)
        code = ErrorCode.ECLOSE if is_closed else ErrorCode.EINTERNAL
        error = made(code, str(reason) if is_closed else safe_repr(reason))
        error.__cause__ = reason
        return error

    def __repr__(self) -> str:
        state = "ended" if self._is_settled else "in flight"
        return f"<{type(self).__name__} {self.method.full_name} {state}>"
