"""Bodies of HTTP: which Content-Types are those of messages, and messages as such bodies.

bRPC: ParseContentType and SerializeHttpRequest, src/brpc/policy/http_rpc_protocol.cpp.
"""

from __future__ import annotations

import enum
from typing import Any

from google.protobuf.message import DecodeError, Message

from pybrpc.iobuf.iobuf import IOBuf
from pybrpc.json2pb import (
    JsonOptions,
    json_to_message,
    message_to_json,
    message_to_proto_json,
    message_to_text,
    proto_json_to_message,
    text_to_message,
)
from pybrpc.json2pb.errors import ConversionError
from pybrpc.json2pb.options import DEFAULT
from pybrpc.rpc.body_error import BodyError
from pybrpc.rpc.compress import CompressType, decompress

MIN_GZIP_BYTES = 512
"""Shorter bodies are not compressed; the default of bRPC's -http_body_compress_threshold."""

GZIP_ENCODINGS = frozenset(("gzip", "x-gzip"))


class HttpContentType(enum.Enum):
    """The forms of messages in bodies; the value is the Content-Type that is sent."""

    JSON = "application/json"
    """JSON by bRPC's rules, json2pb."""
    PROTO = "application/proto"
    PROTO_JSON = "application/proto-json"
    """protobuf's own JSON."""
    PROTO_TEXT = "application/proto-text"


_TYPES = {kind.value: kind for kind in HttpContentType} | {
    "application/x-protobuf": HttpContentType.PROTO  # of Spring
}


def content_type_in(text: str) -> HttpContentType | None:
    """The form that a Content-Type names, parameters aside; `None` if it is none of messages."""
    return _TYPES.get(text.partition(";")[0].strip(" \t").lower())


def message_to_body(
    message: Message, content_type: HttpContentType, json_options: JsonOptions = DEFAULT
) -> bytes:
    """`message`, which has all its required fields, in a body. BodyError if that is impossible."""
    try:
        if content_type is HttpContentType.JSON:
            return message_to_json(message, json_options)
        if content_type is HttpContentType.PROTO:
            return message.SerializeToString()
        if content_type is HttpContentType.PROTO_JSON:
            return message_to_proto_json(message)
        return message_to_text(message)
    except ConversionError as error:
        raise BodyError(str(error)) from None


def body_to_message(
    body: bytes,
    message_class: type[Message],
    content_type: HttpContentType,
    json_options: JsonOptions = DEFAULT,
) -> Message:
    """The message in a body; BodyError if there is none, or a required field is missing."""
    try:
        if content_type is HttpContentType.JSON:
            return json_to_message(body, message_class, json_options)
        if content_type is HttpContentType.PROTO:
            return _parsed(body, message_class)
        if content_type is HttpContentType.PROTO_JSON:
            return proto_json_to_message(body, message_class)
        return text_to_message(body, message_class)
    except ConversionError as error:
        raise BodyError(str(error)) from None


def plain_body(body: IOBuf, content_encoding: str | None, max_body_size: int) -> bytes:
    """The bytes of a body without its Content-Encoding, of which gzip is known. BodyError if it is
    damaged, or becomes more than `max_body_size` bytes."""
    data = bytes(body)
    encoding = (content_encoding or "").strip(" \t").lower()
    if not data or encoding in ("", "identity"):
        return data
    if encoding not in GZIP_ENCODINGS:
        raise BodyError(f"the Content-Encoding {encoding[:64]!r} is not supported; gzip is")
    return bytes(decompress(data, CompressType.GZIP, max_body_size))


def _parsed(body: bytes, message_class: type[Message]) -> Message:
    message: Any = message_class()
    try:
        message.ParseFromString(body)
    except DecodeError:
        raise BodyError("the body is no such message of protobuf") from None
    if not message.IsInitialized():
        missing = ", ".join(message.FindInitializationErrors())
        raise BodyError(f"missing required fields: {missing}")
    return message  # type: ignore[no-any-return]
