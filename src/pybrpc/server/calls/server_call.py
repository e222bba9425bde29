"""ServerCall: one request that was admitted: its parsing, its failure, its response.

A ServerConnection makes it, the Invoker runs its handler, and CallEnd ends it. An error in between
becomes the response. After bRPC's `ProcessRpcRequest` and `SendRpcResponse`
(src/brpc/policy/baidu_rpc_protocol.cpp).
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from sys import getsizeof
from typing import Any

from google.protobuf.message import Message

from pybrpc.base.deadline import NEVER
from pybrpc.base.guard import SERVER, deliver_interrupt
from pybrpc.errors import (
    BadRequestError,
    ErrorCode,
    OvercrowdedError,
    RpcCanceledError,
    RpcError,
    RpcTimeoutError,
    make_rpc_error,
)
from pybrpc.iobuf.iobuf import IOBuf
from pybrpc.protocols.message import ResponsePacker, RpcRequest, RpcResponse
from pybrpc.protocols.traits import takes_blocks
from pybrpc.rpc.body import parse_request, serialize_response
from pybrpc.rpc.controller import Controller
from pybrpc.rpc.raw_body import serialize_raw_response
from pybrpc.rpc.serving import ServedCall, new_served_call
from pybrpc.server.calls.call_span import (
    begin_span,
    note_answer,
    note_turn,
    unsigned_log_id,
)
from pybrpc.server.calls.failures import (
    close_coroutine,
    failure_of,
    failure_to_respond,
    log_impossible,
    note_failure,
    plain_failure,
)
from pybrpc.server.calls.interfaces import CallConnection, CallForm
from pybrpc.server.calls.method_entry import MethodEntry
from pybrpc.server.calls.raw_request import RawRequest, called_name, raw_request_of
from pybrpc.server.calls.response_batch import LARGE_BYTES
from pybrpc.server.values import UnfinishedCall
from pybrpc.streams.accepting import RequestedStreams
from pybrpc.tracing.context import TRACEPARENT
from pybrpc.tracing.span import Span
from pybrpc.tracing.switch import wants_server_span

REQUEST_BYTES = 2048
"""Memory held by a request without body, in bytes."""

FIELD_BYTES = 256
"""Memory held by a user field beside its name and value, in bytes."""

ID_BYTES = 40
"""Memory held by the id of one more stream, in bytes."""
LONG_BODY_BYTES = 64 * 1024
"""A body of this size or more, or one that is compressed, may take longer to parse than a thread
that serves others has time for."""

MAX_GROWTH = 1032
"""Most bytes that a compressed byte can become (deflate)."""

USUAL_GROWTH = 16  # as MAX_GROWTH, in most bodies
SMALL_BYTES = 64 * 1024  # to which any compressed body may grow at first

DEADLINE_PASSED = "the deadline of the request has passed"
GRACE_OVER = "the server has stopped"
"""As the `cancel_reason` of a call."""

NO_ANSWER = -1
"""The `error_code` of a call that ends without a response."""


class ServerCall:
    """One request that was admitted. Made by `new_server_call`."""

    __slots__ = (
        "admitted_at",
        "cancel_reason",
        "connection",
        "deadline",
        "entry",
        "error_code",
        "form",
        "message",
        "method_concurrency",
        "packer",
        "position",
        "received_at",
        "received_bytes",
        "request",
        "sent_bytes",
        "served",
        "server_concurrency",
        "size_bytes",
        "span",
        "streams",
        "task",
    )

    cancel_reason: str
    """Why the async handler was cancelled, as the end of a sentence; "" if it was not."""
    connection: CallConnection
    deadline: float
    """Time at which the caller gives up, in monotonic seconds, or NEVER."""
    entry: MethodEntry
    error_code: int
    """Code of the response, 0 for success; NO_ANSWER until it was made."""
    form: CallForm | None
    """Makes the message of the request, and the bytes of the response, if both are no protobuf."""
    message: Message | RawRequest | None
    """The parsed request, if it was parsed before its handler can run."""
    packer: ResponsePacker | None
    """Makes the bytes of its response, with the correlation id of `request`; `None`: the protocol
    of the connection does."""
    position: int
    """Its position in `connection.replies`; -1 without one."""
    received_at: float
    """Time at which the request was read, in monotonic seconds."""
    received_bytes: int
    """Bytes of body and attachment of the request, as they came."""
    request: RpcRequest
    sent_bytes: int
    """Bytes of the response, with its head; 0 until it was made."""
    served: ServedCall | None
    """The call as its handler's own calls see it, once it is the turn of the call."""
    admitted_at: float
    method_concurrency: int
    server_concurrency: int
    """When it was admitted, and which calls ran then, itself included; 0: no limiter asks."""
    size_bytes: int
    """Bytes that the call counts in `connection.unanswered`."""
    span: Span | None
    """Its span; `None`: it is not traced, or its span has ended."""
    streams: RequestedStreams | None
    """The streams that the request asks for, once it has a controller; `None`: it asks for none."""
    task: asyncio.Task[Any] | None
    """The task in which an async handler waits for something."""

    def full_name(self) -> str:
        """Full name of the method that was called."""
        entry = self.entry
        return called_name(self.request) if entry.is_generic else entry.full_name

    def parses_long(self) -> bool:
        """Whether parsing may take too long for a thread that serves others: a loop, the thread
        that polls."""
        request = self.request
        if request.compress_type and not self.entry.is_generic:
            return True
        if self.received_bytes < LONG_BODY_BYTES:
            return False
        return len(request.body) >= LONG_BODY_BYTES or bool(request.checksum_type)

    def serve(self) -> None:
        """It is the turn of the call. From now on a failure of the connection finds `served`."""
        served = self.served = new_served_call(self.deadline)
        log_id, request_id = self.request.log_id, self.request.request_id
        if log_id is not None or request_id is not None:
            served.ids = (None if log_id is None else unsigned_log_id(log_id), request_id)
        if self.span is not None:
            note_turn(self.span)

    def has_expired(self, now: float) -> bool:
        """Whether the deadline has passed, so that the call is not to be run any more."""
        return now >= self.deadline and self.entry.drop_expired

    def end_serving(self) -> None:
        """The handler has ended, if it has begun."""
        if self.served is not None:
            self.served.end()

    def expire(self) -> bool:
        """The deadline has passed while an async handler waits. In the loop of its task.

        True: no more is to be done, though the handler may take its time to end.
        """
        self.cancel_handler(DEADLINE_PASSED)
        return True

    def give_up(self) -> None:
        """Do nothing: `expire` always does what there is to do."""

    def cancel_handler(self, reason: str) -> None:
        """Cancel an async handler that waits: once, and once more for GRACE_OVER. In the loop of
        its task."""
        task = self.task
        if task is None or self.cancel_reason == reason:
            return
        if not self.cancel_reason or reason == GRACE_OVER:
            self.cancel_reason = reason
            task.cancel(reason)

    def end(self) -> None:
        """End the call without a response: nobody would read it."""
        self.connection.end([self])

    def make_controller(self) -> Controller:
        """Make the second argument of the handler."""
        request = self.request
        connection = self.connection
        controller = Controller()
        log_id = request.log_id
        controller._log_id = None if log_id is None else unsigned_log_id(log_id)
        controller._request_id = request.request_id
        controller.method_name = self.full_name()
        controller._timeout_ms = request.timeout_ms
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
        if request.stream_settings is not None:
            controller._streams = self.streams = RequestedStreams(
                request.stream_settings, connection.stream_table, self.entry.is_async
            )
        if self.form is not None:
            self.form.prepare(controller)
        return controller

    def parse(self) -> Message | RawRequest:
        """Parse the request, unless that was done before. Raises BadRequestError and others."""
        message = self.message
        if message is not None:
            self.message = None
            return message
        socket = self.connection.socket
        if socket.backlog.is_overcrowded:
            raise OvercrowdedError(f"Connection to {self.connection.peer} is overcrowded")
        max_body_size = self.connection.max_body_size
        request = self.request
        if self.entry.is_generic:
            return raw_request_of(request)
        if not request.compress_type:
            return self._parse_body(max_body_size)
        return self._parse_compressed(max_body_size)

    def _parse_body(self, limit_bytes: int) -> Message:
        form = self.form
        if form is not None:
            return form.parse(self, limit_bytes)
        return parse_request(self.request, self.entry.request_type, limit_bytes)

    def _parse_compressed(self, max_body_size: int) -> Message:
        """Parse a compressed body, and count the bytes by which it has grown.

        If it grows to more than most do, it is begun anew: what is reserved meanwhile would
        otherwise leave no room for others.
        """
        size = len(self.request.body)
        most = min(max_body_size, MAX_GROWTH * size)
        usual = max(USUAL_GROWTH * size, SMALL_BYTES)
        if usual < most:
            with contextlib.suppress(BadRequestError):
                return self._parse_reserved(usual, usual)
        return self._parse_reserved(max_body_size, most)

    def _parse_reserved(self, limit_bytes: int, most: int) -> Message:
        """Parse a compressed body that may become `limit_bytes`, and can't become more than `most`.

        These are reserved while it is decompressed. OvercrowdedError if they don't fit.
        """
        unanswered = self.connection.unanswered
        process = unanswered.process
        reserved = 0 if process is None else process.try_reserve(most)
        try:
            if reserved is None or unanswered.exceeds_hard_limit(0):
                peer = self.connection.peer
                raise OvercrowdedError(
                    f"Connection to {peer}: too many requests are unanswered to decompress one more"
                )
            message = self._parse_body(limit_bytes)
            grown = message.ByteSize()
            self.size_bytes += grown
            unanswered.correct(grown)
            return message
        finally:
            if process is not None and reserved:
                process.release(reserved)

    def fail(self, controller: Controller, error: BaseException) -> None:
        """Put `error`, which was raised, into `controller`. Never raises."""
        if self.cancel_reason and isinstance(error, asyncio.CancelledError):
            error = self._cancel_error()
        note_failure(controller, error, self.full_name())

    def _cancel_error(self) -> RpcError:
        """The error of a handler that let out the CancelledError which it got."""
        if self.cancel_reason == DEADLINE_PASSED:
            return RpcTimeoutError("the deadline of the request passed while its handler ran")
        return RpcCanceledError(f"the handler was cancelled, because {self.cancel_reason}")

    def pack(self, controller: Controller, response: object) -> IOBuf:
        """Make the bytes of the response. If it can't be packed, make those of an error.

        Never raises.
        """
        data: IOBuf | None = None
        is_logged = False
        if self.span is not None:
            note_answer(self.span)
        try:
            # A handler can put any object there, whose `__bool__` can raise.
            if not controller.error_code:
                data = self._within_hard_limit(self._pack_success(controller, response))
                self.error_code = 0
        except BaseException as error:
            close_coroutine(response)
            self.fail(controller, error)
            is_logged = True
            if isinstance(error, RpcError) and not isinstance(error, OvercrowdedError):
                log_impossible(self.full_name(), error)
            deliver_interrupt(error)
        if data is None:
            data = self._pack_failure(controller, is_logged)
        if self.streams is not None:
            data = self.streams.wrapped(data, not self.error_code)
        self.sent_bytes = len(data)
        if self.position >= 0:
            return self._kept(data)
        return data

    def _kept(self, data: IOBuf) -> IOBuf:
        """Put the response at its position. Nothing is left to be written but what its turn is."""
        replies = self.connection.replies
        assert replies is not None
        replies.put(self.position, data)
        return IOBuf()

    def _pack_failure(self, controller: Controller, is_logged: bool) -> IOBuf:
        pack, correlation_id = self._packer().pack_response, self.request.correlation_id
        try:
            failure = failure_of(correlation_id, controller)
            data = _packed_bytes(pack(failure))
        except BaseException as error:
            # The handler's own code, text or user fields can't be sent.
            if not is_logged:
                log_impossible(self.full_name(), error)
            try:
                identity = controller._server_identity
                failure = failure_to_respond(correlation_id, identity, error)
                data = _packed_bytes(pack(failure))
            except BaseException as another:
                failure = plain_failure(correlation_id)
                data = self._pack_plain(failure)
                deliver_interrupt(another)
            deliver_interrupt(error)
        self.error_code = failure.error_code
        return data

    def _pack_plain(self, failure: RpcResponse) -> IOBuf:
        """The bytes of the last resort. If the protocol, which may be a user's, can't make even
        these, the connection fails: its client would wait for ever."""
        try:
            return _packed_bytes(self._packer().pack_response(failure))
        except BaseException as error:
            SERVER.caught("the protocol of %s can't pack a response", self.full_name(), error=error)
            text = f"Fail to pack a response: {type(error).__name__}"
            self.connection.socket.fail(make_rpc_error(ErrorCode.EINTERNAL, text))
            return IOBuf()

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
        entry = self.entry
        if self.form is not None:
            return _packed_bytes(self.form.pack(self, controller, response))
        if entry.is_generic:
            body: Any = serialize_raw_response(response, controller)
        else:
            body = serialize_response(response, entry.response_type, controller)
            if type(body) is IOBuf and not takes_blocks(self._packer()):
                body = bytes(body)
        if self.streams is None and controller.has_fast_response():
            pack = self._packer().pack_fast_response
            return _packed_bytes(pack(self.request.correlation_id, body))
        packed = RpcResponse(self.request.correlation_id, body=body)
        packed.attachment = controller._response_attachment
        packed.user_fields = controller._response_user_fields
        packed.compress_type = controller._response_compress_type
        packed.checksum_type = controller._response_checksum_type
        packed.checksum_value = controller._checksum_value
        packed.checksum_with_attachment = controller._response_checksum_attachment or None
        if self.streams is not None:
            packed.stream_settings = self.streams.settings_of_answer()
        return _packed_bytes(self._packer().pack_response(packed))

    def _packer(self) -> ResponsePacker:
        return self.connection.protocol if self.packer is None else self.packer

    def unfinished(self) -> UnfinishedCall:
        """Description of the call, for people."""
        connection, age_s = self.connection, time.monotonic() - self.received_at
        return UnfinishedCall(self.full_name(), connection.peer, age_s, connection.state)

    def __repr__(self) -> str:
        return f"<ServerCall {self.full_name()} for {time.monotonic() - self.received_at:.3f} s>"


