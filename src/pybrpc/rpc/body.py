"""Bodies of calls: protobuf messages to bytes and back, with the errors that bRPC gives.

A message that is sent is serialized, then compressed, then checksummed; of a message that is
received the checksum is verified first. The texts are those of bRPC, with the reason added. Source:
SerializeRpcMessage and DeserializeRpcMessage of src/brpc/policy/baidu_rpc_protocol.cpp.

A MessageType has looked up the methods of a message class once: looking one up costs upb as much as
parsing a small message. So does `IsInitialized`, which goes through all fields, although in most
messages none can be missing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any

from google.protobuf.message import DecodeError, Message

from pybrpc.base.checked_options import shown
from pybrpc.errors import BadRequestError, BadResponseError, InternalServerError, Phase
from pybrpc.iobuf import BytesLike, IOBuf
from pybrpc.protocols.message import RpcRequest, RpcResponse
from pybrpc.protocols.protocol import DEFAULT_MAX_BODY_SIZE
from pybrpc.rpc.body_encoding import PLAIN, BodyEncoding, EncodedBody
from pybrpc.rpc.body_error import BodyError
from pybrpc.rpc.checksum import checksum_name, verify_checksum
from pybrpc.rpc.compress import compress_name, decompress
from pybrpc.rpc.controller import Controller
from pybrpc.rpc.long_field import LONG_BYTES, can_have_long_field, serialize_in_blocks


class MessageType:
    """How messages of one class become bytes, and bytes messages."""

    __slots__ = (
        "_can_be_long",
        "_from_string",
        "_serialize",
        "_was_long",
        "can_be_incomplete",
        "message_class",
    )

    def __init__(self, message_class: type[Message]) -> None:
        self.message_class = message_class
        self.can_be_incomplete = can_be_incomplete(message_class.DESCRIPTOR)
        """Whether such a message may lack required fields."""
        self._serialize: Any = message_class.SerializePartialToString
        self._from_string: Any = message_class.FromString
        self._can_be_long = can_have_long_field(message_class.DESCRIPTOR)
        self._was_long = False
        """Whether the last message that was serialized was long: then so may be the next one."""

    @property
    def full_name(self) -> str:
        return str(self.message_class.DESCRIPTOR.full_name)

    def has(self, message: object) -> bool:
        """Whether `message` is of this class."""
        return type(message) is self.message_class or isinstance(message, self.message_class)

    def is_complete(self, message: Message) -> bool:
        """Whether `message` has all required fields."""
        return not self.can_be_incomplete or message.IsInitialized()

    def serialize(self, message: Message) -> bytes:
        """The bytes of `message`, also of an incomplete one."""
        data: bytes = self._serialize(message)
        return data

    def serialize_body(self, message: Message) -> bytes | IOBuf:
        """`serialize`; an IOBuf if a long field was not copied into one block with the rest."""
        if self._was_long:
            blocks = serialize_in_blocks(message)
            if blocks is not None:
                return blocks
        data: bytes = self._serialize(message)
        self._was_long = self._can_be_long and len(data) >= LONG_BYTES
        return data

    def parse(self, data: bytes | memoryview) -> Message:
        """The message in `data`, also an incomplete one; DecodeError if there is none.

        A view is not copied first: a large message would need twice as much new memory.
        """
        message: Message = self._from_string(data)
        return message

    def __repr__(self) -> str:
        return f"<MessageType {self.full_name}>"


def can_be_incomplete(descriptor: Any) -> bool:
    """Whether a message with this descriptor has required fields, or can hold such a message.

    Extensions are not examined: where there may be some, the answer is yes.
    """
    seen: set[str] = set()
    waiting = [descriptor]
    while waiting:
        found = waiting.pop()
        if found.full_name in seen:
            continue
        seen.add(found.full_name)
        if found.is_extendable:
            return True
        for field in found.fields:
            if _is_required(field):
                return True
            if field.message_type is not None:
                waiting.append(field.message_type)
    return False


def _is_required(field: Any) -> bool:
    told: bool | None = getattr(field, "is_required", None)
    # protobuf before 6 has the label alone, later ones warn of it, and the last ones lack it.
    return bool(field.label == field.LABEL_REQUIRED) if told is None else told


_CONTENT_TYPES = {0: "pb", 1: "json", 2: "proto-json", 3: "proto-text"}


def serialize_request(
    request: Message,
    request_type: MessageType,
    controller: Controller | None = None,
    encoding: BodyEncoding = PLAIN,
) -> bytes | IOBuf | EncodedBody:
    """The body of a request, encoded by `encoding`, unless `controller` asks for something else.
    An IOBuf may be long, and is not encoded.

    BadRequestError, before anything is sent, if `request` is not allowed.
    """
    if not request_type.has(request):
        name = shown(request) if isinstance(request, type) else _name_of(request)
        raise BadRequestError(
            f"request must be a {request_type.full_name}, not {name}",
            phase=Phase.QUEUED,
        )
    if not request_type.is_complete(request):
        missing = _missing_fields(request)
        raise BadRequestError(f"Missing required fields in request: {missing}", phase=Phase.QUEUED)
    if controller is not None:
        encoding = encoding.of_call(controller)
    if encoding is PLAIN:
        return request_type.serialize_body(request)
    body = request_type.serialize(request)
    try:
        return encoding.encode(body, None if controller is None else controller._request_attachment)
    except BodyError as error:
        form = _form(request_type, 0, encoding.compress_type, encoding.checksum_type)
        text = f"Fail to compress request={form}{_reason(error)}"
        raise BadRequestError(text, phase=Phase.QUEUED) from None


def serialize_response(
    response: object, response_type: MessageType, controller: Controller | None = None
) -> bytes | IOBuf:
    """The bytes of a handler's result, compressed as `controller` asks; the checksum is stored
    in `controller`. An IOBuf may be long, and is not compressed.

    InternalServerError if it is not such a message, BadResponseError if fields are missing or it
    can't be compressed or checksummed.
    """
    message = check_response(response, response_type)
    if controller is None:
        return response_type.serialize_body(message)
    compress_type = controller._response_compress_type or 0
    checksum_type = controller._response_checksum_type or 0
    if not (compress_type or checksum_type):
        return response_type.serialize_body(message)
    body = response_type.serialize(message)
    encoding = BodyEncoding(
        compress_type, checksum_type, bool(controller._response_checksum_attachment)
    )
    try:
        encoded = encoding.encode(body, controller._response_attachment)
    except BodyError as error:
        form = _form(response_type, 0, compress_type, checksum_type)
        raise BadResponseError(f"Fail to serialize response={form}{_reason(error)}") from None
    assert isinstance(encoded, EncodedBody)
    controller._checksum_value = encoded.checksum_value
    return encoded.data


def check_response(response: object, response_type: MessageType) -> Any:
    """Return a handler's result. InternalServerError if it is not such a message, BadResponseError
    if fields are missing."""
    if not response_type.has(response):
        if isinstance(response, Coroutine):  # the caller closes it
            text = "the handler returned a coroutine: make it an async def, and await there"
            raise InternalServerError(text)
        if isinstance(response, Iterator | AsyncIterator):
            text = "the handler returned a generator: only HTTP carries a response that streams"
            raise InternalServerError(text)
        raise InternalServerError(
            f"the handler returned {_name_of(response)}, not a {response_type.full_name}"
        )
    message: Any = response
    if not response_type.is_complete(message):
        missing = _missing_fields(message)
        raise BadResponseError(f"Missing required fields in response: {missing}")
    return message


def parse_request(
    request: RpcRequest,
    request_type: MessageType,
    max_body_size: int = DEFAULT_MAX_BODY_SIZE,
) -> Message:
    """The request message; BadRequestError with bRPC's text if it doesn't parse.

    `max_body_size`: bytes that the decompressed body may have.
    """
    try:
        if not (request.content_type or request.checksum_type or request.compress_type):
            return _parse_plain(request.body, request_type)
        return _parse(request, request_type, max_body_size)
    except BodyError as error:
        text = f"Fail to parse request={_what(request, request_type)}{_reason(error)}"
        raise BadRequestError(text) from None


def parse_response(
    response: RpcResponse,
    response_type: MessageType,
    max_body_size: int = DEFAULT_MAX_BODY_SIZE,
) -> Message:
    """The response message; BadResponseError with bRPC's text if it doesn't parse.

    `max_body_size` as for `parse_request`.
    """
    try:
        if not (response.content_type or response.checksum_type or response.compress_type):
            return _parse_plain(response.body, response_type)
        return _parse(response, response_type, max_body_size)
    except BodyError as error:
        text = f"Fail to parse response={_what(response, response_type)}{_reason(error)}"
        raise BadResponseError(text, phase=Phase.WAITING) from None


def _parse(
    carrier: RpcRequest | RpcResponse, message_type: MessageType, max_body_size: int
) -> Message:
    if carrier.content_type:
        raise BodyError
    body: BytesLike = carrier.body
    if carrier.checksum_type:
        covered = carrier.attachment if carrier.checksum_with_attachment else None
        verify_checksum(carrier.checksum_type, carrier.checksum_value or b"", body, covered)
    if carrier.compress_type:
        body = decompress(body, carrier.compress_type, max_body_size)
    return _parse_plain(body, message_type)


def _parse_plain(body: BytesLike, message_type: MessageType) -> Message:
    """Parse a body whose checksum was verified, and which is decompressed."""
    try:
        if type(body) is not bytes and type(body) is not memoryview:
            body = bytes(body)
        message = message_type.parse(body)
    except DecodeError:
        raise BodyError from None
    if not message_type.is_complete(message):
        raise BodyError
    return message


def missing_fields(message: Message) -> list[str]:
    """The names of the required fields that `message` lacks."""
    find: Callable[[], list[str]] = getattr(message, "FindInitializationErrors")  # noqa: B009
    return find()


def _missing_fields(message: Message) -> str:
    return ", ".join(missing_fields(message))


def _what(carrier: RpcRequest | RpcResponse, message_type: MessageType) -> str:
    size = len(carrier.body) + (len(carrier.attachment) if carrier.attachment else 0)
    form = _form(message_type, carrier.content_type, carrier.compress_type, carrier.checksum_type)
    return f"{form}, request_size={size}"


def _form(
    message_type: MessageType,
    content_type: int | None,
    compress_type: int | None,
    checksum_type: int | None,
) -> str:
    return (
        f"{message_type.full_name}, "
        f"ContentType={_CONTENT_TYPES.get(content_type or 0, 'unknown')}, "
        f"CompressType={compress_name(compress_type or 0)}, "
        f"ChecksumType={checksum_name(checksum_type or 0)}"
    )


def _reason(error: BodyError) -> str:
    return f": {error}" if error.args else ""


def _name_of(thing: object) -> str:
    if isinstance(thing, type):
        return f"the class {thing.__name__}"
    descriptor = getattr(thing, "DESCRIPTOR", None)
    return getattr(descriptor, "full_name", None) or type(thing).__name__
