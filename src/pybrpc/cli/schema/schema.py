"""Schema: the services of a set of .proto files, and how a method is found by its name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from google.protobuf import (  # noqa: F401
    any_pb2,
    api_pb2,
    descriptor_pool,
    duration_pb2,
    empty_pb2,
    field_mask_pb2,
    message_factory,
    source_context_pb2,
    struct_pb2,
    timestamp_pb2,
    type_pb2,
    wrappers_pb2,
)
from google.protobuf.descriptor import (
    Descriptor,
    EnumDescriptor,
    MethodDescriptor,
    ServiceDescriptor,
)
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    ServiceDescriptorProto,
)
from google.protobuf.message import Message

from pybrpc.cli.command import UsageError

Named = Descriptor | EnumDescriptor | ServiceDescriptor

MAX_NAMED = 20
"""Names that an error lists."""


class Schema:
    """The services and messages of some files, in a pool of their own. UsageError if a file is
    missing or makes no sense, or two files have one name."""

    def __init__(self, files: Iterable[FileDescriptorProto]) -> None:
        self._files = _by_name(files)
        self._pool = descriptor_pool.DescriptorPool()
        self._added: dict[str, Any] = {}
        for name in list(self._files):
            self._add(name)

    def _add(self, first: str) -> None:
        """Add a file, and those that it imports before it."""
        waiting = [first]
        open_files: set[str] = set()
        while waiting:
            name = waiting[-1]
            if name in self._added:
                waiting.pop()
                continue
            file = self._file(name)
            missing = [each for each in file.dependency if each not in self._added]
            if not missing:
                self._added[name] = self._put(file)
                open_files.discard(name)
            elif name in open_files:
                raise UsageError(f"{name} imports itself, by way of {missing[0]}")
            else:
                open_files.add(name)
                waiting += missing

    def _put(self, file: FileDescriptorProto) -> Any:
        try:
            self._pool.AddSerializedFile(file.SerializeToString())
            return self._pool.FindFileByName(file.name)
        except Exception as error:  # TypeError or another one, by the implementation of protobuf
            raise UsageError(f"{file.name} can't be used: {error}") from error

    def _file(self, name: str) -> FileDescriptorProto:
        """A file, or one that protobuf itself has."""
        found = self._files.get(name)
        if found is not None:
            return found
        made = FileDescriptorProto()
        try:
            if not name.startswith("google/protobuf/"):
                raise KeyError(name)
            known: Any = descriptor_pool.Default().FindFileByName(name)
            known.CopyToProto(made)
        except KeyError:
            raise UsageError(
                f"the descriptor set lacks {name}: make it with protoc --include_imports"
            ) from None
        self._files[name] = made
        return made

    def services(self) -> list[ServiceDescriptor]:
        """All services, by name."""
        found = [each for file in self._added.values() for each in _services_of(file)]
        return sorted(found, key=lambda service: service.full_name)

    def methods(self) -> Iterator[MethodDescriptor]:
        """The methods of all services."""
        for service in self.services():
            yield from service.methods

    def method(self, name: str) -> MethodDescriptor:
        """A method by its name: "pkg.Service.Method", "pkg.Service/Method", or the end of it, such
        as "Echo", if that means one method alone. UsageError."""
        wanted = name.strip("/").replace("/", ".")
        all_of_them = list(self.methods())
        exact = [each for each in all_of_them if each.full_name == wanted]
        found = exact or [each for each in all_of_them if each.full_name.endswith(f".{wanted}")]
        if len(found) == 1:
            return found[0]
        names = [each.full_name for each in found or all_of_them]
        listed = ", ".join(names[:MAX_NAMED]) + (", ..." if len(names) > MAX_NAMED else "")
        if found:
            raise UsageError(f"{name} may be any of {listed}")
        raise UsageError(f"there is no method {name}; there are: {listed or 'none at all'}")

    def message_class(self, name: str) -> type[Message]:
        """The class of a message by its full name. UsageError."""
        try:
            return message_factory.GetMessageClass(self._pool.FindMessageTypeByName(name))
        except KeyError:
            raise UsageError(f"there is no message {name}") from None

    def named(self, name: str) -> Named:
        """A message, an enum or a service by its full name. UsageError."""
        pool = self._pool
        finds: tuple[Any, ...] = (
            pool.FindMessageTypeByName,
            pool.FindEnumTypeByName,
            pool.FindServiceByName,
        )
        for find in finds:
            try:
                found: Named = find(name)
                return found
            except (KeyError, TypeError):  # TypeError: it is no UTF-8
                continue
        raise UsageError(f"there is no message, enum or service {name}")

    def proto_of(self, found: Named) -> Message:
        """The descriptor of one of them, as a message of protobuf."""
        if isinstance(found, Descriptor):
            made: Any = DescriptorProto()
        elif isinstance(found, EnumDescriptor):
            made = EnumDescriptorProto()
        else:
            made = ServiceDescriptorProto()
        found.CopyToProto(made)
        return made  # type: ignore[no-any-return]

    def file_set(self) -> FileDescriptorSet:
        """All files, those that others import before these."""
        return FileDescriptorSet(file=[self._files[name] for name in self._added])


def _by_name(files: Iterable[FileDescriptorProto]) -> dict[str, FileDescriptorProto]:
    """The files by their names. Of several versions of one file the last one counts."""
    found: dict[str, FileDescriptorProto] = {}
    for file in files:
        other = found.setdefault(file.name, file)
        if other.package != file.package:
            packages = " and ".join(repr(each.package) for each in (other, file))
            raise UsageError(f"there are two files {file.name}, of the packages {packages}")
        found[file.name] = file
    return found


def _services_of(file: Any) -> Iterator[ServiceDescriptor]:
    yield from file.services_by_name.values()
