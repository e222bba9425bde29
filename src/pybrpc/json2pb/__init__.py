"""JSON, proto-text and query strings to protobuf messages, and messages to JSON and proto-text.

`json_to_message` and `message_to_json` follow bRPC's json2pb: names as in the .proto file, 64-bit
integers as numbers, unknown keys ignored. `proto_json_to_message` and `message_to_proto_json` are
protobuf's own JSON. It knows nothing of HTTP.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pybrpc.base.lazy_names import lazy_names

if TYPE_CHECKING:
    from pybrpc.json2pb.errors import (
        ConversionError,
        DepthError,
        InvalidFieldError,
        InvalidInputError,
        MissingFieldError,
        SkippedValue,
    )
    from pybrpc.json2pb.json_to_pb import iter_json_messages, json_to_message
    from pybrpc.json2pb.options import JsonOptions
    from pybrpc.json2pb.pb_to_json import message_to_json
    from pybrpc.json2pb.proto_json import message_to_proto_json, proto_json_to_message
    from pybrpc.json2pb.proto_text import message_to_text, text_to_message
    from pybrpc.json2pb.query import query_to_message

__all__ = [
    "ConversionError",
    "DepthError",
    "InvalidFieldError",
    "InvalidInputError",
    "JsonOptions",
    "MissingFieldError",
    "SkippedValue",
    "iter_json_messages",
    "json_to_message",
    "message_to_json",
    "message_to_proto_json",
    "message_to_text",
    "proto_json_to_message",
    "query_to_message",
    "text_to_message",
]

_DEFINED_IN = {
    "ConversionError": "pybrpc.json2pb.errors",
    "DepthError": "pybrpc.json2pb.errors",
    "InvalidFieldError": "pybrpc.json2pb.errors",
    "InvalidInputError": "pybrpc.json2pb.errors",
    "JsonOptions": "pybrpc.json2pb.options",
    "MissingFieldError": "pybrpc.json2pb.errors",
    "SkippedValue": "pybrpc.json2pb.errors",
    "iter_json_messages": "pybrpc.json2pb.json_to_pb",
    "json_to_message": "pybrpc.json2pb.json_to_pb",
    "message_to_json": "pybrpc.json2pb.pb_to_json",
    "message_to_proto_json": "pybrpc.json2pb.proto_json",
    "message_to_text": "pybrpc.json2pb.proto_text",
    "proto_json_to_message": "pybrpc.json2pb.proto_json",
    "query_to_message": "pybrpc.json2pb.query",
    "text_to_message": "pybrpc.json2pb.proto_text",
}

if not TYPE_CHECKING:  # or any attribute would be known to type checkers
    __getattr__, __dir__ = lazy_names(__name__, _DEFINED_IN)
