"""Message classes from tables of their fields, for any protobuf runtime, without protoc."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto

_LABELS = {"required": 2, "optional": 1, "repeated": 3}


def make_messages(
    package: str,
    messages: Mapping[str, str],
    enums: Mapping[str, str] | None = None,
    extensions: str = "",
    syntax: str = "proto2",
) -> SimpleNamespace:
    """The class of each message, by its name, and `pool`.

    messages    by names, such as "Person" and, nested in it, "Person.Phone". A line for each field:
                "required string name = 1", "map<string, int32> ids = 2", "oneof choice: A a = 3",
                "optional Kind kind = 4 [HOME]" with its default; "extensions 100 to 200".
    enums       their values, such as "MOBILE = 0, HOME = 1"
    extensions  fields with the type that they extend first: "Person: optional string hobby = 100"
    """
    file = FileDescriptorProto(name=f"{package or 'root'}.proto", package=package, syntax=syntax)
    protos: dict[str, Any] = {}
    for name in messages:
        outer, _, short = name.rpartition(".")
        protos[name] = (protos[outer].nested_type if outer else file.message_type).add(name=short)
    enum_names = set(enums or ())
    for name, values in (enums or {}).items():
        outer, _, short = name.rpartition(".")
        enum = (protos[outer].enum_type if outer else file.enum_type).add(name=short)
        for value in values.split(","):
            label, _, number = value.partition("=")
            enum.value.add(name=label.strip(), number=int(number))
    prefix = f".{package}." if package else "."
    known = {**dict.fromkeys(messages, 11), **dict.fromkeys(enum_names, 14)}
    for name, lines in messages.items():
        for line in filter(None, map(str.strip, lines.splitlines())):
            _add_line(protos[name], line, known, f"{prefix}{name}", prefix)
        for field in protos[name].field:  # after all other oneofs
            if field.proto3_optional:
                field.oneof_index = len(protos[name].oneof_decl)
                protos[name].oneof_decl.add(name=f"_{field.name}")
    for line in filter(None, map(str.strip, extensions.splitlines())):
        extended, _, rest = line.partition(":")
        field = file.extension.add(extendee=f"{prefix}{extended}")
        _fill(field, rest.strip(), known, prefix)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    found = SimpleNamespace(pool=pool)
    for name in messages:
        descriptor = pool.FindMessageTypeByName(f"{prefix[1:]}{name}")
        setattr(found, name.replace(".", "_"), message_factory.GetMessageClass(descriptor))
    return found


def _add_line(
    message: Any, line: str, known: Mapping[str, int], full_name: str, prefix: str
) -> None:
    if line.startswith("extensions"):
        _, start, _, end = line.split()
        message.extension_range.add(start=int(start), end=int(end) + 1)
        return
    if line.startswith("map<"):
        types, _, rest = line.removeprefix("map<").partition(">")
        name = rest.split()[0]
        entry = message.nested_type.add(name=f"{name.title().replace('_', '')}Entry")
        entry.options.map_entry = True
        key, value = (one.strip() for one in types.split(","))
        _fill(entry.field.add(), f"optional {key} key = 1", known, prefix)
        _fill(entry.field.add(), f"optional {value} value = 2", known, prefix)
        field = message.field.add(name=name, number=int(rest.split("=")[1]), label=3, type=11)
        field.type_name = f"{full_name}.{entry.name}"
        return
    field = message.field.add()
    if line.startswith("oneof "):
        oneof, _, line = line.removeprefix("oneof ").partition(":")
        if oneof not in [one.name for one in message.oneof_decl]:
            message.oneof_decl.add(name=oneof)
        field.oneof_index = [one.name for one in message.oneof_decl].index(oneof)
    if line.startswith("proto3_optional "):
        line = line.removeprefix("proto3_")
        field.proto3_optional = True
    _fill(field, line.strip(), known, prefix)


def _fill(field: Any, line: str, known: Mapping[str, int], prefix: str) -> None:
    line, _, default = line.partition("[")
    declared, _, number = line.partition("=")
    words = declared.split()
    field.label = _LABELS[words.pop(0)] if words[0] in _LABELS else 1
    type_name, field.name = words
    field.number = int(number)
    if type_name == "group":  # its type is named as it is, with a capital
        field.type, field.type_name = 10, f"{prefix}{field.name.title()}"
    elif type_name in known:
        field.type, field.type_name = known[type_name], f"{prefix}{type_name}"
    else:
        field.type = FieldDescriptorProto.Type.Value(f"TYPE_{type_name.upper()}")
    if default:
        field.default_value = default.rstrip("] ")
