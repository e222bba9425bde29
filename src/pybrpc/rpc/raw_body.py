"""Raw bodies: bytes that are sent and received as they are, without a protobuf message.

Nothing is compressed or decompressed: `compress_type` goes along as the sender has said it. A
checksum covers the bytes as they travel, so it is computed and verified as for messages.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import TypeAlias

from pybrpc.errors import BadRequestError, BadResponseError, InternalServerError, Phase
from pybrpc.iobuf import IOBuf
from pybrpc.protocols.message import RpcRequest, RpcResponse
from pybrpc.rpc.body_encoding import PLAIN, BodyEncoding, EncodedBody
from pybrpc.rpc.body_error import BodyError
from pybrpc.rpc.checksum import verify_checksum
from pybrpc.rpc.controller import Controller

RawBody: TypeAlias = bytes | bytearray | memoryview | IOBuf
"""The types that may be sent as a body."""


def serialize_raw_request(
    body: object, controller: Controller | None = None, encoding: BodyEncoding = PLAIN
) -> bytes | EncodedBody:
    """The body of a request. `encoding` says how it is sent, unless `controller` does.

    BadRequestError, before anything is sent, if `body` is no bytes or can't be checksummed.
    """
    data = _bytes_of(body)
    if data is None:
        text = f"request must be bytes or a pybrpc.IOBuf, not {_name_of(body)}"
        raise BadRequestError(text, phase=Phase.QUEUED)
    attachment = None
    if controller is not None:
        encoding = encoding.of_call(controller)
        attachment = controller._request_attachment
    try:
        return encoding.describe(data, attachment)
    except BodyError as error:
        raise BadRequestError(f"Fail to send request: {error}", phase=Phase.QUEUED) from None


def serialize_raw_response(response: object, controller: Controller) -> bytes:
    """The body of a response; its checksum, if `controller` asks for one, is stored there.

    InternalServerError if `response` is no bytes, BadResponseError if it can't be checksummed.
    """
    data = _bytes_of(response)
    if data is None:
        if isinstance(response, Coroutine):  # the caller closes it
            text = "the handler returned a coroutine: make it an async def, and await there"
            raise InternalServerError(text)
        raise InternalServerError(f"the handler returned {_name_of(response)}, not bytes")
    encoding = BodyEncoding(
        controller._response_compress_type or 0,
        controller._response_checksum_type or 0,
        bool(controller._response_checksum_attachment),
    )
    try:
        described = encoding.describe(data, controller._response_attachment)
    except BodyError as error:
        raise BadResponseError(f"Fail to send response: {error}") from None
    if isinstance(described, EncodedBody):
        controller._checksum_value = described.checksum_value
    return data


def parse_raw_request(request: RpcRequest) -> bytes:
    """The bytes of a request as they came; BadRequestError if the checksum is wrong."""
    try:
        return _verified(request)
    except BodyError as error:
        raise BadRequestError(f"Fail to read request: {error}") from None


def parse_raw_response(response: RpcResponse) -> bytes:
    """The bytes of a response as they came; BadResponseError if the checksum is wrong."""
    try:
        return _verified(response)
    except BodyError as error:
        raise BadResponseError(f"Fail to read response: {error}", phase=Phase.WAITING) from None


def _verified(carrier: RpcRequest | RpcResponse) -> bytes:
    if carrier.content_type:
        raise BodyError(f"content_type={carrier.content_type} is not supported; 0, protobuf, is")
    body = carrier.body
    if carrier.checksum_type:
        covered = carrier.attachment if carrier.checksum_with_attachment else None
        verify_checksum(carrier.checksum_type, carrier.checksum_value or b"", body, covered)
    return body if type(body) is bytes else bytes(body)


def _bytes_of(body: object) -> bytes | None:
    """A copy that can't change, `body` itself if it is `bytes`; `None` if it is no bytes."""
    if type(body) is bytes:
        return body
    return bytes(body) if isinstance(body, bytes | bytearray | memoryview | IOBuf) else None


def _name_of(thing: object) -> str:
    return f"the class {thing.__name__}" if isinstance(thing, type) else type(thing).__name__
