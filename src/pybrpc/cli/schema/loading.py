"""The schema that a command line asks for: descriptor sets, .proto files, or a server's own."""

from __future__ import annotations

import argparse
import re

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.protobuf.message import DecodeError

from pybrpc.cli.command import CommandError, UsageError
from pybrpc.cli.files import read_bytes
from pybrpc.cli.pages import get, page, page_channel, refusal
from pybrpc.cli.schema.compiling import compiled
from pybrpc.cli.schema.schema import Schema
from pybrpc.cli.schema.sources import files_of_sources
from pybrpc.client.channel.channel import Channel

MAX_SOURCES = 2000
"""Messages that are read from the pages of a server in C++, each with a request."""
MAX_SOURCE_BYTES = 32 << 20
"""Bytes that the sources of all of them may have together."""

_NAME = re.compile(r"[A-Za-z_][\w.]*\Z")


def add_schema(parser: argparse.ArgumentParser) -> None:
    """Add the options that say where the schema comes from."""
    group = parser.add_argument_group(
        "where the messages are described",
        "Without any of these: the page /protobufs of the server, which\n  shows it on its "
        "internal port, and to addresses that it allows.",
    )
    group.add_argument(
        "-d",
        "--descriptor-set",
        action="append",
        default=[],
        metavar="FILE",
        help="made by protoc --include_imports --descriptor_set_out=FILE",
    )
    group.add_argument(
        "-p",
        "--proto",
        action="append",
        default=[],
        metavar="FILE",
        help="a .proto file; needs protoc or grpcio-tools",
    )
    group.add_argument(
        "-I",
        "--proto-path",
        action="append",
        default=[],
        metavar="DIR",
        help="where .proto files are looked for (the directory of each)",
    )
    group.add_argument(
        "--pages",
        metavar="SERVER",
        help="the address with the pages of the server, such as its internal port (the server)",
    )


def load_schema(options: argparse.Namespace, server: str | None) -> Schema:
    """The schema that the options name, or that of `server`. UsageError, CommandError."""
    files: list[FileDescriptorProto] = []
    for path in options.descriptor_set:
        files += read_set(path).file
    if options.proto:
        files += compiled(options.proto, options.proto_path).file
    if files:
        return Schema(files)
    address = options.pages or server
    if address is None:
        raise UsageError("SERVER, or one of --descriptor-set, --proto and --pages, is needed")
    return Schema(schema_of_server(address, options).file)


def read_set(path: str) -> FileDescriptorSet:
    """A descriptor set in a file. UsageError if there is none."""
    return parsed_set(read_bytes(path), path)


def parsed_set(data: bytes, where: str) -> FileDescriptorSet:
    """The descriptor set in `data`. UsageError if it is none."""
    try:
        found = FileDescriptorSet.FromString(data)
    except DecodeError:
        raise UsageError(f"{where} is no descriptor set") from None
    if not found.file:
        raise UsageError(f"{where} has no descriptors")
    return found


def schema_of_server(address: str, options: argparse.Namespace) -> FileDescriptorSet:
    """The schema of a server, by its pages. CommandError if it does not show it."""
    with page_channel(address, options, may_be_several=True) as channel:
        for path in ("/protobufs?descriptor_set=1", "/protobufs?descriptor_set=1&worker=0"):
            response = get(channel, path)
            if response.status == 403:
                raise CommandError(
                    f"{refusal('/protobufs', response, address)}; give --descriptor-set or "
                    "--proto, or the internal port of the server as --pages",
                    http_status=403,
                )
            if response.status != 200:
                raise refusal("/protobufs", response, address)
            if response.headers.content_type == "application/x-protobuf":
                return parsed_set(response.body, f"{address}/protobufs")
        return schema_of_sources(channel, address)


def schema_of_sources(channel: Channel, address: str) -> FileDescriptorSet:
    """The schema of a server in C++, which shows the source of each message."""
    names = page(channel, "/protobufs").text().split()
    if not names:
        raise CommandError(f"{address}/protobufs: the server has no services")
    if len(names) > MAX_SOURCES or not all(map(_NAME.match, names)):
        raise CommandError(f"{address}/protobufs: this is no list of messages")
    sources: dict[str, str] = {}
    size_bytes = 0
    for name in names:
        response = page(channel, f"/protobufs/{name}")
        size_bytes += len(response.body)
        if size_bytes > MAX_SOURCE_BYTES:
            raise CommandError(
                f"{address}/protobufs: the sources have over {MAX_SOURCE_BYTES} bytes"
            )
        sources[name] = response.text()
    return FileDescriptorSet(file=files_of_sources(sources))
