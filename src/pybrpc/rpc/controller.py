"""Controller: the options and results of a call beside its request and response, on both sides."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from pybrpc.base.checked_options import (
    checked_count_or_none,
    checked_flag_or_none,
    checked_text_or_none,
    checked_texts,
)
from pybrpc.base.endpoint import Endpoint
from pybrpc.errors import ControllerInUseError, ErrorCode, error_name
from pybrpc.iobuf import IOBuf
from pybrpc.protocols.message import RpcRequest, RpcResponse
from pybrpc.rpc.authenticator import AuthContext
from pybrpc.rpc.checksum import ChecksumType, as_checksum_type
from pybrpc.rpc.compress import CompressType, as_compress_type
from pybrpc.rpc.controller_values import (
    Body,
    Options,
    StreamRequest,
    UsingCall,
    as_attachment,
    checked_backup_ms,
    checked_failure,
    checked_timeout_ms,
    requested_streams,
    restored,
)
from pybrpc.rpc.hash_key import HashKeyOf
from pybrpc.rpc.http_attributes import HttpHeaderOf, progressive_attachment_of
from pybrpc.rpc.misnamed import CANCEL_FUTURE, SET_TIMEOUT, Misnamed, without_misnamed
from pybrpc.transport.interfaces import TlsInfo

# Looked up once, and plain numbers: a response with these values is packed as a fast frame.
_UNCOMPRESSED: int = CompressType.NONE.value
_NOT_CHECKSUMMED: int = ChecksumType.NONE.value

MIN_LOG_ID, MAX_LOG_ID = -(2**63), 2**64 - 1
"""A log id is unsigned in C++, and signed in the field that carries it."""

_OF_LIBRARY = frozenset({"begin_call", "end_call", "has_fast_response", "is_used_by", "reset"})
"""Methods that are not for users. `dir()` does not show them."""

_generation = 0
"""How often this process was forked from one that had this module."""


class Controller:
    """Options and results of one call. After bRPC's `Controller`.

    A caller sets `log_id`, `request_id`, `request_user_fields`, `request_attachment`, `timeout_ms`,
    `max_retry` and `backup_request_ms` before the call, and reads the rest after it. A wrong value
    is a TypeError or a ValueError where it is set, a name that does not exist an AttributeError.
    One Controller serves one call at a time, else ControllerInUseError.

    A handler gets one with the caller's values, and may fill `response_attachment` and
    `response_user_fields` or call `set_failed`. Not thread-safe.

    Each side chooses how its own message is sent: the caller sets `request_compress_type` and
    `request_checksum_type`, the handler those of the response, whatever the request had. The
    receiving side finds the values of the received message there. A failed response has neither.
    """

    __slots__ = (
        "_backup_request_ms",
        "_call",
        "_checksum_value",
        "_generation",
        "_hash_key",
        "_http_request",
        "_http_response",
        "_is_canceled",
        "_log_id",
        "_max_retry",
        "_request_attachment",
        "_request_checksum_attachment",
        "_request_checksum_type",
        "_request_compress_type",
        "_request_id",
        "_request_user_fields",
        "_response_attachment",
        "_response_checksum_attachment",
        "_response_checksum_type",
        "_response_compress_type",
        "_response_user_fields",
        "_server_identity",
        "_streams",
        "_timeout_ms",
        "auth_context",
        "error_code",
        "error_text",
        "has_backup_request",
        "latency_us",
        "local_side",
        "method_name",
        "received_at",
        "remote_side",
        "retried_count",
        "sub_calls",
        "tls",
    )

    def __init__(self, *, log_id: int | None = None, request_id: str | None = None) -> None:
        self._log_id: int | None = None
        self._request_id: str | None = None
        if log_id is not None:
            self.log_id = log_id
        if request_id is not None:
            self.request_id = request_id
        self._max_retry: int | None = None
        self._backup_request_ms: float | None = None
        self._timeout_ms: float | None = None
        self._hash_key: int | None = None
        self._request_compress_type: int | None = None
        self._request_checksum_type: int | None = None
        self._request_checksum_attachment: bool | None = None
        self.method_name = ""
        self.received_at = 0.0
        """In a handler: when the request was read, on the monotonic clock, in seconds."""
        self.auth_context: AuthContext | None = None
        """In a handler: the identity of the caller, from the server's Authenticator."""
        self.tls: TlsInfo | None = None
        """In a handler: the TLS version and cipher, and the caller's certificate if it sent one;
        `None` without TLS."""
        self._http_request: Any = None
        self._request_attachment: IOBuf | None = None
        self._request_user_fields: dict[str, str] | None = None
        self._server_identity = ""
        self._is_canceled: Callable[[], bool] | None = None  # set if a request is served
        self._streams: StreamRequest | None = None  # set if that asks for streams
        self._call: UsingCall | None = None
        """The call that uses it, until it has ended."""
        self._generation = 0  # of the process in which that call began
        self.reset()

    def reset(self) -> None:
        """Forget the results of an earlier call; keep the options that the caller set."""
        self.error_code = self.latency_us = 0
        self.error_text = ""
        self.retried_count = 0
        """How often the request was sent again, including a backup request."""
        self.has_backup_request = False
        self.sub_calls: tuple[Any, ...] = ()
        """After a call on a combined channel: a `SubResult` for each of its channels, or `None` for
        one that was not used."""
        self.remote_side: Endpoint | None = None
        self.local_side: Endpoint | None = None
        self._response_compress_type: int | None = _UNCOMPRESSED
        self._response_checksum_type: int | None = _NOT_CHECKSUMMED
        self._response_checksum_attachment: bool | None = False
        self._checksum_value = b""
        self._http_response: Any = None
        self._response_attachment: IOBuf | None = None
        self._response_user_fields: dict[str, str] | None = None

    def begin_call(self, call: UsingCall, method_name: str) -> None:
        """`call` begins to use it. ControllerInUseError if that is not allowed now.

        It takes over from a call that can't end any more: its loop is closed, or it was in flight
        in the process that has forked this one.
        """
        user = self._call
        if user is not None and self._generation == _generation and not user.is_lost:
            raise ControllerInUseError(
                f"this Controller is in use by a call of {self.method_name} that has not ended: "
                f"make another one for the call of {method_name}"
            )
        if self._is_canceled is not None:
            raise ControllerInUseError(
                f"this Controller belongs to the request of {self.method_name} that the handler "
                f"serves: make another one for the call of {method_name}"
            )
        self._call = call
        self._generation = _generation
        self.reset()
        self.method_name = method_name

    def is_used_by(self, call: object) -> bool:
        """Whether `call` may put its results here."""
        return self._call is call

    def end_call(self, call: object) -> None:
        """`call` does not use it any more."""
        if self._call is call:
            self._call = None

    # --- options, checked where they are set ---

    @property
    def log_id(self) -> int | None:
        """A number that goes along with the request, for logs; 64 bits."""
        return self._log_id

    @log_id.setter
    def log_id(self, log_id: int | None) -> None:
        self._log_id = checked_count_or_none("log_id", log_id, MIN_LOG_ID, MAX_LOG_ID)

    @property
    def request_id(self) -> str | None:
        """A text that goes along with the request, for logs."""
        return self._request_id

    @request_id.setter
    def request_id(self, request_id: str | None) -> None:
        self._request_id = checked_text_or_none("request_id", request_id)

    @property
    def timeout_ms(self) -> float | None:
        """Milliseconds that the call may take, instead of the channel's timeout; -1: no limit,
        `None`: the channel's. Not together with `timeout=` of the call, which is in seconds.

        In a handler: the milliseconds that the caller waits, counted from `received_at`; `None` if
        the caller has not sent them."""
        return self._timeout_ms

    @timeout_ms.setter
    def timeout_ms(self, timeout_ms: float | None) -> None:
        self._timeout_ms = checked_timeout_ms(timeout_ms)

    @property
    def max_retry(self) -> int | None:
        """How often this call may be sent again; `None`: the channel's option."""
        return self._max_retry

    @max_retry.setter
    def max_retry(self, max_retry: int | None) -> None:
        self._max_retry = checked_count_or_none("max_retry", max_retry)

    @property
    def backup_request_ms(self) -> float | None:
        """Milliseconds after which the request is sent a second time; `None`: the channel's option,
        -1: never."""
        return self._backup_request_ms

    @backup_request_ms.setter
    def backup_request_ms(self, after_ms: float | None) -> None:
        self._backup_request_ms = checked_backup_ms(after_ms)

    @property
    def request_compress_type(self) -> int | None:
        """How the request's body is compressed; `None`: the channel's option. Attachments are
        never compressed."""
        return self._request_compress_type

    @request_compress_type.setter
    def request_compress_type(self, number: int | None) -> None:
        self._request_compress_type = checked_count_or_none("request_compress_type", number)

    @property
    def request_checksum_type(self) -> int | None:
        """How the request's body is checksummed, so that the server refuses it if it was changed on
        the way; `None`: the channel's option."""
        return self._request_checksum_type

    @request_checksum_type.setter
    def request_checksum_type(self, number: int | None) -> None:
        self._request_checksum_type = checked_count_or_none("request_checksum_type", number)

    @property
    def request_checksum_attachment(self) -> bool | None:
        """Whether the checksum covers the attachment too; `None`: the channel's option. bRPC
        has it since July 2026; 1.17.0 and before check the body alone, and refuse such requests."""
        return self._request_checksum_attachment

    @request_checksum_attachment.setter
    def request_checksum_attachment(self, on: bool | None) -> None:
        self._request_checksum_attachment = checked_flag_or_none("request_checksum_attachment", on)

    @property
    def response_compress_type(self) -> int | None:
        """How the response's body is compressed."""
        return self._response_compress_type

    @response_compress_type.setter
    def response_compress_type(self, number: int | None) -> None:
        self._response_compress_type = checked_count_or_none("response_compress_type", number)

    @property
    def response_checksum_type(self) -> int | None:
        """How the response's body is checksummed."""
        return self._response_checksum_type

    @response_checksum_type.setter
    def response_checksum_type(self, number: int | None) -> None:
        self._response_checksum_type = checked_count_or_none("response_checksum_type", number)

    @property
    def response_checksum_attachment(self) -> bool | None:
        """Whether the response's checksum covers the attachment too."""
        return self._response_checksum_attachment

    @response_checksum_attachment.setter
    def response_checksum_attachment(self, on: bool | None) -> None:
        checked = checked_flag_or_none("response_checksum_attachment", on)
        self._response_checksum_attachment = checked

    def has_fast_response(self) -> bool:
        """Whether nothing is sent beside the response."""
        return (
            self._response_attachment is None
            and self._response_user_fields is None
            and self._response_compress_type is _UNCOMPRESSED
            and self._response_checksum_type is _NOT_CHECKSUMMED
        )

    @property
    def request_attachment(self) -> IOBuf:
        """Bytes that follow the request, neither interpreted nor copied."""
        if self._request_attachment is None:
            self._request_attachment = IOBuf()
        return self._request_attachment

    @request_attachment.setter
    def request_attachment(self, data: IOBuf | bytes | bytearray | memoryview) -> None:
        self._request_attachment = as_attachment("request_attachment", data)

    @property
    def response_attachment(self) -> IOBuf:
        """Bytes that follow the response, neither interpreted nor copied."""
        if self._response_attachment is None:
            self._response_attachment = IOBuf()
        return self._response_attachment

    @response_attachment.setter
    def response_attachment(self, data: IOBuf | bytes | bytearray | memoryview) -> None:
        self._response_attachment = as_attachment("response_attachment", data)

    @property
    def request_user_fields(self) -> dict[str, str]:
        """Names and values that the caller adds to the request."""
        if self._request_user_fields is None:
            self._request_user_fields = {}
        return self._request_user_fields

    @request_user_fields.setter
    def request_user_fields(self, fields: Mapping[str, str]) -> None:
        self._request_user_fields = checked_texts("request_user_fields", fields)

    @property
    def response_user_fields(self) -> dict[str, str]:
        """Names and values that the handler adds to the response, also to a failed one."""
        if self._response_user_fields is None:
            self._response_user_fields = {}
        return self._response_user_fields

    @response_user_fields.setter
    def response_user_fields(self, fields: Mapping[str, str]) -> None:
        self._response_user_fields = checked_texts("response_user_fields", fields)

    hash_key = HashKeyOf("_hash_key")
    http_request = HttpHeaderOf("_http_request")
    http_response = HttpHeaderOf("_http_response")

    @property
    def failed(self) -> bool:
        """Whether the call has an error."""
        return self.error_code != 0

    @property
    def deadline(self) -> float | None:
        """In a handler: when the caller gives up, in seconds of `time.monotonic()`; `None` if that
        is not known: the caller has sent no timeout, as C++ bRPC does, or none above 0."""
        timeout_ms = self._timeout_ms
        if timeout_ms is None or timeout_ms <= 0:
            return None
        return self.received_at + timeout_ms / 1000

    @property
    def is_canceled(self) -> bool:
        """In a handler: whether the caller has most likely given up.

        The deadline has passed, or the caller has closed its connection or the writing side of it.
        A response is still written if that is possible.
        """
        if self._is_canceled is not None and self._is_canceled():
            return True
        deadline = self.deadline
        return deadline is not None and time.monotonic() >= deadline

    @property
    def time_remaining_s(self) -> float | None:
        """In a handler: seconds until `deadline`, at least 0; `None` if there is none."""
        deadline = self.deadline
        return None if deadline is None else max(0.0, deadline - time.monotonic())

    def set_failed(self, code: int | str, text: str = "") -> None:
        """Fail the call with a code and a text, or with a text alone (EINTERNAL on the wire).

        Each further call appends its text, and the last code counts. In a handler the server's
        address precedes the text, as in bRPC.
        """
        number, reason = checked_failure(code, text)
        self.error_code = number
        mark = "" if number == -1 else f"[E{number}]"
        self.error_text += f"{' ' * bool(self.error_text)}{self._server_identity}{mark}{reason}"

    def accept_stream(self, options: Options = None, *, body: Body = None) -> Any:
        """In a handler: accept the stream that the caller asks for; the answer opens it. A
        `pybrpc.streams.AioStream` in an async handler, else a `Stream`. It outlives the handler: an
        async `body(stream)`, or a plain one in a thread, runs once the handler has answered.
        `options`: `StreamOptions`. BadRequestError, for the caller, if it asks for none.
        """
        return requested_streams(self._streams, self.method_name).accept(options, body)

    def accept_streams(self, options: Options = None, *, body: Body = None) -> list[Any]:
        """Accept all streams that the caller asks for; `options`, `body`: as `accept_stream`."""
        return requested_streams(self._streams, self.method_name).accept_all(options, body)

    def create_progressive_attachment(self) -> Any:
        """A ProgressiveAttachment (rpc/http_body.py): the body of a response of HTTP, in parts."""
        return progressive_attachment_of(self._http_request)

    def _note_request(self, request: RpcRequest) -> None:
        """Copy how the body of `request` was sent."""
        number = request.compress_type
        self._request_compress_type = as_compress_type(number) if number else _UNCOMPRESSED
        number = request.checksum_type
        self._request_checksum_type = as_checksum_type(number) if number else _NOT_CHECKSUMMED
        self._request_checksum_attachment = bool(request.checksum_with_attachment)

    def _note_response(self, response: RpcResponse) -> None:
        """Copy how the body of `response` was sent."""
        if response.compress_type:
            self._response_compress_type = as_compress_type(response.compress_type)
        if response.checksum_type:
            self._response_checksum_type = as_checksum_type(response.checksum_type)
        self._response_checksum_attachment = bool(response.checksum_with_attachment)

    def __repr__(self) -> str:
        state = "ok"
        if self.failed:
            code = ErrorCode.EINTERNAL if self.error_code == -1 else self.error_code
            state = f"{error_name(code)}: {self.error_text}"
        extra = f", retried {self.retried_count} times" if self.retried_count else ""
        return f"<Controller {self.method_name or 'unused'} {state}, {self.latency_us} us{extra}>"

    def __reduce__(self) -> tuple[object, ...]:
        """For `copy` and `pickle`: a copy is not used by the call that uses this one."""
        fields = {name: getattr(self, name) for name in Controller.__slots__ if name != "_call"}
        return restored, (type(self), fields | getattr(self, "__dict__", {}))

    def __dir__(self) -> list[str]:
        names = [name for name in object.__dir__(self) if name not in _OF_LIBRARY]
        return without_misnamed(type(self), names)

    # Names of C++ bRPC, and others that are guessed: errors with the right way.
    if not TYPE_CHECKING:  # type checkers refuse them as names that don't exist
        Failed = Misnamed("read controller.failed")
        ErrorCode = Misnamed("read controller.error_code")
        ErrorText = Misnamed("read controller.error_text")
        SetFailed = Misnamed("call controller.set_failed(code, text)")
        Reset = Misnamed("make a new Controller")
        IsCanceled = Misnamed("read controller.is_canceled")
        NotifyOnCancel = Misnamed("read controller.is_canceled")
        StartCancel = Misnamed(CANCEL_FUTURE)
        call_id = Misnamed(CANCEL_FUTURE)
        set_timeout_ms = Misnamed(SET_TIMEOUT)
        set_max_retry = Misnamed("set controller.max_retry = number")
        set_backup_request_ms = Misnamed("set controller.backup_request_ms = milliseconds")
        set_log_id = Misnamed("set controller.log_id = number")
        set_request_id = Misnamed("set controller.request_id = text")
        set_request_compress_type = Misnamed("set controller.request_compress_type = number")
        set_response_compress_type = Misnamed("set controller.response_compress_type = number")
        set_request_checksum_type = Misnamed("set controller.request_checksum_type = number")
        set_response_checksum_type = Misnamed("set controller.response_checksum_type = number")
        timeout = Misnamed(SET_TIMEOUT)
        timeout_s = Misnamed(SET_TIMEOUT)
        connect_timeout_ms = Misnamed("give the channel connect_timeout=, in seconds")
        max_retries = Misnamed("set controller.max_retry = number")
        compress_type = Misnamed("set controller.request_compress_type, or response_compress_type")
        checksum_type = Misnamed("set controller.request_checksum_type, or response_checksum_type")
        attachment = Misnamed("use controller.request_attachment, or response_attachment")
        user_fields = Misnamed("use controller.request_user_fields, or response_user_fields")
        metadata = Misnamed("use controller.request_user_fields, or response_user_fields")
        abort = Misnamed("raise a pybrpc.RpcError, or call controller.set_failed(code, text)")
        peer = Misnamed("read controller.remote_side")
        service_name = Misnamed("read controller.method_name, which begins with the service")
        trace_id = Misnamed("set controller.request_id or controller.log_id, which go along")
        server = Misnamed("give the server to the object whose methods are the handlers")
        session_local_data = Misnamed("keep it in the object whose methods are the handlers")
        CloseConnection = Misnamed("no handler can: call controller.set_failed(code, text)")
        Join = Misnamed("wait for the future of the call: stub.Method.future(...).result()")
        ignore_eovercrowded = Misnamed("give the channel options=SocketOptions(high_water_bytes=)")
        sub = Misnamed("read controller.sub_calls[index]")
        sub_count = Misnamed("read len(controller.sub_calls)")
        set_request_code = Misnamed("set controller.hash_key = number")


def _after_fork_in_child() -> None:
    global _generation
    _generation += 1  # the calls of the parent never end here


os.register_at_fork(after_in_child=_after_fork_in_child)
