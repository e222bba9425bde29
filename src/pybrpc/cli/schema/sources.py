"""The sources that /protobufs of a server in C++ shows, back to descriptors.

C++ prints each message, enum and service by DebugString: one statement a line, all names of types
in full. What it can't say is guessed: which names are packages, and the syntax of the file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    ServiceDescriptorProto,
)

from pybrpc.cli.command import CommandError
from pybrpc.cli.schema.imports import owner_of, with_imports

_FIELD = re.compile(
    r"(?:(?P<label>required|optional|repeated) )?(?P<type>\.?[\w.]+) (?P<name>\w+)"
    r" = (?P<number>\d+)(?: \[(?P<options>.*)\])?;"
)
_MAP = re.compile(r"map<(?P<key>\w+), (?P<value>\.?[\w.]+)> (?P<name>\w+) = (?P<number>\d+)")
_OPEN = re.compile(r"(?P<kind>message|enum|service|oneof) (?P<name>\w+) \{")
_VALUE = re.compile(r"(?P<name>\w+) = (?P<number>-?\d+)")
_RPC = re.compile(
    r"rpc (?P<name>\w+)\((?P<in_stream>stream )?(?P<input>\.[\w.]+)\) returns "
    r"\((?P<out_stream>stream )?(?P<output>\.[\w.]+)\)"
)
_SCALARS = {
    name.removeprefix("TYPE_").lower(): number
    for name, number in FieldDescriptorProto.Type.items()
    if name not in ("TYPE_MESSAGE", "TYPE_ENUM", "TYPE_GROUP")
}


def files_of_sources(sources: Mapping[str, str]) -> list[FileDescriptorProto]:
    """The files of the sources by full names: one for each package, or several if packages import
    each other. CommandError if one makes no sense."""
    files: dict[str, FileDescriptorProto] = {}
    for full_name, source in sources.items():
        if owner_of(full_name, sources) != full_name:
            continue  # inside of another message, whose source has it
        package = full_name.rpartition(".")[0]
        file = files.setdefault(
            package, FileDescriptorProto(name=f"{package or '-'}.proto", package=package)
        )
        _Reader(source, full_name, file).read()
    for file in files.values():
        _finish(file)
    return with_imports(files.values())


class _Reader:
    """Reads the source of one message, enum or service into a file."""

    def __init__(self, source: str, full_name: str, file: FileDescriptorProto) -> None:
        self._lines = iter(filter(None, map(str.strip, source.splitlines())))
        self._full_name = full_name
        self._file = file

    def read(self) -> None:
        try:
            self._read()
        except ValueError as error:  # of `int`, or of protobuf: a number has too many digits
            raise self._error(f"a value makes no sense: {str(error)[:80]}") from error

    def _read(self) -> None:
        for line in self._lines:
            opened = _OPEN.match(line)
            if opened is None:
                continue
            if opened["kind"] == "message":
                self._read_message(self._file.message_type.add(name=opened["name"]), 0)
            elif opened["kind"] == "enum":
                self._read_enum(self._file.enum_type.add(name=opened["name"]))
            elif opened["kind"] == "service":
                self._read_service(self._file.service.add(name=opened["name"]))
            return
        raise self._error("it is neither a message nor an enum nor a service")

    def _read_message(self, message: DescriptorProto, depth: int) -> None:
        if depth > 32:
            raise self._error("messages are nested too deeply")
        oneof: int | None = None
        for line in self._block_lines():
            opened = _OPEN.match(line)
            field = _FIELD.match(line)
            entry = _MAP.match(line)
            if line == "}":
                if oneof is None:
                    return
                oneof = None
            elif opened and opened["kind"] == "message":
                self._read_message(message.nested_type.add(name=opened["name"]), depth + 1)
            elif opened and opened["kind"] == "enum":
                self._read_enum(message.enum_type.add(name=opened["name"]))
            elif opened and opened["kind"] == "oneof":
                oneof = len(message.oneof_decl)
                message.oneof_decl.add(name=opened["name"])
            elif entry:
                _add_map(message, entry)
            elif field:
                _add_field(message, field, oneof)
            elif line.endswith("{"):
                raise self._error(f"this is not understood: {line[:80]}")
        raise self._error("it has no end")

    def _read_enum(self, enum: EnumDescriptorProto) -> None:
        for line in self._block_lines():
            value = _VALUE.match(line)
            if line == "}":
                return
            if line.startswith("option allow_alias = true"):
                enum.options.allow_alias = True
            elif value:
                enum.value.add(name=value["name"], number=int(value["number"]))

    def _read_service(self, service: ServiceDescriptorProto) -> None:
        depth = 0
        for line in self._block_lines():
            method = _RPC.match(line)
            if method:
                service.method.add(
                    name=method["name"],
                    input_type=method["input"],
                    output_type=method["output"],
                    client_streaming=bool(method["in_stream"]),
                    server_streaming=bool(method["out_stream"]),
                )
            if line.endswith("{"):
                depth += 1
            elif line == "}":
                if depth == 0:
                    return
                depth -= 1

    def _block_lines(self) -> Iterator[str]:
        return self._lines

    def _error(self, text: str) -> CommandError:
        return CommandError(f"the source of {self._full_name}: {text}")


def _add_field(message: DescriptorProto, found: re.Match[str], oneof: int | None) -> None:
    field = message.field.add(name=found["name"], number=int(found["number"]))
    label = found["label"] or "optional"
    field.label = FieldDescriptorProto.Label.Value(f"LABEL_{label.upper()}")
    _set_type(field, found["type"])
    if oneof is not None:
        field.oneof_index = oneof
    elif found["label"] == "optional":
        field.proto3_optional = True  # as long as the syntax is not known
    for option in (found["options"] or "").split(", "):
        name, _, value = option.partition(" = ")
        if name == "packed":
            field.options.packed = value == "true"
        elif name == "default" and not value.startswith('"'):
            field.default_value = value


def _set_type(field: FieldDescriptorProto, name: str) -> None:
    scalar = _SCALARS.get(name)
    if scalar is None:
        field.type_name = name
    else:
        field.type = scalar


def _add_map(message: DescriptorProto, found: re.Match[str]) -> None:
    name = "".join(each.capitalize() for each in found["name"].split("_")) + "Entry"
    entry = message.nested_type.add(name=name)
    entry.options.map_entry = True
    for number, (each, kind) in enumerate((("key", "key"), ("value", "value")), start=1):
        field = entry.field.add(name=each, number=number, label=FieldDescriptorProto.LABEL_OPTIONAL)
        _set_type(field, found[kind])
    field = message.field.add(name=found["name"], number=int(found["number"]), type_name=name)
    field.label = FieldDescriptorProto.LABEL_REPEATED


def _finish(file: FileDescriptorProto) -> None:
    """Add the syntax: that of proto2 if each field has a label."""
    messages = list(_all_messages(file.message_type))
    fields = [field for message in messages for field in message.field]
    plain = [
        field
        for message in messages
        if not message.options.map_entry
        for field in message.field
        if field.label == FieldDescriptorProto.LABEL_OPTIONAL
        and not field.proto3_optional
        and not field.HasField("oneof_index")
    ]
    required = any(field.label == FieldDescriptorProto.LABEL_REQUIRED for field in fields)
    labelled = any(field.proto3_optional for field in fields)
    is_proto2 = required or (labelled and not plain)
    file.syntax = "proto2" if is_proto2 else "proto3"
    for message in messages:
        _finish_optional(message, is_proto2)


def _all_messages(messages: object) -> Iterator[DescriptorProto]:
    for message in messages:  # type: ignore[attr-defined]
        yield message
        yield from _all_messages(message.nested_type)


def _finish_optional(message: DescriptorProto, is_proto2: bool) -> None:
    """The fields that are `optional`: each of proto3 has a oneof of its own."""
    for field in message.field:
        if not field.proto3_optional:
            continue
        if is_proto2:
            field.ClearField("proto3_optional")
        else:
            field.oneof_index = len(message.oneof_decl)
            message.oneof_decl.add(name=f"_{field.name}")
