"""Serializes a message with a long bytes field, and copies that field once.

protobuf copies a field twice when it serializes: into memory of its own, which it enlarges to a
power of two, and from there into a `bytes`. For a moment that needs three times the memory of a
message. So a long field is not left to protobuf: the `bytes` that its getter makes becomes a block
of the body. The result is what protobuf would give, byte for byte.
"""

from __future__ import annotations

from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet

from pybrpc.iobuf import IOBuf

LONG_BYTES = 256 * 1024
"""Shorter fields are left to protobuf."""

_LENGTH_DELIMITED = 2


def can_have_long_field(descriptor: Any) -> bool:
    """Whether messages with this descriptor may be serialized in blocks.

    It has a bytes field, and besides only fields that are quickly copied to another message: no
    messages, no repeated text or bytes, no extensions.
    """
    fields = descriptor.fields
    return (
        not descriptor.is_extendable
        and any(_is_bytes(field) for field in fields)
        and all(_is_quickly_copied(field) for field in fields)
    )


def serialize_in_blocks(message: Message) -> IOBuf | None:
    """The bytes of a message, whose class `can_have_long_field`. `None` if no field is long, or if
    protobuf has to do it."""
    try:
        fields = message.ListFields()
    except ValueError:  # a text that is no UTF-8
        return None
    if not any(_is_long(field, value) for field, value in fields) or _has_unknown_fields(message):
        return None
    body = IOBuf()
    others: Message | None = None
    for field, value in fields:  # in the order of their numbers
        if _is_long(field, value):
            start = b"" if others is None else others.SerializePartialToString()
            body.append(start + _tag_and_size(field, len(value)))
            body.append(value)
            others = None
        else:
            if others is None:
                others = type(message)()
            _copy(field, value, others)
    if others is not None:
        body.append(others.SerializePartialToString())
    return body


def _is_long(field: FieldDescriptor, value: Any) -> bool:
    return type(value) is bytes and len(value) >= LONG_BYTES and _is_bytes(field)


def _is_bytes(field: FieldDescriptor) -> bool:
    return field.type == FieldDescriptor.TYPE_BYTES and not _is_repeated(field)


def _is_quickly_copied(field: FieldDescriptor) -> bool:
    if field.cpp_type == FieldDescriptor.CPPTYPE_MESSAGE:
        return False
    return not (_is_repeated(field) and field.cpp_type == FieldDescriptor.CPPTYPE_STRING)


def _is_repeated(field: Any) -> bool:
    told: bool | None = getattr(field, "is_repeated", None)
    # protobuf before 6 has the label alone, and later ones warn of it.
    return bool(field.label == field.LABEL_REPEATED) if told is None else told


def _has_unknown_fields(message: Message) -> bool:
    return len(UnknownFieldSet(message)) > 0


def _copy(field: FieldDescriptor, value: Any, target: Message) -> None:
    if _is_repeated(field):
        getattr(target, field.name).extend(value)
    else:
        setattr(target, field.name, value)


def _tag_and_size(field: FieldDescriptor, size: int) -> bytes:
    return _varint(field.number << 3 | _LENGTH_DELIMITED) + _varint(size)


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
