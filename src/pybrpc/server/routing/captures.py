"""Captures of restful paths: the fields that they may name, and the texts that they get."""

from __future__ import annotations

from urllib.parse import unquote_to_bytes

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from pybrpc.json2pb.names import decode_name
from pybrpc.json2pb.options import DEFAULT
from pybrpc.json2pb.schema import is_repeated


def check_capture(name: str, message: Descriptor) -> None:
    """ValueError if `{name}` can't be set in a request of that type.

    Names are those of json2pb.query: of a field as JSON has it, or, with dots, of one in a message
    inside. The type of the field is no message, and no message on the way to it is repeated.
    """
    fields = _fields_of(message)
    *outer, last = [name] if name in fields else name.split(".")
    if len(outer) > DEFAULT.json2pb_max_recursion_depth:
        raise ValueError("a capture leads into too many messages")
    for step in outer:
        field = _field_named(step, fields, message)
        if field.message_type is None or is_repeated(field):
            raise ValueError(
                f"{{{name}}} leads through {field.full_name}, which is not one message"
            )
        message = field.message_type
        fields = _fields_of(message)
    field = _field_named(last, fields, message)
    if field.message_type is not None:
        raise ValueError(f"{{{name}}} is {field.full_name}, a message, which no text can be")


def _fields_of(message: Descriptor) -> dict[str, FieldDescriptor]:
    return {decode_name(field.name): field for field in message.fields}


def _field_named(
    name: str, fields: dict[str, FieldDescriptor], message: Descriptor
) -> FieldDescriptor:
    if name not in fields:
        raise ValueError(f"{message.full_name} has no field {name!r} to capture")
    return fields[name]


def captured_text(component: str) -> str:
    """One component of a path, percent-decoded; a UnicodeError if that is no UTF-8.

    Bytes that were sent as they are count too: a path has them as lone surrogates
    ("surrogateescape") if they are no UTF-8. A percent sign that begins no escape is kept.
    """
    if "%" not in component and component.isascii():
        return component
    return unquote_to_bytes(component.encode("utf-8", "surrogateescape")).decode()
