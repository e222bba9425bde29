"""WaitingCalls: the calls of a ConnectionSource that wait for a connection, or pause."""

from __future__ import annotations

from pybrpc.client.calls.interfaces import WaitingCall
from pybrpc.client.calls.retry import RetryPause, RetryPauses
from pybrpc.client.endpoints.wait_queue import Waiting, WaitQueue
from pybrpc.errors import ErrorCode, Phase, RpcError, make_rpc_error
from pybrpc.rpc.bounded_steps import BoundedSteps
from pybrpc.rpc.timeout_queue import TimeoutQueues
from pybrpc.transport.dispatch.event_dispatcher import DispatcherClosedError, EventDispatcher
from pybrpc.transport.socket_map import Shared


class WaitingCalls(Shared):
    """The part of a ConnectionSource that serves the calls that wait, oldest first, and ends them.

    A subclass sets `timeouts`, and decides which connections there are.
    """

    __slots__ = ("_is_serving", "_pauses", "_waiting", "timeouts")

    timeouts: TimeoutQueues

    def __init__(self) -> None:
        super().__init__()
        self.forget_waiting()

    def forget_waiting(self) -> None:
        """In a forked child: the calls are those of the parent."""
        self._waiting = WaitQueue()
        self._pauses = RetryPauses()
        self._is_serving = False

    @property
    def name(self) -> str:
        """The address, or the name of the cluster, for texts."""
        raise NotImplementedError

    @property
    def dispatcher(self) -> EventDispatcher:
        return self.timeouts.dispatcher

    def pause(self, call: WaitingCall, pause_s: float) -> None:
        self._pauses.begin(call, self.dispatcher, pause_s)
        if not self.is_used:
            self._end_pauses(self._closed_error())

    # --- different in each kind ---

    def _serve_all(self) -> None:
        """Give waiting calls the connections that there are. In a turn."""
        raise NotImplementedError

    def _why_hopeless(self) -> RpcError | None:
        """The error for calls that wait no longer than there is hope; `None`: there is."""
        raise NotImplementedError

    # --- in a turn ---

    def _serve_soon(self) -> None:
        """Any thread."""
        try:
            self.dispatcher.post(self._serve)
        except DispatcherClosedError as reason:
            text = f"The dispatcher of the connections to {self.name} is closed: {reason}"
            self._refuse_waiting(self._error(ErrorCode.EFAILEDSOCKET, text))

    def _serve(self) -> None:
        """Give waiting calls the connections that there are. In a turn. A nested call of this is
        posted for later, since a connection may be released after the outer call's last check."""
        if self._is_serving:
            self._serve_soon()
            return
        self._is_serving = True
        waited = len(self._waiting)
        try:
            self._serve_all()
        except BaseException:
            if len(self._waiting) < waited:
                self._serve_soon()
            raise
        finally:
            self._is_serving = False

    # --- ends, in steps ---

    def _refuse_impatient(self) -> None:
        """There is no hope now: end the calls that don't wait until there is."""

        def find() -> list[Waiting]:
            if self._why_hopeless() is None:
                return []
            return [one for one in self._waiting.all() if not one.call.options.wait_for_ready]

        def refuse(waiting: Waiting) -> None:
            error = self._why_hopeless()
            if error is not None and waiting.try_claim():
                waiting.call.on_no_connection(error)

        BoundedSteps(self.dispatcher, find, refuse).run()

    def _refuse_waiting(self, error: RpcError) -> None:
        """End all calls that wait. The first step is done now."""

        def refuse(waiting: Waiting) -> None:
            if waiting.try_claim():
                waiting.call.on_no_connection(error)

        BoundedSteps(self.dispatcher, self._waiting.all, refuse).run()

    def _end_pauses(self, error: RpcError) -> None:
        """As `_refuse_waiting`, for the calls that pause before a retry."""

        def end(pause: RetryPause) -> None:
            if pause.try_claim():
                pause.call.on_no_connection(error)

        BoundedSteps(self.dispatcher, self._pauses.all, end).run()

    def _end_waiting(self) -> None:
        """It is closed: end all of them."""
        try:
            if self._waiting:
                self._refuse_waiting(self._closed_error())
        finally:
            if self._pauses:
                self._end_pauses(self._closed_error())

    def _closed_error(self) -> RpcError:
        text = f"The channel to {self.name} was closed while a call waited for a connection"
        return self._error(ErrorCode.ECLOSE, text)

    def _error(self, code: int, text: str) -> RpcError:
        return make_rpc_error(code, text, phase=Phase.QUEUED, peer=self.name)
