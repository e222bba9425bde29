"""Message classes for metas, made from tables of their fields.

A table has the field numbers of bRPC's .proto files, and differs from those where the wire does
not: text is `bytes`, because C++ neither checks nor promises UTF-8; required fields are optional,
and the code that uses them checks them; enums are int32; a map is a list of entries.

The classes are built from tables, because code that protoc generates refuses another major version
of the protobuf runtime. Each table has a pool of its own, because two packages can't register the
same file name in the default one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto

_TYPES = {
    "int32": FieldDescriptorProto.TYPE_INT32,
    "int64": FieldDescriptorProto.TYPE_INT64,
    "sint64": FieldDescriptorProto.TYPE_SINT64,
    "uint64": FieldDescriptorProto.TYPE_UINT64,
    "bool": FieldDescriptorProto.TYPE_BOOL,
    "bytes": FieldDescriptorProto.TYPE_BYTES,
}


def message_classes(package: str, messages: Mapping[str, str]) -> dict[str, Any]:
    """The class of each message by its name. `messages` has a line for each field, such as
    "repeated int64 ids = 4"; the type may be one of `messages`.

    `Any`: the attributes of these classes are only known at run time.
    """
    file = FileDescriptorProto(name=f"{package}.proto", package=package, syntax="proto2")
    for name, fields in messages.items():
        message = file.message_type.add(name=name)
        for line in fields.strip().splitlines():
            _add_field(message, line, package)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.{name}"))
        for name in messages
    }


def _add_field(message: Any, line: str, package: str) -> None:
    *label, type_name, name, _, number = line.split()
    field = message.field.add(name=name, number=int(number))
    repeated = label == ["repeated"]
    field.label = (
        FieldDescriptorProto.LABEL_REPEATED if repeated else FieldDescriptorProto.LABEL_OPTIONAL
    )
    if type_name in _TYPES:
        field.type = _TYPES[type_name]
    else:
        field.type = FieldDescriptorProto.TYPE_MESSAGE
        field.type_name = f".{package}.{type_name}"
