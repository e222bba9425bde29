"""Protobuf's own JSON, `application/proto-json`, by google.protobuf.json_format.

Unknown keys are ignored, as by bRPC's server. Names are in camelCase, 64-bit integers are strings,
and Any, Timestamp and the like have forms of their own.
"""

from __future__ import annotations

from typing import TypeVar

from google.protobuf import json_format
from google.protobuf.message import Message

from pybrpc.json2pb import json_values
from pybrpc.json2pb.errors import DepthError, InvalidFieldError, InvalidInputError, shown
from pybrpc.json2pb.json_values import BAD_ENCODING, INVALID, JsonText
from pybrpc.json2pb.options import MAX_DEPTH
from pybrpc.json2pb.required import check_required, is_deeper

M = TypeVar("M", bound=Message)

_SPECIAL = "google.protobuf."
"""Types whose JSON need not be an object: json_format would take [] for any other type too."""
_TOO_DEEP = "Exceeded maximum recursion depth"


def proto_json_to_message(data: JsonText, message_class: type[M]) -> M:
    """The message that a text of protobuf's JSON describes; ConversionError if there is none."""
    name = message_class.DESCRIPTOR.name
    raw = json_values.utf8_of(data)
    if json_values.is_nested_deeper(raw, 2 * MAX_DEPTH + 2):
        raise DepthError(f"{_TOO_DEEP} [{name}]")
    message = message_class()
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise InvalidInputError(f"{INVALID}{BAD_ENCODING} [{name}]", error.start) from None
    if text.lstrip()[:1] != "{" and not message_class.DESCRIPTOR.full_name.startswith(_SPECIAL):
        raise InvalidFieldError(f"The input is not a json object [{name}]")
    try:
        json_format.Parse(text, message, ignore_unknown_fields=True)
    except RecursionError:
        raise DepthError(f"{_TOO_DEEP} [{name}]") from None
    except _ERRORS as error:
        raise InvalidFieldError(shown(f"Invalid json: {error}")) from None
    check_required(message)
    return message


def message_to_proto_json(message: Message) -> bytes:
    """`message` in protobuf's JSON, on one line; ConversionError if it has none."""
    if is_deeper(message, MAX_DEPTH):
        raise DepthError(_TOO_DEEP)
    check_required(message)
    try:
        return json_format.MessageToJson(message, indent=None, ensure_ascii=False).encode()
    except RecursionError:
        raise DepthError(_TOO_DEEP) from None
    except _ERRORS as error:
        raise InvalidFieldError(shown(str(error))) from None


# json_format lets other errors than its own out, for input that is wrong.
_ERRORS = (json_format.Error, ValueError, TypeError, KeyError, AttributeError, OverflowError)
