"""ServerCall: the life of one request, from its admission to its answer.

The dispatcher makes it; a worker runs it if the handler is a plain function, a loop if it is a
coroutine function. What goes wrong in between becomes the answer. After bRPC's
`ProcessRpcRequest` and `SendRpcResponse` (src/brpc/policy/baidu_rpc_protocol.cpp).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Coroutine
from types import CoroutineType
from typing import TYPE_CHECKING, Any

from google.protobuf.message import Message

from pybrpc.errors import ErrorCode, OvercrowdedError, RpcError
from pybrpc.iobuf.iobuf import IOBuf
from pybrpc.protocols.message import RpcRequest, RpcResponse
from pybrpc.rpc.body import parse_request, serialize_response
from pybrpc.rpc.controller import Controller
from pybrpc.server.calls.response_batch import FLUSH_S, LARGE_BYTES, ResponseBatch
from pybrpc.server.values import UnfinishedCall

if TYPE_CHECKING:
    from pybrpc.server.calls.service_registry import MethodEntry
    from pybrpc.server.connections.server_connection import ServerConnection

logger = logging.getLogger("pybrpc")

REQUEST_BYTES = 2048
"""Of memory for one without body, until it is answered."""

FIELD_BYTES = 256
"""The same for a user field."""


class ServerCall:
    """One request that was let in. It ends in the ResponseBatch that takes its answer, or with `end()`."""

    __slots__ = ("connection", "entry", "received_at", "request", "size_bytes")

    def __init__(
        self,
        connection: ServerConnection,
        request: RpcRequest,
        entry: MethodEntry,
        received_at: float,
    ) -> None:
        self.connection = connection
        self.request = request
        self.entry = entry
        self.received_at = received_at
        self.size_bytes = held_bytes(request)
        """What it counts in the unanswered of its connection."""

    def run(self, response_batch: ResponseBatch) -> None:
        """Parse, call the handler, leave the answer in `response_batch`. In a worker thread."""
        if self.connection.is_gone():
            self.end()
            return
        entry = self.entry
        if response_batch and entry.mean_s > FLUSH_S:
            response_batch.flush()
        started_at = time.monotonic()
        controller = self.make_controller()
        response: object = None
        try:
            request = self._parse()
            response = entry.handler(request, controller)
        except BaseException as error:
            # SystemExit too: a handler ends neither the worker nor the server by raising.
            self.fail(controller, error)
        data = self.pack(controller, response)
        now = time.monotonic()
        entry.note_duration(now - started_at)
        response_batch.add(self, data, now)

    def note_slow(self) -> None:
        self.entry.note_slow()

    def call_handler(self, controller: Controller) -> Coroutine[Any, Any, Any]:
        """Parse, and give the coroutine of an async handler; raises what goes wrong."""
        coroutine = self.entry.handler(self._parse(), controller)
        return coroutine if type(coroutine) is CoroutineType else _coroutine_of(coroutine)

    def end(self) -> None:
        """Nobody will read an answer."""
        calls = [self]
        self.connection.leave(calls)
        self.connection.end(calls)

    def make_controller(self) -> Controller:
        """What the handler is given beside the request."""
        request = self.request
        connection = self.connection
        controller = Controller()
        controller.log_id = request.log_id
        controller.request_id = request.request_id
        controller.method_name = self.entry.full_name
        controller.timeout_ms = request.timeout_ms
        controller.received_at = self.received_at
        controller.remote_side = connection.socket.remote_side
        controller.local_side = connection.socket.local_side
        controller._request_attachment = request.attachment
        controller._request_user_fields = request.user_fields
        controller._note_request(request)
        controller._server_identity = connection.identity
        controller._is_canceled = connection.is_canceled
        controller.auth_context = connection.auth_context
        controller.tls = connection.tls
        return controller

    def _parse(self) -> Message:
        socket = self.connection.socket
        if socket.backlog.is_overcrowded:
            raise OvercrowdedError(f"Connection to {self.connection.peer} is overcrowded")
        max_body_size = self.connection.max_body_size
        request = self.request
        if not request.compress_type:
            return parse_request(request, self.entry.request_type, max_body_size)
        return self._parse_compressed(max_body_size)

    def _parse_compressed(self, max_body_size: int) -> Message:
        """A few bytes may become many, of which nothing was known when it was let in."""
        unanswered = self.connection.unanswered
        if unanswered.exceeds_hard_limit(0):
            raise OvercrowdedError(
                f"Connection to {self.connection.peer} has too many requests to decompress one more"
            )
        message = parse_request(self.request, self.entry.request_type, max_body_size)
        grown = message.ByteSize()
        self.size_bytes += grown
        unanswered.correct(grown)
        return message

    def fail(self, controller: Controller, error: BaseException) -> None:
        """Note what was raised in `controller`."""
        if isinstance(error, RpcError):
            controller.set_failed(error.code, error.text)
            return
        controller.set_failed(ErrorCode.EINTERNAL, _text_of(error))
        if not isinstance(error, asyncio.CancelledError):
            logger.error("the handler of %s raised", self.entry.full_name, exc_info=error)

    def pack(self, controller: Controller, response: object) -> IOBuf:
        """The bytes of the answer; one that can't be packed becomes the answer that says so."""
        if not controller.error_code:
            try:
                return self._not_too_much(self._pack_success(controller, response))
            except RpcError as error:
                _close_coroutine(response)
                controller.set_failed(error.code, error.text)
            except Exception as error:
                self.fail(controller, error)
        self.connection.run.errors.increment_and_get(1)
        protocol = self.connection.protocol
        try:
            return protocol.pack_response(failure_of(self.request.correlation_id, controller))
        except RpcError as error:
            # The handler's own error code or user fields don't fit.
            bare = Controller()
            bare._server_identity = controller._server_identity
            bare.set_failed(error.code, error.text)
            return protocol.pack_response(failure_of(self.request.correlation_id, bare))

    def _not_too_much(self, answer: IOBuf) -> IOBuf:
        """An answer passes the marks of the backlog, but not if its peer has long stopped reading:
        many that run at once would make this process grow without limit."""
        backlog = self.connection.socket.backlog
        size = len(answer)
        # A small one at least finds that its connection is crowded before it is swamped.
        if (backlog.is_overcrowded or size >= LARGE_BYTES) and backlog.exceeds_hard_limit(size):
            peer = self.connection.peer
            raise OvercrowdedError(
                f"An answer of {size} bytes was dropped: Connection to {peer} is overcrowded"
            )
        return answer

    def _pack_success(self, controller: Controller, response: object) -> IOBuf:
        body = serialize_response(response, self.entry.response_type, controller)
        if controller.has_plain_response():
            correlation_id = self.request.correlation_id
            return self.connection.protocol.pack_plain_response(correlation_id, body)
        answer = RpcResponse(self.request.correlation_id)
        answer.body = body
        answer.attachment = controller._response_attachment
        answer.user_fields = controller._response_user_fields
        answer.compress_type = controller.response_compress_type
        answer.checksum_type = controller.response_checksum_type
        answer.checksum_value = controller._checksum_value
        answer.checksum_with_attachment = controller.response_checksum_attachment or None
        return self.connection.protocol.pack_response(answer)

    def unfinished(self) -> UnfinishedCall:
        """Itself, for people."""
        connection, age_s = self.connection, time.monotonic() - self.received_at
        return UnfinishedCall(self.entry.full_name, connection.peer, age_s, connection.state)

    def __repr__(self) -> str:
        age_s = time.monotonic() - self.received_at
        return f"<ServerCall {self.entry.full_name} for {age_s:.3f} s>"


def held_bytes(request: RpcRequest) -> int:
    """About how much memory it takes until it is answered."""
    size = REQUEST_BYTES + len(request.body)
    if request.attachment is not None:
        size += len(request.attachment)
    if request.request_id:
        size += len(request.request_id)
    if request.user_fields:
        for name, value in request.user_fields.items():
            size += FIELD_BYTES + len(name) + len(value)
    return size


def failure_of(correlation_id: int, controller: Controller) -> RpcResponse:
    """The answer to a call that failed. Like C++ it carries user fields, but no body."""
    code = controller.error_code
    return RpcResponse(
        correlation_id,
        int(ErrorCode.EINTERNAL) if code == -1 else code,
        controller.error_text,
        user_fields=controller._response_user_fields,
    )


async def _coroutine_of(awaitable: Awaitable[Any]) -> Any:
    return await awaitable


def _text_of(error: BaseException) -> str:
    name = type(error).__name__
    try:
        text = str(error)
    except Exception:
        return name
    return f"{name}: {text}" if text else name


def _close_coroutine(response: object) -> None:
    """A plain function gave a coroutine: nobody will await it, so Python needn't warn of it."""
    close = getattr(response, "close", None)
    if close is not None and asyncio.iscoroutine(response):
        close()
