"""MethodTarget: requests of HTTP that call a method of a service."""

from __future__ import annotations

from typing import Any

from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.descriptor_pb2 import MethodOptions

from pybrpc.errors import ErrorCode, RpcError
from pybrpc.json2pb import JsonOptions
from pybrpc.protocols.http1 import RequestHead
from pybrpc.protocols.message import RpcRequest, new_request
from pybrpc.server.calls.method_entry import MethodEntry
from pybrpc.server.calls.server_call import new_server_call
from pybrpc.server.calls.service_registry import ServiceRegistry
from pybrpc.server.http.body_queue import BodyQueue
from pybrpc.server.http.call_form import CallFacts, MethodTraits, new_call_form
from pybrpc.server.http.exchange import HttpExchange, Refusal
from pybrpc.server.http.request import BodySink, HttpRequest


class MethodTarget:
    """A Target: one method. Made once for each, when the server starts."""

    __slots__ = ("_traits", "entry", "has_side_effects", "method", "service")

    def __init__(self, entry: MethodEntry, has_side_effects: bool, traits: MethodTraits) -> None:
        self.entry = entry
        self.service, _, self.method = entry.full_name.rpartition(".")
        self._traits = traits
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
        resolved = request.resolved
        facts = resolved.facts
        if facts is None:
            if queue is None:
                check_coding(resolved.head, self._traits, entry)
            facts = resolved.facts = CallFacts(resolved.head, self._traits)
        body = bytes(request.body) if request.body else b""
        rpc = new_request(request.position, self.service, self.method, None, body)
        if facts.has_more:
            facts.add_to(rpc)
        if queue is not None:
            rpc.compress_type = 0  # the handler reads the body as it comes
        if not admission.admits(entry, rpc, request.received_at):
            error = admission.rejection(entry, rpc)
            raise refusal_of(connection.identity, error, admission.blamed(entry), rpc)
        call = new_server_call(connection, rpc, entry, request.received_at)
        call.position = request.position
        call.size_bytes += resolved.size_bytes
        form = new_call_form(request, self._traits, facts, exchange, bool(entry.is_async), queue)
        call.form = call.packer = form
        calls.append(call)
        connection.calls.add(call)
        connection.unanswered.try_add(call.size_bytes, True)
        admission.enter(call)

    def __repr__(self) -> str:
        return f"<MethodTarget {self.entry.full_name}>"


def check_coding(head: RequestHead, traits: MethodTraits, entry: MethodEntry) -> None:
    """Refusal (415) if the body is a message that is encoded in another way than by gzip."""
    coding = head.headers.get("content-encoding", "").strip().lower()
    if traits.has_request_fields and coding not in ("", "identity", "gzip", "x-gzip"):
        text = f"the Content-Encoding {coding[:64]!r} is not supported; gzip is"
        headers = {"Accept-Encoding": "gzip"}
        raise Refusal(text, ErrorCode.EREQUEST, 415, headers, blamed=entry)


def targets_of(
    service: ServiceDescriptor,
    registry: ServiceRegistry,
    takes_body: bool,
    json_options: JsonOptions,
) -> dict[str, MethodTarget]:
    """The targets of the methods of `service` that are served, by their names.

    `takes_body`: whether a body is the request message; else it is the attachment.
    """
    found: dict[str, MethodTarget] = {}
    for method in service.methods:
        entry = registry.get(service.full_name, method.name)
        if entry is not None:
            traits = MethodTraits(entry, takes_body, json_options)
            found[method.name] = MethodTarget(entry, has_side_effects(method), traits)
    return found


def refusal_of(
    identity: str, error: RpcError, blamed: MethodEntry | None, rpc: RpcRequest
) -> Refusal:
    """The answer to a request that was not admitted because of `error`."""
    text = f"{identity}[E{int(error.code)}]{error.text}"
    return Refusal(text, error.code, blamed=blamed, rpc=rpc)


def has_side_effects(method: MethodDescriptor) -> bool:
    """Whether a method is not marked with `option idempotency_level = NO_SIDE_EFFECTS`."""
    options: Any = method.GetOptions()
    return bool(options.idempotency_level != MethodOptions.NO_SIDE_EFFECTS)
