"""Messages of any values, user fields among them: refused with a typed error, or they arrive."""

from __future__ import annotations

from collections.abc import Iterator

from fuzz.fuzz_target import FuzzTarget, assert_says
from fuzz.parameters import Parameters
from fuzz.references.frames import buffer_of, fields_of_message, frames_of
from pybrpc.errors import BadRequestError, BadResponseError
from pybrpc.protocols.baidu_std import BaiduStd
from pybrpc.protocols.message import RpcRequest, RpcResponse, StreamSettings
from pybrpc.rpc.controller import Controller
from pybrpc.testing.check_protocol import pack

PROTOCOL = BaiduStd()
_LIMIT = 1 << 20


def check(data: bytes) -> None:
    given = Parameters(data)
    message = _request(given) if given.flag() else _response(given)
    try:
        packed = bytes(pack(PROTOCOL, message))
    except (BadRequestError, BadResponseError) as error:
        assert_says(error, "Fail to pack")
        return
    (arrived,) = frames_of(packed, _LIMIT).messages
    assert arrived == _as_it_travels(message)


def _request(given: Parameters) -> RpcRequest:
    controller = Controller()
    log_id, request_id = _number(given), given.text()
    controller.request_user_fields.update(_user_fields(given))
    request = RpcRequest(given.signed(9), given.text(), given.text(), given.short_bytes())
    request.attachment = buffer_of(given.short_bytes())
    request.user_fields = controller.request_user_fields
    request.log_id, request.request_id = log_id, request_id
    request.timeout_ms, request.trace_id, request.span_id = (_number(given) for _ in range(3))
    request.credential = given.short_bytes()
    request.compress_type = _number(given)
    request.stream_settings = _stream_settings(given)
    return request


def _response(given: Parameters) -> RpcResponse:
    response = RpcResponse(given.signed(9), given.signed(5), given.text(), given.short_bytes())
    response.attachment = buffer_of(given.short_bytes())
    response.user_fields = _user_fields(given)
    response.checksum_type, response.checksum_value = _number(given), given.short_bytes()
    response.stream_settings = _stream_settings(given)
    return response


def _number(given: Parameters) -> int | None:
    """Absent, or one of 4 to 9 bytes: some fit no field."""
    size = given.number() % 10
    return given.signed(size) if size > 3 else None


def _user_fields(given: Parameters) -> dict[str, str]:
    return {given.text(): given.text() for _ in range(given.number() % 4)}


def _stream_settings(given: Parameters) -> StreamSettings | None:
    if not given.flag():
        return None
    extra = tuple(given.signed(9) for _ in range(given.number() % 3))
    return StreamSettings(given.signed(8), given.flag(), None, extra)


def _as_it_travels(message: RpcRequest | RpcResponse) -> dict[str, object]:
    """The fields of `message`; text that has no UTF-8 has lost that on the way."""
    fields = fields_of_message(message)
    fields["user_fields"] = _merged(message.user_fields or {}) or None
    if isinstance(message, RpcRequest):
        fields["request_id"] = _legible(message.request_id or "")
    else:
        fields["error"] = (message.error_code, _legible(message.error_text))
    return fields


def _legible(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def _merged(user_fields: dict[str, str]) -> dict[str, str]:
    """Bytes that were no UTF-8 apart may be UTF-8 together."""
    return {_data(key): _data(value) for key, value in user_fields.items()}


def _data(text: str) -> str:
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")


def seeds() -> Iterator[bytes]:
    yield bytes([1, 4, 1, 0, 0, 0, 2]) + b"id" + bytes([1, 1]) + b"k" + bytes([1]) + b"v"
    yield bytes([1, 0, 0, 2, 1]) + b"a" + bytes([2, 0xC3, 0xA9, 1, 0xC3, 0]) + bytes(60)
    yield bytes(10) + bytes([5, 0, 0, 0, 0, 4]) + b"oops" + bytes([3]) + b"abc" + bytes(20)
    yield bytes(40)


TARGET = FuzzTarget(check, seeds, dictionary=(b"\xff" * 8, b"\x80\xed\xa0\x80"), max_bytes=600)
