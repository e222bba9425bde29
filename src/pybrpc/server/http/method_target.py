"""MethodTarget: requests of HTTP that call a method of a service."""

from __future__ import annotations

from typing import Any

from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.descriptor_pb2 import MethodOptions

from pybrpc.errors import RpcError
from pybrpc.protocols.message import RpcRequest
from pybrpc.rpc.compress import CompressType
from pybrpc.server.calls.method_entry import MethodEntry
from pybrpc.server.calls.server_call import new_server_call
from pybrpc.server.calls.service_registry import ServiceRegistry
from pybrpc.server.http.body_queue import BodyQueue
from pybrpc.server.http.call_form import CallForm, MethodTraits
from pybrpc.server.http.exchange import HttpExchange, Refusal
from pybrpc.server.http.request import BodySink, HttpRequest

MAX_ID = 2**64 - 1


class MethodTarget:
    """A Target: one method. Made once for each, when the server starts."""

    __slots__ = ("_traits", "entry", "has_side_effects", "method", "service")

    def __init__(self, entry: MethodEntry, has_side_effects: bool, takes_body: bool = True) -> None:
        self.entry = entry
        self.service, _, self.method = entry.full_name.rpartition(".")
        self._traits = MethodTraits(entry, takes_body)
        self.has_side_effects = has_side_effects
        """Whether GET does not call it, unless it is mapped to GET."""

    def begin(self, exchange: HttpExchange, request: HttpRequest) -> BodySink | None:
        """Begin a call whose handler reads the body. Raises Refusal."""
        if not self.entry.enable_progressive_read:
            return None
        calls: list[Any] = []
        queue = BodyQueue(exchange, request)
        try:
            self._admit(exchange, request, calls, queue)
        except Refusal:
            queue.drop()
            raise
        exchange.connection.start_calls(calls)
        return queue

    def run(self, exchange: HttpExchange, request: HttpRequest, calls: list[Any]) -> None:
        try:
            self._admit(exchange, request, calls, None)
        except Refusal as refusal:
            exchange.refuse(request, refusal)

    def _admit(
        self,
        exchange: HttpExchange,
        request: HttpRequest,
        calls: list[Any],
        queue: BodyQueue | None,
    ) -> None:
        """Add the call of `request` to `calls`. Raises Refusal."""
        connection, entry = exchange.connection, self.entry
        admission = connection.server.admission
        rpc = self._rpc_request(request)
        if queue is not None:
            rpc.compress_type = 0  # the handler reads the body as it comes
        if not admission.admits(entry):
            raise refusal_of(connection.identity, admission.rejection(rpc))
        call = new_server_call(connection, rpc, entry, request.received_at)
        call.position = request.position
        call.form = call.packer = CallForm(
            request, self._traits, exchange, bool(entry.is_async), queue
        )
        calls.append(call)
        connection.calls.add(call)
        connection.unanswered.try_add(call.size_bytes, True)
        admission.enter(call)

    def _rpc_request(self, request: HttpRequest) -> RpcRequest:
        headers = request.head.headers
        body = bytes(request.body)
        rpc = RpcRequest(request.position, self.service, self.method, body)
        coding = headers.get("content-encoding")
        if coding is not None and self._traits.has_request_fields and is_gzip(coding):
            rpc.compress_type = CompressType.GZIP.value
        rpc.log_id = _id_in(headers.get("log-id"))
        rpc.request_id = headers.get("x-request-id")
        rpc.trace_id = _id_in(headers.get("x-bd-trace-id"))
        rpc.span_id = _id_in(headers.get("x-bd-span-id"))
        rpc.parent_span_id = _id_in(headers.get("x-bd-parent-span-id"))
        return rpc

    def __repr__(self) -> str:
        return f"<MethodTarget {self.entry.full_name}>"


def targets_of(service: ServiceDescriptor, registry: ServiceRegistry) -> dict[str, MethodTarget]:
    """The targets of the methods of `service` that are served, by their names."""
    found: dict[str, MethodTarget] = {}
    for method in service.methods:
        entry = registry.get(service.full_name, method.name)
        if entry is not None:
            found[method.name] = MethodTarget(entry, has_side_effects(method))
    return found


def refusal_of(identity: str, error: RpcError) -> Refusal:
    """The answer to a request that was not admitted because of `error`."""
    return Refusal(f"{identity}[E{int(error.code)}]{error.text}", error.code)


def has_side_effects(method: MethodDescriptor) -> bool:
    """Whether a method is not marked with `option idempotency_level = NO_SIDE_EFFECTS`."""
    options: Any = method.GetOptions()
    return bool(options.idempotency_level != MethodOptions.NO_SIDE_EFFECTS)


def is_gzip(coding: str) -> bool:
    """Whether a Content-Encoding is gzip."""
    return coding.strip().lower() in ("gzip", "x-gzip")


def _id_in(value: str | None) -> int | None:
    """A number of 64 bits, in decimal. `None` if it is none: that is not worth an error."""
    if value is None or not value.isascii() or not value.isdigit() or len(value) > 20:
        return None
    number = int(value)
    return number if number <= MAX_ID else None
