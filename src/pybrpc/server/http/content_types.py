"""Content types of messages: which of them a body has, and what each does to a message.

bRPC: ParseContentType in src/brpc/policy/http_rpc_protocol.cpp.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from google.protobuf.message import DecodeError, Message

from pybrpc.json2pb import (
    ConversionError,
    JsonOptions,
    json_to_message,
    message_to_json,
    message_to_proto_json,
    message_to_text,
    proto_json_to_message,
    text_to_message,
)


class MessageForm(NamedTuple):
    """How a message is written in a body. `parse` raises ConversionError or DecodeError; told so by
    its last argument, it allows a message of JSON that lacks required fields."""

    name: str
    content_type: str
    parse: Callable[[bytes, type[Message], JsonOptions, bool], Message]
    write: Callable[[Message, JsonOptions], bytes]


def _parse_json(
    data: bytes, message_class: type[Message], options: JsonOptions, is_partial: bool
) -> Message:
    return json_to_message(data, message_class, options, is_partial=is_partial)


def _write_json(message: Message, options: JsonOptions) -> bytes:
    return message_to_json(message, options)


def _parse_proto(
    data: bytes, message_class: type[Message], options: JsonOptions, is_partial: bool
) -> Message:
    return message_class.FromString(data)


def _write_proto(message: Message, options: JsonOptions) -> bytes:
    return message.SerializePartialToString()


def _parse_proto_json(
    data: bytes, message_class: type[Message], options: JsonOptions, is_partial: bool
) -> Message:
    return proto_json_to_message(data, message_class)


def _write_proto_json(message: Message, options: JsonOptions) -> bytes:
    return message_to_proto_json(message)


def _parse_text(
    data: bytes, message_class: type[Message], options: JsonOptions, is_partial: bool
) -> Message:
    return text_to_message(data, message_class)


def _write_text(message: Message, options: JsonOptions) -> bytes:
    return message_to_text(message)


JSON: Final = MessageForm("json", "application/json", _parse_json, _write_json)
PROTO: Final = MessageForm("proto", "application/proto", _parse_proto, _write_proto)
SPRING: Final = MessageForm("proto", "application/x-protobuf", _parse_proto, _write_proto)
PROTO_JSON: Final = MessageForm(
    "proto-json", "application/proto-json", _parse_proto_json, _write_proto_json
)
PROTO_TEXT: Final = MessageForm("proto-text", "application/proto-text", _parse_text, _write_text)

_BY_TYPE = {form.content_type: form for form in (JSON, PROTO, SPRING, PROTO_JSON, PROTO_TEXT)}

PARSE_ERRORS: Final[tuple[type[Exception], ...]] = (ConversionError, DecodeError)
"""Errors of `parse` of a MessageForm."""


def form_of(content_type: str) -> MessageForm | None:
    """The form of a body with this Content-Type, whose parameters don't matter. `None` if it is
    not known."""
    form = _BY_TYPE.get(content_type)
    if form is None and content_type:
        form = _BY_TYPE.get(content_type.partition(";")[0].strip().lower())
    return form
