"""Admission: the limits that a request passes before it becomes a call.

A request passes them one after the other, in the order of bRPC: the server is not stopping, the
limit of the server, the method is known, the limit of the method. A call that was admitted counts
under the limits until it leaves.
"""

from __future__ import annotations

import time

from pybrpc.base.guard import SERVER
from pybrpc.errors import LimitReachedError, NoMethodError, RpcError, ServerStoppingError
from pybrpc.protocols.message import RpcRequest
from pybrpc.server.calls.method_entry import MethodEntry
from pybrpc.server.calls.server_call import NO_ANSWER, ServerCall
from pybrpc.server.calls.service_registry import ServiceRegistry
from pybrpc.server.limiters.limiter import Limiter


class Admission:
    """The limits of one server. `admits`, the reasons and `enter` are called in turns, so by one
    thread at a time; `leave` in any thread."""

    __slots__ = ("_refused_by", "_registry", "is_stopping", "limiter", "rejected", "running")

    def __init__(self, registry: ServiceRegistry, limiter: Limiter | None) -> None:
        self._registry = registry
        self._refused_by: Limiter | None = None
        """The limiter that has refused the request that was looked at last."""
        self.limiter = limiter
        """Limits the calls of the server that run at once; `None`: no limit."""
        self.is_stopping = False
        """Whether the server admits no call any more."""
        self.rejected = 0
        """Requests that the limiter of the server has refused."""
        self.running: set[ServerCall] = set()
        """Calls that were admitted and have not left."""

    @property
    def max_concurrency(self) -> int:
        """Calls that may run at once, as it is now; 0: no limit."""
        limiter = self.limiter
        return 0 if limiter is None else limiter.limit()

    def admits(self, entry: MethodEntry | None, request: RpcRequest, now: float) -> bool:
        """Whether `request`, of a method that is `None` if it is unknown, may become a call.

        If not, `rejection` and `blamed` say why, until this is called again.
        """
        self._refused_by = None
        if self.is_stopping:
            return False
        limiter = self.limiter
        if limiter is not None and not limiter.admits(
            len(self.running) + 1, timeout_ms_of(request), now
        ):
            self._refused_by = limiter
            self.rejected += 1
            return False
        if entry is None:
            return False
        limiter = entry.limiter
        if limiter is not None and not limiter.admits(
            len(entry.running) + 1, timeout_ms_of(request), now
        ):
            self._refused_by = limiter
            entry.rejected += 1
            return False
        return True

    def blamed(self, entry: MethodEntry | None) -> MethodEntry | None:
        """The method whose own limit has kept its request from being admitted; `None` if the reason
        is another one. As in bRPC, other rejections are no errors of the method."""
        refused_by = self._refused_by
        return None if refused_by is None or refused_by is self.limiter else entry

    def rejection(self, entry: MethodEntry | None, request: RpcRequest) -> RpcError:
        """The error of a request that was not admitted."""
        refused_by = self._refused_by
        if refused_by is not None:
            return self._limit_error(entry, request, refused_by)
        if self.is_stopping:
            return ServerStoppingError("Server is stopping")
        if not request.method and request.method_index is not None:
            where = f"method={request.method_index} of service={request.service}"
            return NoMethodError(f"Fail to find {where}")
        return self._registry.not_found_error(request.service, request.method)

    def _limit_error(
        self, entry: MethodEntry | None, request: RpcRequest, limiter: Limiter
    ) -> LimitReachedError:
        limit = limiter.describe(timeout_ms_of(request))
        if limiter is self.limiter or entry is None:
            return LimitReachedError(f"Reached server's max_concurrency={limit}")
        text = f"Rejected by {entry.full_name}'s ConcurrencyLimiter, concurrency="
        text += str(len(entry.running) + 1)
        return LimitReachedError(f"{text}, max_concurrency={limit}" if limiter.learns else text)

    def enter(self, call: ServerCall) -> None:
        """Count `call`, which is admitted."""
        running = self.running
        running.add(call)
        limiter = self.limiter
        if limiter is not None and limiter.learns:
            call.server_concurrency = len(running)
            call.admitted_at = time.monotonic()
        entry = call.entry
        limiter = entry.limiter
        if limiter is not None:
            entry.running.add(call)
            if limiter.learns:
                call.method_concurrency = len(entry.running)
                call.admitted_at = time.monotonic()

    def has_async_calls(self) -> bool:
        """Whether calls of async handlers were admitted that have not left. Any thread."""
        return any(call.entry.is_async for call in list(self.running))

    def leave(self, call: ServerCall, now: float) -> bool:
        """Count `call` no more. True once for each call that has entered."""
        try:
            self.running.remove(call)
        except KeyError:
            return False
        entry = call.entry
        if entry.running:
            entry.running.discard(call)
        if call.server_concurrency or call.method_concurrency:
            self._tell_limiters(call, now)
        return True

    def _tell_limiters(self, call: ServerCall, now: float) -> None:
        """Tell them how `call` has ended, unless it was dropped before it ran: that says nothing
        about the server. Time counts from the admission: the body of a request by HTTP may come as
        slowly as its client likes."""
        error_code = call.error_code
        if error_code == NO_ANSWER:
            return
        latency_s = max(0.0, now - call.admitted_at)
        try:
            limiter = self.limiter
            if limiter is not None and call.server_concurrency:
                limiter.on_end(now, latency_s, call.server_concurrency, error_code)
            limiter = call.entry.limiter
            if limiter is not None and call.method_concurrency:
                limiter.on_end(now, latency_s, call.method_concurrency, error_code)
        except BaseException as error:
            SERVER.caught("a limiter of %r raised", call, error=error)

    def __repr__(self) -> str:
        limit = "" if self.limiter is None else f" of {self.limiter.describe(0)}"
        state = ", stopping" if self.is_stopping else ""
        return f"<Admission, {len(self.running)}{limit} running{state}>"


def timeout_ms_of(request: RpcRequest) -> int:
    """Milliseconds in which the client wants the response; 0: unknown."""
    timeout_ms = request.timeout_ms
    return 0 if timeout_ms is None or timeout_ms < 0 else timeout_ms
