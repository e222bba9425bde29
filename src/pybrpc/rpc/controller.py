"""Controller: the options and results of a call beside its request and response, on both sides."""

from __future__ import annotations

import time
from collections.abc import Callable

from pybrpc.base.endpoint import Endpoint
from pybrpc.errors import ErrorCode, error_name
from pybrpc.iobuf import IOBuf
from pybrpc.protocols.message import RpcRequest, RpcResponse
from pybrpc.rpc.authenticator import AuthContext
from pybrpc.rpc.checksum import ChecksumType, as_checksum_type
from pybrpc.rpc.compress import CompressType, as_compress_type
from pybrpc.transport.interfaces import TlsInfo

# Looked up once: a member of an enum class costs 75 ns, a global 8. And plain numbers: a response
# with these values is packed as a fast frame.
_UNCOMPRESSED: int = CompressType.NONE.value
_NOT_CHECKSUMMED: int = ChecksumType.NONE.value


class Controller:
    """Options and results of one call. After bRPC's `Controller`.

    A caller sets `log_id`, `request_id`, `request_user_fields`, `request_attachment`, `max_retry`
    and `backup_request_ms` before the call, and reads the rest after it; one Controller serves one
    call at a time. A handler gets one with the caller's values, and may fill `response_attachment`
    and `response_user_fields` or call `set_failed`. Not thread-safe.

    Each side chooses how its own message is sent: the caller sets `request_compress_type` and
    `request_checksum_type`, the handler those of the response, whatever the request had. The
    receiving side finds the values of the received message there. A failed response has neither.
    """

    __slots__ = (
        "_checksum_value",
        "_is_canceled",
        "_request_attachment",
        "_request_user_fields",
        "_response_attachment",
        "_response_user_fields",
        "_server_identity",
        "auth_context",
        "backup_request_ms",
        "error_code",
        "error_text",
        "has_backup_request",
        "latency_us",
        "local_side",
        "log_id",
        "max_retry",
        "method_name",
        "received_at",
        "remote_side",
        "request_checksum_attachment",
        "request_checksum_type",
        "request_compress_type",
        "request_id",
        "response_checksum_attachment",
        "response_checksum_type",
        "response_compress_type",
        "retried_count",
        "timeout_ms",
        "tls",
    )

    def __init__(self, *, log_id: int | None = None, request_id: str | None = None) -> None:
        self.log_id = log_id
        self.request_id = request_id
        self.max_retry: int | None = None
        """How often this call may be sent again; `None`: the channel's option."""
        self.backup_request_ms: float | None = None
        """Milliseconds after which the request is sent a second time; `None`: the channel's option,
        -1: never."""
        self.method_name = ""
        self.timeout_ms: int | None = None
        """In a handler: the milliseconds that the caller waits, counted from `received_at`."""
        self.received_at = 0.0
        """In a handler: when the request was read, on the monotonic clock, in seconds."""
        self.request_compress_type: int | None = None
        """How the request's body is compressed; `None`: the channel's option. Attachments are
        never compressed."""
        self.request_checksum_type: int | None = None
        """How the request's body is checksummed, so that the server refuses it if it was changed on
        the way; `None`: the channel's option."""
        self.request_checksum_attachment: bool | None = None
        """Whether the checksum covers the attachment too; `None`: the channel's option. bRPC
        has it since July 2026; 1.17.0 and before check the body alone, and refuse such requests."""
        self.auth_context: AuthContext | None = None
        """In a handler: the identity of the caller, from the server's Authenticator."""
        self.tls: TlsInfo | None = None
        """In a handler: the TLS version and cipher, and the caller's certificate if it sent one;
        `None` without TLS."""
        self._request_attachment: IOBuf | None = None
        self._request_user_fields: dict[str, str] | None = None
        self._server_identity = ""
        self._is_canceled: Callable[[], bool] | None = None
        self.reset()

    def reset(self) -> None:
        """Forget the results of an earlier call; keep the options that the caller set."""
        self.error_code = 0
        self.error_text = ""
        self.latency_us = 0
        self.retried_count = 0
        """How often the request was sent again, including a backup request."""
        self.has_backup_request = False
        self.remote_side: Endpoint | None = None
        self.local_side: Endpoint | None = None
        self.response_compress_type: int | None = _UNCOMPRESSED
        self.response_checksum_type: int | None = _NOT_CHECKSUMMED
        self.response_checksum_attachment: bool | None = False
        self._checksum_value = b""
        self._response_attachment: IOBuf | None = None
        self._response_user_fields: dict[str, str] | None = None

    def has_fast_response(self) -> bool:
        """Whether nothing is sent beside the response."""
        return (
            self._response_attachment is None
            and self._response_user_fields is None
            and self.response_compress_type is _UNCOMPRESSED
            and self.response_checksum_type is _NOT_CHECKSUMMED
        )

    @property
    def request_attachment(self) -> IOBuf:
        """Bytes that follow the request, neither interpreted nor copied."""
        if self._request_attachment is None:
            self._request_attachment = IOBuf()
        return self._request_attachment

    @request_attachment.setter
    def request_attachment(self, data: IOBuf | bytes | bytearray | memoryview) -> None:
        self._request_attachment = data if isinstance(data, IOBuf) else IOBuf(data)

    @property
    def response_attachment(self) -> IOBuf:
        """Bytes that follow the response, neither interpreted nor copied."""
        if self._response_attachment is None:
            self._response_attachment = IOBuf()
        return self._response_attachment

    @response_attachment.setter
    def response_attachment(self, data: IOBuf | bytes | bytearray | memoryview) -> None:
        self._response_attachment = data if isinstance(data, IOBuf) else IOBuf(data)

    @property
    def request_user_fields(self) -> dict[str, str]:
        """Names and values that the caller adds to the request."""
        if self._request_user_fields is None:
            self._request_user_fields = {}
        return self._request_user_fields

    @property
    def response_user_fields(self) -> dict[str, str]:
        """Names and values that the handler adds to the response."""
        if self._response_user_fields is None:
            self._response_user_fields = {}
        return self._response_user_fields

    @property
    def failed(self) -> bool:
        """Whether the call has an error."""
        return self.error_code != 0

    @property
    def is_canceled(self) -> bool:
        """In a handler: whether the caller has closed its connection or the writing side of it. A
        response is still written if that is possible."""
        return self._is_canceled is not None and self._is_canceled()

    @property
    def time_remaining_s(self) -> float | None:
        """In a handler: seconds until the caller gives up, at least 0; `None` if not known."""
        if self.timeout_ms is None:
            return None
        return max(0.0, self.received_at + self.timeout_ms / 1000 - time.monotonic())

    def set_failed(self, code: int | str, text: str = "") -> None:
        """Fail the call with a code and a text, or with a text alone (EINTERNAL on the wire).

        Each further call appends its text, and the last code counts. In a handler the server's
        address precedes the text, as in bRPC.
        """
        number, reason = (-1, code) if isinstance(code, str) else (int(code), text)
        if number == 0:
            raise ValueError("error code 0 means success; pass another one to set_failed")
        self.error_code = number
        mark = "" if number == -1 else f"[E{number}]"
        gap = " " if self.error_text else ""
        self.error_text += f"{gap}{self._server_identity}{mark}{reason}"

    def _note_request(self, request: RpcRequest) -> None:
        """Copy how the body of `request` was sent."""
        number = request.compress_type
        self.request_compress_type = as_compress_type(number) if number else _UNCOMPRESSED
        number = request.checksum_type
        self.request_checksum_type = as_checksum_type(number) if number else _NOT_CHECKSUMMED
        self.request_checksum_attachment = bool(request.checksum_with_attachment)

    def _note_response(self, response: RpcResponse) -> None:
        """Copy how the body of `response` was sent."""
        if response.compress_type:
            self.response_compress_type = as_compress_type(response.compress_type)
        if response.checksum_type:
            self.response_checksum_type = as_checksum_type(response.checksum_type)
        if response.checksum_with_attachment:
            self.response_checksum_attachment = True

    def __repr__(self) -> str:
        if self.failed:
            code = ErrorCode.EINTERNAL if self.error_code == -1 else self.error_code
            state = f"{error_name(code)}: {self.error_text}"
        else:
            state = "ok"
        extra = f", retried {self.retried_count} times" if self.retried_count else ""
        return f"<Controller {self.method_name or 'unused'} {state}, {self.latency_us} us{extra}>"
