"""The imports of files that were made of sources, one file for each package.

A server in C++ tells packages, but not files. Packages may import each other in C++ where their
files don't; then each of these packages becomes several files here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FileDescriptorProto,
    ServiceDescriptorProto,
)

from pybrpc.cli.command import CommandError

MAX_DEPTH = 100
"""Packages and messages in which a type may be."""

Top = DescriptorProto | EnumDescriptorProto | ServiceDescriptorProto
"""A definition that stands in a file itself, not within a message."""
Uses = Mapping[str, set[str]]
"""Names, and those that each of them uses."""


def with_imports(files: Iterable[FileDescriptorProto]) -> list[FileDescriptorProto]:
    """Add the imports to files, of which each is a whole package; one whose package is in a circle
    of imports is split. CommandError if types of two packages use each other, which no .proto file
    can say."""
    packages = {file.package: file for file in files}
    types = _Types(packages.values())
    uses = {
        package: {types.package_of(used) for top in tops_of(file) for used in types.used_by(top)}
        for package, file in packages.items()
    }
    made: list[FileDescriptorProto] = []
    for group in circles(uses):
        if len(group) == 1:
            made.append(packages[group[0]])
        else:
            made += _split([packages[each] for each in group], types)
    where = {name: file.name for file in made for name in _full_names(file)}
    for file in made:
        used = {where[each] for top in tops_of(file) for each in types.used_by(top)}
        file.dependency.extend(sorted(used - {file.name}))
    return made


def tops_of(file: FileDescriptorProto) -> Iterator[Top]:
    """The messages, enums and services of a file, without those within messages."""
    yield from file.message_type
    yield from file.enum_type
    yield from file.service


def owner_of(name: str, tops: Iterable[str] | Mapping[str, object]) -> str | None:
    """The one of `tops` that has the type of that full name, or is it; `None` if there is none."""
    parts = name.lstrip(".").split(".", MAX_DEPTH)
    prefixes = (".".join(parts[:count]) for count in range(1, len(parts) + 1))
    return next((prefix for prefix in prefixes if prefix in tops), None)


class _Types:
    """All messages, enums and services that stand in a file itself."""

    def __init__(self, files: Iterable[FileDescriptorProto]) -> None:
        self._packages = {name: file.package for file in files for name in _full_names(file)}

    def package_of(self, name: str) -> str:
        return self._packages[name]

    def used_by(self, top: Top) -> Iterator[str]:
        """The full names of those that it uses, as far as they are known."""
        for name in _references(top):
            owner = owner_of(name, self._packages)
            if owner is not None:
                yield owner


def _full_names(file: FileDescriptorProto) -> Iterator[str]:
    for top in tops_of(file):
        yield _full_name(file, top)


def _full_name(file: FileDescriptorProto, top: Top) -> str:
    return f"{file.package}.{top.name}" if file.package else top.name


def _references(top: Top) -> Iterator[str]:
    """The types that it names; not the entries of its own maps, whose names begin without a dot."""
    if isinstance(top, ServiceDescriptorProto):
        for method in top.method:
            yield method.input_type
            yield method.output_type
    elif isinstance(top, DescriptorProto):
        own = {nested.name for nested in top.nested_type}
        yield from (field.type_name for field in top.field if field.type_name not in {"", *own})
        for nested in top.nested_type:
            yield from _references(nested)


def _split(packages: Iterable[FileDescriptorProto], types: _Types) -> Iterator[FileDescriptorProto]:
    """A file for each group of types that use each other."""
    tops = {_full_name(file, top): (file, top) for file in packages for top in tops_of(file)}
    for group in circles({name: set(types.used_by(top)) for name, (_, top) in tops.items()}):
        first, *others = sorted(group)
        package = tops[first][0].package
        made = FileDescriptorProto(
            name=f"{first}.proto", package=package, syntax=tops[first][0].syntax
        )
        for name in (first, *others):
            file, top = tops[name]
            if file.package != package:
                raise CommandError(
                    f"{first} and {name} use each other, but are of two packages: no .proto file "
                    "says that"
                )
            _add(made, top)
        yield made


def _add(file: FileDescriptorProto, top: Top) -> None:
    if isinstance(top, DescriptorProto):
        file.message_type.append(top)
    elif isinstance(top, EnumDescriptorProto):
        file.enum_type.append(top)
    else:
        file.service.append(top)


def circles(uses: Uses) -> list[list[str]]:
    """The names in groups: two are in one group if each uses the other, also by way of others.

    After Kosaraju: in the reverse order in which a search leaves them, whatever leads to a name and
    is in no earlier group is in its group. Names that are used and have no entry are left out.
    """
    used_by: dict[str, set[str]] = {name: set() for name in uses}
    for name, others in uses.items():
        for other in others & used_by.keys():
            used_by[other].add(name)
    seen: set[str] = set()
    left = [each for name in uses for each in _reached(name, uses, seen)]
    seen.clear()
    groups = (list(_reached(name, used_by, seen)) for name in reversed(left))
    return [group for group in groups if group]


def _reached(first: str, uses: Uses, seen: set[str]) -> Iterator[str]:
    """The names that `first` leads to and that were not seen, each after those it leads to."""
    waiting = [] if first in seen or first not in uses else [(first, iter(uses[first]))]
    seen.add(first)
    while waiting:
        name, others = waiting[-1]
        for other in others:
            if other in uses and other not in seen:
                seen.add(other)
                waiting.append((other, iter(uses[other])))
                break
        else:
            waiting.pop()
            yield name
