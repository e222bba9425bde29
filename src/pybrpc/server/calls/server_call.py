"""ServerCall: the life of one request, from its admission to its response.

The dispatcher makes it; a worker runs it if the handler is a plain function, a loop if it is a
coroutine function. An error in between becomes the response. After bRPC's
`ProcessRpcRequest` and `SendRpcResponse` (src/brpc/policy/baidu_rpc_protocol.cpp).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Coroutine
from types import CoroutineType
from typing import Any

from google.protobuf.message import Message

from pybrpc.errors import ErrorCode, OvercrowdedError, RpcError
from pybrpc.iobuf.iobuf import IOBuf
from pybrpc.protocols.message import RpcRequest, RpcResponse
from pybrpc.rpc.body import parse_request, serialize_response
from pybrpc.rpc.controller import Controller
from pybrpc.server.calls.interfaces import AdmittedCall, CallConnection
from pybrpc.server.calls.method_entry import MethodEntry
from pybrpc.server.calls.response_batch import FLUSH_S, LARGE_BYTES, ResponseBatch
from pybrpc.server.values import UnfinishedCall

logger = logging.getLogger("pybrpc")

REQUEST_BYTES = 2048
"""Memory held by a request without body, in bytes."""

FIELD_BYTES = 256
"""Memory held by a user field beside its name and value, in bytes."""


class ServerCall:
    """One request that was admitted.

    Made by `new_server_call`. It ends in the ResponseBatch that takes its response, or with
    `end()`.
    """

    __slots__ = ("connection", "entry", "received_at", "request", "size_bytes")

    connection: CallConnection
    entry: MethodEntry
    received_at: float
    """Time at which the request was read, in monotonic seconds."""
    request: RpcRequest
    size_bytes: int
    """Bytes that the call counts in `connection.unanswered`."""

    def run(self, response_batch: ResponseBatch) -> None:
        """Parse, call the handler, put the response into `response_batch`. In a worker thread."""
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
            # Also SystemExit: a handler ends neither the worker nor the server by raising.
            self.fail(controller, error)
        data = self.pack(controller, response)
        now = time.monotonic()
        entry.note_duration(now - started_at)
        response_batch.add(self, data, now)

    def note_slow(self) -> None:
        self.entry.note_slow()

    def call_handler(self, controller: Controller) -> Coroutine[Any, Any, Any]:
        """Parse, and return the coroutine of an async handler. Raises the errors of both steps."""
        coroutine = self.entry.handler(self._parse(), controller)
        return coroutine if type(coroutine) is CoroutineType else _coroutine_of(coroutine)

    def end(self) -> None:
        """End the call without a response: nobody would read it."""
        calls: list[AdmittedCall] = [self]
        self.connection.release_limits(calls)
        self.connection.end(calls)

    def make_controller(self) -> Controller:
        """Make the second argument of the handler."""
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
        """Parse a compressed body, and count the bytes by which it has grown."""
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
        """Put `error`, which was raised, into `controller`."""
        if isinstance(error, RpcError):
            controller.set_failed(error.code, error.text)
            return
        controller.set_failed(ErrorCode.EINTERNAL, _text_of(error))
        if not isinstance(error, asyncio.CancelledError):
            logger.error("the handler of %s raised", self.entry.full_name, exc_info=error)

    def pack(self, controller: Controller, response: object) -> IOBuf:
        """Make the bytes of the response. If it can't be packed, make those of an error."""
        if not controller.error_code:
            try:
                return self._within_hard_limit(self._pack_success(controller, response))
            except RpcError as error:
                _close_coroutine(response)
                controller.set_failed(error.code, error.text)
            except Exception as error:
                self.fail(controller, error)
        self.connection.count_error()
        protocol = self.connection.protocol
        try:
            return protocol.pack_response(failure_of(self.request.correlation_id, controller))
        except RpcError as error:
            # The handler's own error code or user fields don't fit.
            bare = Controller()
            bare._server_identity = controller._server_identity
            bare.set_failed(error.code, error.text)
            return protocol.pack_response(failure_of(self.request.correlation_id, bare))

    def _within_hard_limit(self, response: IOBuf) -> IOBuf:
        """Return `response`, unless it is over the hard limit of the backlog: OvercrowdedError.

        Responses may pass the high-water mark. But if a peer has stopped reading, those of many
        calls that run at once would make this process grow without limit.
        """
        backlog = self.connection.socket.backlog
        size = len(response)
        # A small response finds the backlog overcrowded before it is over the hard limit.
        if (backlog.is_overcrowded or size >= LARGE_BYTES) and backlog.exceeds_hard_limit(size):
            peer = self.connection.peer
            raise OvercrowdedError(
                f"An answer of {size} bytes was dropped: Connection to {peer} is overcrowded"
            )
        return response

    def _pack_success(self, controller: Controller, response: object) -> IOBuf:
        body = serialize_response(response, self.entry.response_type, controller)
        if controller.has_fast_response():
            correlation_id = self.request.correlation_id
            return self.connection.protocol.pack_fast_response(correlation_id, body)
        packed = RpcResponse(self.request.correlation_id)
        packed.body = body
        packed.attachment = controller._response_attachment
        packed.user_fields = controller._response_user_fields
        packed.compress_type = controller.response_compress_type
        packed.checksum_type = controller.response_checksum_type
        packed.checksum_value = controller._checksum_value
        packed.checksum_with_attachment = controller.response_checksum_attachment or None
        return self.connection.protocol.pack_response(packed)

    def unfinished(self) -> UnfinishedCall:
        """Description of the call, for people."""
        connection, age_s = self.connection, time.monotonic() - self.received_at
        return UnfinishedCall(self.entry.full_name, connection.peer, age_s, connection.state)

    def __repr__(self) -> str:
        age_s = time.monotonic() - self.received_at
        return f"<ServerCall {self.entry.full_name} for {age_s:.3f} s>"


def new_server_call(
    connection: CallConnection, request: RpcRequest, entry: MethodEntry, received_at: float
) -> ServerCall:
    """Make a ServerCall. A typed function costs a compiled caller less than a constructor."""
    call = ServerCall.__new__(ServerCall)
    call.connection = connection
    call.request = request
    call.entry = entry
    call.received_at = received_at
    call.size_bytes = held_bytes(request)
    return call


def held_bytes(request: RpcRequest) -> int:
    """Estimate the memory that `request` holds until it is answered, in bytes."""
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
    """Make the response of a call that failed. As in C++ it has user fields, but no body."""
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
    """Close a coroutine that a plain function returned, so that Python doesn't warn of it."""
    close = getattr(response, "close", None)
    if close is not None and asyncio.iscoroutine(response):
        close()
