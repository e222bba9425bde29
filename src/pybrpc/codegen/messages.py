"""Messages: the module and the name in it of each message, as protoc's own Python code has them."""

from __future__ import annotations

import keyword
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto


@dataclass(frozen=True, slots=True)
class MessageName:
    """Where a message class is."""

    module: str
    """As "google.protobuf.empty_pb2"."""
    name: str
    """As "Outer.Inner"."""


class Messages:
    """All messages that a request of protoc knows, by their full names."""

    def __init__(self, files: Iterable[FileDescriptorProto]) -> None:
        self._names: dict[str, MessageName] = {}
        for file in files:
            scope = f".{file.package}" if file.package else ""
            module = module_of(file.name, "_pb2")
            for message in file.message_type:
                self._add(message, module, scope, "")

    def _add(self, message: DescriptorProto, module: str, scope: str, outer: str) -> None:
        name = f"{outer}{message.name}"
        full_name = f"{scope}.{message.name}"
        self._names[full_name] = MessageName(module, name)
        for nested in message.nested_type:
            self._add(nested, module, full_name, f"{name}.")

    def named(self, full_name: str) -> MessageName:
        """The message with a full name, such as ".example.EchoRequest"."""
        return self._names[full_name]


def module_of(path: str, ending: str) -> str:
    """The module that protoc makes of a .proto file: "a/b-c.proto" gives "a.b_c_pb2"."""
    for suffix in (".protodevel", ".proto"):
        if path.endswith(suffix):
            path = path.removesuffix(suffix)
            break
    return path.replace("-", "_").replace("/", ".") + ending


def is_importable(dotted: str) -> bool:
    """Whether the parts of a dotted name can be written in Python code. Python reads some
    characters as others there: the ligature "fi" as two letters."""
    return unicodedata.is_normalized("NFKC", dotted) and all(
        part.isidentifier() and not keyword.iskeyword(part) for part in dotted.split(".")
    )
