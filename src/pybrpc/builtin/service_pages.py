"""/list and /protobufs: the services and messages of the server."""

from __future__ import annotations

import json
from typing import Any

from google.protobuf.descriptor import Descriptor, EnumDescriptor, ServiceDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

from pybrpc.builtin.html import tag
from pybrpc.builtin.layout import html_page, link, path_text, table
from pybrpc.builtin.page import JSON, PageEntry, PageError, PageRequest, PageResponse
from pybrpc.builtin.proto_source import source_of
from pybrpc.builtin.server_view import ServerView

MAX_TYPES = 10_000
"""Messages and enums that are collected; a large schema has some thousands."""

PROTOBUF = "application/x-protobuf"
"""Content-Type of a descriptor set."""

Named = Descriptor | EnumDescriptor | ServiceDescriptor


def show_list(request: PageRequest, server: ServerView) -> PageResponse:
    """The services as JSON, as C++ bRPC has them: short names, and types with a dot in front."""
    services = [
        {
            "name": service.name,
            "method": [
                {
                    "name": method.name,
                    "input_type": f".{method.request_type}",
                    "output_type": f".{method.response_type}",
                }
                for method in service.methods
                if method.request_type
            ],
        }
        for service in server.services()
        if any(method.request_type for method in service.methods)
    ]
    return PageResponse(json.dumps({"service": services}, separators=(",", ":")), JSON)


def show_protobufs(request: PageRequest, server: ServerView) -> PageResponse:
    """The names of all messages, enums and services; /protobufs/NAME is the source of one.

    With `?descriptor_set=1` a FileDescriptorSet of all files, which C++ does not have.
    """
    if not request.path and request.parameter("descriptor_set") == "1":
        return PageResponse(file_set_of(server).SerializeToString(), PROTOBUF)
    found = types_of(server)
    if not request.path:
        names = sorted(found)
        if request.wants_html:
            rows = [
                (link(tag("code", name), "protobufs", name), _kind(found[name])) for name in names
            ]
            return html_page(request, server, "Protobufs", table(("name", "kind"), rows))
        return PageResponse("".join(f"{name}\n" for name in names))
    name = path_text(request.path)
    descriptor = found.get(name)
    if descriptor is None:
        raise PageError(404, f"Fail to find any protobuf message by `{name[:128]}'")
    source = source_of(descriptor)
    if request.wants_html:
        return html_page(request, server, name, tag("pre", source))
    return PageResponse(source)


def file_set_of(server: ServerView) -> FileDescriptorSet:
    """The files of all services, each behind those that it imports; at most MAX_TYPES files."""
    found: dict[str, FileDescriptorProto] = {}
    waiting: list[Any] = [service.file for service in server.descriptors()]
    while waiting and len(found) < MAX_TYPES:
        file = waiting[-1]
        missing = [each for each in file.dependencies if each.name not in found]
        if missing:
            waiting += missing
            continue
        waiting.pop()
        if file.name not in found:
            found[file.name] = FileDescriptorProto()
            file.CopyToProto(found[file.name])
    return FileDescriptorSet(file=found.values())


def _kind(descriptor: Named) -> str:
    if isinstance(descriptor, ServiceDescriptor):
        return "service"
    return "enum" if isinstance(descriptor, EnumDescriptor) else "message"


def types_of(server: ServerView) -> dict[str, Named]:
    """The services, and all types that their requests and responses have, by full name."""
    found: dict[str, Named] = {}
    waiting: list[Descriptor] = []
    for service in server.descriptors():
        found[service.full_name] = service
        for method in service.methods:
            waiting += [method.input_type, method.output_type]
    while waiting and len(found) < MAX_TYPES:
        message = waiting.pop()
        if message.full_name in found or message.GetOptions().map_entry:
            waiting += _map_values(message)
            continue
        found[message.full_name] = message
        for field in message.fields:
            if field.message_type is not None:
                waiting.append(field.message_type)
            if field.enum_type is not None:
                found[field.enum_type.full_name] = field.enum_type
    return found


def _map_values(message: Descriptor) -> list[Descriptor]:
    """The messages that are the values of a map, if this is the entry of one."""
    if not message.GetOptions().map_entry:
        return []
    value = message.fields_by_name["value"].message_type
    return [] if value is None else [value]


ENTRIES = (
    PageEntry("list", show_list, "json signature of methods"),
    PageEntry(
        "protobufs",
        show_protobufs,
        "List all protobuf services and messages",
        usage=(
            ("/protobufs/NAME", "Source of a message or service"),
            ("/protobufs?descriptor_set=1", "All of them as a FileDescriptorSet"),
        ),
    ),
)
