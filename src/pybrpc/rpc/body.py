"""Bodies of calls: protobuf messages to bytes and back, with the errors that bRPC gives."""

from __future__ import annotations

from collections.abc import Callable

from google.protobuf.message import DecodeError, Message

from pybrpc.errors import BadRequestError, BadResponseError, InternalServerError, Phase
from pybrpc.iobuf import BytesLike
from pybrpc.protocols.message import RpcRequest, RpcResponse

_CONTENT_TYPES = {0: "pb", 1: "json", 2: "proto-json", 3: "proto-text"}
_COMPRESS_TYPES = {0: "none", 1: "snappy", 2: "gzip", 3: "zlib", 4: "lz4"}
_CHECKSUM_TYPES = {0: "none", 1: "crc32c"}


def serialize_request(request: Message, request_class: type[Message]) -> bytes:
    """The bytes of a request; BadRequestError, before anything is sent, if it can't be one."""
    if type(request) is not request_class and not isinstance(request, request_class):
        raise BadRequestError(
            f"request must be a {request_class.DESCRIPTOR.full_name}, not {_name_of(request)}",
            phase=Phase.QUEUED,
        )
    if not request.IsInitialized():
        missing = _missing_fields(request)
        raise BadRequestError(f"Missing required fields in request: {missing}", phase=Phase.QUEUED)
    return request.SerializePartialToString()


def serialize_response(response: object, response_class: type[Message]) -> bytes:
    """The bytes of what a handler returned.

    InternalServerError if it is no such message at all, BadResponseError if fields are missing.
    """
    if not isinstance(response, response_class):
        raise InternalServerError(
            f"the handler returned {_name_of(response)}, "
            f"not a {response_class.DESCRIPTOR.full_name}"
        )
    if not response.IsInitialized():
        missing = _missing_fields(response)
        raise BadResponseError(f"Missing required fields in response: {missing}")
    return response.SerializePartialToString()


def parse_request(request: RpcRequest, request_class: type[Message]) -> Message:
    """The request message; BadRequestError with bRPC's text if it doesn't parse."""
    parsed = _parse(request, request_class)
    if parsed is None:
        raise BadRequestError(f"Fail to parse request={_what(request, request_class)}")
    return parsed


def parse_response(response: RpcResponse, response_class: type[Message]) -> Message:
    """The response message; BadResponseError with bRPC's text if it doesn't parse."""
    parsed = _parse(response, response_class)
    if parsed is None:
        raise BadResponseError(
            f"Fail to parse response={_what(response, response_class)}", phase=Phase.WAITING
        )
    return parsed


def _missing_fields(message: Message) -> str:
    find: Callable[[], list[str]] = getattr(message, "FindInitializationErrors")  # noqa: B009
    return ", ".join(find())


def _parse(carrier: RpcRequest | RpcResponse, message_class: type[Message]) -> Message | None:
    if carrier.compress_type or carrier.content_type or carrier.checksum_type:
        return None
    body: BytesLike = carrier.body
    try:
        message = message_class.FromString(body if type(body) is bytes else bytes(body))
    except DecodeError:
        return None
    return message if message.IsInitialized() else None


def _what(carrier: RpcRequest | RpcResponse, message_class: type[Message]) -> str:
    size = len(carrier.body) + (len(carrier.attachment) if carrier.attachment else 0)
    return (
        f"{message_class.DESCRIPTOR.full_name}, "
        f"ContentType={_named(_CONTENT_TYPES, carrier.content_type)}, "
        f"CompressType={_named(_COMPRESS_TYPES, carrier.compress_type)}, "
        f"ChecksumType={_named(_CHECKSUM_TYPES, carrier.checksum_type)}, "
        f"request_size={size}"
    )


def _named(names: dict[int, str], value: int | None) -> str:
    return names.get(value or 0, "unknown")


def _name_of(thing: object) -> str:
    descriptor = getattr(thing, "DESCRIPTOR", None)
    return getattr(descriptor, "full_name", None) or type(thing).__name__
