"""The text format of protobuf, `application/proto-text`, by google.protobuf.text_format."""

from __future__ import annotations

from typing import TypeVar

from google.protobuf import text_format
from google.protobuf.message import Message

from pybrpc.json2pb.errors import DepthError, InvalidInputError, shown
from pybrpc.json2pb.json_values import JsonText, utf8_of
from pybrpc.json2pb.options import MAX_DEPTH
from pybrpc.json2pb.required import check_required, is_deeper

M = TypeVar("M", bound=Message)

_TOO_DEEP = "Exceeded maximum recursion depth"


def text_to_message(data: JsonText, message_class: type[M]) -> M:
    """The message that a text describes. ConversionError if there is none, or if it has a field
    that the message has not."""
    message = message_class()
    raw = utf8_of(data)
    try:
        text_format.Parse(raw.decode(), message)
    except RecursionError:
        raise DepthError(f"{_TOO_DEEP} [{message.DESCRIPTOR.name}]") from None
    except UnicodeDecodeError as error:
        raise InvalidInputError("Invalid text: no UTF-8", error.start) from None
    except text_format.ParseError as error:
        raise InvalidInputError(shown(f"Invalid text: {error}")) from None
    if is_deeper(message, MAX_DEPTH):
        raise DepthError(f"{_TOO_DEEP} [{message.DESCRIPTOR.name}]")
    check_required(message)
    return message


def message_to_text(message: Message) -> bytes:
    """`message` in the text format, one field a line."""
    if is_deeper(message, MAX_DEPTH):
        raise DepthError(_TOO_DEEP)
    check_required(message)
    return text_format.MessageToString(message, as_utf8=True).encode()