def new_server_call(
    connection: CallConnection, request: RpcRequest, entry: MethodEntry, received_at: float
) -> ServerCall:
    """Make a ServerCall. A typed function costs a compiled caller less than a constructor.

    What nobody will look at is taken out of `request`.
    """
    if request.credential is not None:
        # That of the first request is verified by now; that of a later one says nothing.
        request.credential = None
    if request.checksum_value and not request.checksum_type:
        request.checksum_value = None
    call = ServerCall.__new__(ServerCall)
    call.connection = connection
    call.request = request
    call.entry = entry
    call.received_at = received_at
    call.error_code = NO_ANSWER
    received_bytes = len(request.body)
    if request.attachment is not None:
        received_bytes += len(request.attachment)
    call.received_bytes = received_bytes
    call.sent_bytes = 0
    call.size_bytes = held_bytes(request)
    call.packer = request.packer
    call.position = -1
    call.method_concurrency = call.server_concurrency = 0
    if entry.is_generic:
        call.size_bytes += getsizeof(request.service) + getsizeof(request.method)
    call.message = call.task = call.streams = call.form = call.span = None
    timeout_ms = 0 if request.timeout_ms is None else request.timeout_ms
    call.deadline = received_at + timeout_ms * 0.001 if timeout_ms > 0 else NEVER
    call.served = None
    call.cancel_reason = ""
    is_traced = request.trace_id is not None
    if request.user_fields and not is_traced:
        is_traced = TRACEPARENT in request.user_fields
    if wants_server_span(received_at, is_traced):
        call.span = begin_span(connection, request, call.full_name(), received_at)
    return call


def held_bytes(request: RpcRequest) -> int:
    """Estimate the memory that `request` holds until it is answered, in bytes.

    Most requests have only a body. The names of the method are those of a method that exists,
    unless a generic service serves it.
    """
    size = REQUEST_BYTES + len(request.body)
    if request.attachment is not None:
        size += len(request.attachment)
    if request.request_id:
        size += getsizeof(request.request_id)
    if request.user_fields:
        for name, value in request.user_fields.items():
            size += FIELD_BYTES + getsizeof(name) + getsizeof(value)
    if request.credential is not None:
        size += len(request.credential)
    if request.checksum_value:
        size += len(request.checksum_value)
    if request.stream_settings is not None:
        size += FIELD_BYTES + ID_BYTES * len(request.stream_settings.extra_stream_ids)
    return size


def _packed_bytes(data: Any) -> IOBuf:
    """`data`, which a protocol has packed, perhaps one of a user; TypeError if it is no IOBuf."""
    if not isinstance(data, IOBuf):
        raise TypeError(f"the protocol packed a response as {type(data).__name__}, not IOBuf")
    return data
