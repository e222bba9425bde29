"""pybrpc descriptor: show the services of a server or of files, or write their descriptor set."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.json_format import MessageToDict

from pybrpc.builtin.proto_source import source_of
from pybrpc.cli.arguments import add_timeout, add_tls
from pybrpc.cli.command import OK, CommandError, UsageError
from pybrpc.cli.output import Output, printable
from pybrpc.cli.schema.loading import add_schema, load_schema
from pybrpc.cli.schema.schema import Schema

EXAMPLE = """\
examples:
  pybrpc descriptor 127.0.0.1:8001                       # the methods, one a line
  pybrpc descriptor 127.0.0.1:8001 example.EchoRequest   # the source of a message
  pybrpc descriptor 127.0.0.1:8001 --output echo.bin     # all of it, as protoc writes it
  pybrpc descriptor --proto echo.proto --json"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("server", nargs="?", metavar="SERVER", help="host:port or unix:path")
    parser.add_argument("name", nargs="?", metavar="NAME", help="a message, enum or service")
    parser.add_argument(
        "-o", "--output", metavar="FILE", help='write the descriptor set; "-": standard output'
    )
    add_schema(parser)
    add_timeout(parser, 5.0)
    add_tls(parser)


def run(options: argparse.Namespace, output: Output) -> int:
    """Show the services, the source of one type, or write the descriptor set."""
    server, name = options.server, options.name
    if options.descriptor_set or options.proto or options.pages:
        if name is not None:
            raise UsageError("SERVER is not needed beside --descriptor-set, --proto and --pages")
        server, name = None, server
    schema = load_schema(options, server)
    if options.output is not None:
        write(schema.file_set().SerializeToString(), options.output)
    elif name is not None:
        show_type(schema, name, output)
    elif output.is_json:
        output.value([facts_of(method) for method in schema.methods()])
    else:
        for method in schema.methods():
            output.line(printable(text_of(method)))
    return OK


def write(data: bytes, path: str) -> None:
    """Write a descriptor set. CommandError if the file can't be written."""
    if path == "-":
        sys.stdout.buffer.write(data)
        return
    try:
        Path(path).write_bytes(data)
    except OSError as error:
        raise CommandError(f"{path}: {os.strerror(error.errno or 0)}") from error


def show_type(schema: Schema, name: str, output: Output) -> None:
    """Print the source of a message, enum or service; for machines, its descriptor."""
    found = schema.named(name)
    if not output.is_json:
        output.line(printable(source_of(found).rstrip()))
        return
    proto = schema.proto_of(found)
    output.value({"name": found.full_name, "descriptor": MessageToDict(proto)})


def facts_of(method: MethodDescriptor) -> dict[str, Any]:
    """A method for machines."""
    kind: Any = method
    return {
        "method": method.full_name,
        "request": method.input_type.full_name,
        "response": method.output_type.full_name,
        "client_streaming": bool(kind.client_streaming),
        "server_streaming": bool(kind.server_streaming),
    }


def text_of(method: MethodDescriptor) -> str:
    """ "example.EchoService.Echo (example.EchoRequest) returns (example.EchoResponse)"."""
    facts = facts_of(method)
    request = "stream " * facts["client_streaming"] + facts["request"]
    response = "stream " * facts["server_streaming"] + facts["response"]
    return f"{method.full_name} ({request}) returns ({response})"
