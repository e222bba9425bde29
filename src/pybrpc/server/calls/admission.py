"""Admission: the limits that a request passes before it becomes a call.

A request passes them one after the other, in the order of bRPC: the server is not stopping, the
limit of the server, the method is known, the limit of the method. A call that was admitted counts
under the limits until it leaves.
"""

from __future__ import annotations

from pybrpc.errors import LimitReachedError, NoMethodError, RpcError, ServerStoppingError
from pybrpc.protocols.message import RpcRequest
from pybrpc.server.calls.method_entry import MethodEntry
from pybrpc.server.calls.server_call import ServerCall
from pybrpc.server.calls.service_registry import ServiceRegistry


class Admission:
    """The limits of one server. `enter` is called in turns, `leave` in any thread."""

    __slots__ = ("_registry", "is_stopping", "max_concurrency", "running")

    def __init__(self, registry: ServiceRegistry, max_concurrency: int) -> None:
        self._registry = registry
        self.max_concurrency = max_concurrency
        """Calls that may run at once; 0: no limit."""
        self.is_stopping = False
        """Whether the server admits no call any more."""
        self.running: set[ServerCall] = set()
        """Calls that were admitted and have not left."""

    def is_full(self) -> bool:
        """Whether the server's own limit is reached."""
        limit = self.max_concurrency
        return bool(limit) and len(self.running) >= limit

    def admits(self, entry: MethodEntry | None) -> bool:
        """Whether a request of this method, `None` if it is unknown, may become a call now."""
        return not (entry is None or self.is_stopping or self.is_full() or entry.is_full())

    def blamed(self, entry: MethodEntry | None) -> MethodEntry | None:
        """The method whose own limit keeps a request from being admitted; `None` if the reason is
        another one. As in bRPC, other rejections are no errors of the method."""
        return None if self.is_stopping or self.is_full() else entry

    def rejection(self, request: RpcRequest) -> RpcError:
        """The error of a request that is not admitted."""
        if self.is_stopping:
            return ServerStoppingError("Server is stopping")
        if self.is_full():
            return LimitReachedError(f"Reached server's max_concurrency={self.max_concurrency}")
        registry, service, method = self._registry, request.service, request.method
        entry = registry.get(service, method) or registry.generic_for(service, method)
        if entry is not None:
            what = f"{entry.full_name}'s ConcurrencyLimiter"
            count = entry.max_concurrency + 1
            return LimitReachedError(f"Rejected by {what}, concurrency={count}")
        if not request.method and request.method_index is not None:
            where = f"method={request.method_index} of service={request.service}"
            return NoMethodError(f"Fail to find {where}")
        return registry.not_found_error(service, method)

    def enter(self, call: ServerCall) -> None:
        """Count `call`, which is admitted."""
        self.running.add(call)
        entry = call.entry
        if entry.max_concurrency:
            entry.running.add(call)

    def leave(self, call: ServerCall) -> bool:
        """Count `call` no more. True once for each call that has entered."""
        try:
            self.running.remove(call)
        except KeyError:
            return False
        entry = call.entry
        if entry.running:
            entry.running.discard(call)
        return True

    def __repr__(self) -> str:
        limit = f" of {self.max_concurrency}" if self.max_concurrency else ""
        state = ", stopping" if self.is_stopping else ""
        return f"<Admission, {len(self.running)}{limit} running{state}>"
