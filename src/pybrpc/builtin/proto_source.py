"""The source of a message, an enum or a service in a .proto file, made of its descriptor.

C++ has DebugString for that; Python's descriptors don't. Options are left out but for `packed`,
`deprecated` and defaults.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from google.protobuf.descriptor import (
    Descriptor,
    EnumDescriptor,
    FieldDescriptor,
    ServiceDescriptor,
)

MAX_DEPTH = 32
"""Messages inside messages of which the source is written out."""

_NAMES = (
    "double float int64 uint64 int32 fixed64 fixed32 bool string bytes uint32 sfixed32 sfixed64 "
    "sint32 sint64"
)
_TYPES = {getattr(FieldDescriptor, f"TYPE_{name.upper()}"): name for name in _NAMES.split()}


def source_of(descriptor: Descriptor | EnumDescriptor | ServiceDescriptor) -> str:
    """Its source, with a line end at its end."""
    if isinstance(descriptor, ServiceDescriptor):
        lines = _service(descriptor)
    elif isinstance(descriptor, EnumDescriptor):
        lines = _enum(descriptor)
    else:
        lines = _message(descriptor, 0)
    return "\n".join([*lines, ""])


def _service(service: ServiceDescriptor) -> Iterator[str]:
    yield f"service {service.name} {{"
    for method in service.methods:
        request = _streamed(method, "client_streaming", method.input_type)
        response = _streamed(method, "server_streaming", method.output_type)
        yield f"  rpc {method.name}({request}) returns ({response});"
    yield "}"


def _streamed(method: Any, streaming: str, message: Descriptor) -> str:
    return f"{'stream ' if getattr(method, streaming, False) else ''}.{message.full_name}"


def _enum(enum: EnumDescriptor) -> Iterator[str]:
    yield f"enum {enum.name} {{"
    for value in enum.values:
        yield f"  {value.name} = {value.number};"
    yield "}"


def _message(message: Descriptor, depth: int) -> Iterator[str]:
    yield f"message {message.name} {{"
    if depth < MAX_DEPTH:
        for nested in message.nested_types:
            if not nested.GetOptions().map_entry:
                yield from _indented(_message(nested, depth + 1))
    for enum in message.enum_types:
        yield from _indented(_enum(enum))
    seen: set[str] = set()
    for field in message.fields:
        oneof = _real_oneof(field)
        if oneof is None:
            yield f"  {_field(field)}"
        elif oneof.name not in seen:
            seen.add(oneof.name)
            yield f"  oneof {oneof.name} {{"
            for each in oneof.fields:
                yield f"    {_field(each)}"
            yield "  }"
    yield "}"


def _indented(lines: Iterator[str]) -> Iterator[str]:
    return (f"  {line}" for line in lines)


def _real_oneof(field: FieldDescriptor) -> Any:
    """The oneof of a field; `None` for that which an `optional` field of proto3 has."""
    oneof = field.containing_oneof
    if oneof is None or (len(oneof.fields) == 1 and oneof.name.startswith("_")):
        return None
    return oneof


def _field(field: FieldDescriptor) -> str:
    name = f"{field.name} = {field.number}"
    message = field.message_type
    if message is not None and message.GetOptions().map_entry:
        key, value = (message.fields_by_name[each] for each in ("key", "value"))
        return f"map<{_type(key)}, {_type(value)}> {name};"
    return f"{_label(field)}{_type(field)} {name}{_options(field)};"


def _label(field: FieldDescriptor) -> str:
    if _is_labelled(field, "repeated"):
        return "repeated "
    if _is_labelled(field, "required"):
        return "required "
    is_plain = not field.has_presence or _real_oneof(field) is not None
    is_message = field.message_type is not None
    return "" if is_plain or (is_message and field.containing_oneof is None) else "optional "


def _is_labelled(field: Any, label: str) -> bool:
    """Whether it has it. Old releases of protobuf have no `is_repeated`, new ones no `label`."""
    answer = getattr(field, f"is_{label}", None)
    if answer is None:
        return bool(field.label == getattr(FieldDescriptor, f"LABEL_{label.upper()}"))
    return bool(answer)


def _type(field: FieldDescriptor) -> str:
    if field.message_type is not None:
        return f".{field.message_type.full_name}"
    if field.enum_type is not None:
        return f".{field.enum_type.full_name}"
    return _TYPES.get(field.type, "unknown")


def _options(field: FieldDescriptor) -> str:
    options = []
    if field.has_default_value:
        options.append(f"default = {_default(field)}")
    if field.GetOptions().deprecated:
        options.append("deprecated = true")
    return f" [{', '.join(options)}]" if options else ""


def _default(field: FieldDescriptor) -> str:
    value: Any = field.default_value
    if field.enum_type is not None:
        return str(field.enum_type.values_by_number[value].name)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, bytes):
        return json.dumps(value.decode("latin-1"))
    return json.dumps(value) if isinstance(value, str) else str(value)
