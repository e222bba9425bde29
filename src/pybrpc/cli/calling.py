"""Calls of methods with JSON, for the commands that call: their arguments, methods and requests."""

from __future__ import annotations

import argparse
from typing import Any, NamedTuple

from google.protobuf.message import Message

from pybrpc.cli.arguments import add_timeout, add_tls
from pybrpc.cli.command import UsageError
from pybrpc.cli.files import read_bytes
from pybrpc.cli.schema.loading import add_schema, load_schema
from pybrpc.cli.schema.schema import Schema
from pybrpc.client.channel.options import protocol_names
from pybrpc.client.cluster.balancing.registry import DEFAULT, load_balancer_names
from pybrpc.json2pb import (
    ConversionError,
    JsonOptions,
    SkippedValue,
    iter_json_messages,
    json_to_message,
    message_to_json,
)
from pybrpc.json2pb.unknown_keys import find_unknown_key
from pybrpc.rpc.compress import CompressType, can_compress, compress_name
from pybrpc.rpc.controller import Controller
from pybrpc.rpc.method import Method, is_streaming, method_of

COMPRESSIONS = {compress_name(each): each for each in CompressType if can_compress(each)}


MAX_KEYS = 20
"""Fields that an error lists."""


class Called(NamedTuple):
    """A method that is to be called, and the schema that it is from."""

    method: Method
    schema: Schema
    is_lenient: bool
    """Whether requests may have what servers ignore."""

    def request(self, text: str | bytes) -> Message:
        """The request that a JSON text describes. UsageError."""
        return message_of(text, self.method.request_class, self.is_lenient)

    def requests(self, data: bytes) -> list[Message]:
        """The requests that JSON texts describe, which follow each other. UsageError."""
        found: list[Message] = []
        begin = 0
        try:
            for _, end in iter_json_messages(data, self.method.request_class):
                found.append(self.request(data[begin:end]))
                begin = end
        except ConversionError as error:
            raise UsageError(str(error)) from error
        return found


def add_calling(parser: argparse.ArgumentParser, timeout: float) -> None:
    """Add the arguments of a call."""
    parser.add_argument(
        "server", metavar="SERVER", help="host:port, unix:path or the URL of a naming service"
    )
    parser.add_argument(
        "method", metavar="METHOD", help='"pkg.Service.Method", or the end of it, such as "Echo"'
    )
    parser.add_argument(
        "request",
        nargs="?",
        default="{}",
        metavar="JSON",
        help='the request; "-": from the standard input; "@FILE": from a file ({})',
    )
    add_channel_options(parser)
    parser.add_argument(
        "--protocol",
        default="baidu_std",
        metavar="NAME",
        help=f"{', '.join(protocol_names())} (%(default)s)",
    )
    parser.add_argument(
        "--compress", choices=COMPRESSIONS, default="none", help="of requests (%(default)s)"
    )
    parser.add_argument(
        "--attachment", metavar="FILE", help="bytes that are sent beside each request"
    )
    parser.add_argument(
        "--defaults",
        action="store_true",
        help="print fields that are not set too, with their defaults",
    )
    parser.add_argument(
        "--lenient",
        action="store_true",
        help="ignore unknown fields and values of a wrong type in JSON, as servers do",
    )
    add_timeout(parser, timeout)
    add_schema(parser)
    add_tls(parser)


def add_channel_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of a channel that all kinds of calls have."""
    parser.add_argument(
        "--max-retry", type=int, default=3, metavar="N", help="retries of a call (%(default)s)"
    )
    parser.add_argument(
        "--load-balancer",
        metavar="NAME",
        help=f"of the servers that a naming service names: {', '.join(load_balancer_names())} "
        f"({DEFAULT})",
    )


def channel_options(options: argparse.Namespace) -> dict[str, Any]:
    """The options of a channel for calls with messages."""
    compression = COMPRESSIONS[options.compress]
    return {
        **common_options(options),
        "protocol": options.protocol,
        "compress_type": compression,
    }


def common_options(options: argparse.Namespace) -> dict[str, Any]:
    """The options of a channel that all kinds of calls have."""
    given: dict[str, Any] = {"max_retry": options.max_retry, "timeout": options.timeout}
    if options.load_balancer is not None:
        given["load_balancer"] = options.load_balancer
    return given


def called(options: argparse.Namespace) -> Called:
    """The method that is to be called. UsageError, CommandError."""
    schema = load_schema(options, options.server)
    descriptor = schema.method(options.method)
    if is_streaming(descriptor):
        raise UsageError(
            f"{descriptor.full_name} streams in its .proto file, as methods of gRPC do; streams of "
            "bRPC are opened by plain methods"
        )
    return Called(method_of(descriptor), schema, options.lenient)


def message_of(
    text: str | bytes, message_class: type[Message], is_lenient: bool = False
) -> Message:
    """The message that a JSON text describes. UsageError, unless `is_lenient` also for what
    bRPC's rules ignore: fields that the message does not have, and values of a wrong type."""
    skipped: list[SkippedValue] = []
    try:
        message = json_to_message(text, message_class, skipped=skipped)
    except ConversionError as error:
        name = message_class.DESCRIPTOR.full_name
        raise UsageError(f"this is no JSON of a {name}: {error}") from error
    if not is_lenient:
        refuse_what_is_ignored(text, message_class, skipped)
    return message


def refuse_what_is_ignored(
    text: str | bytes, message_class: type[Message], skipped: list[SkippedValue]
) -> None:
    """UsageError if a conversion has ignored anything."""
    unknown = find_unknown_key(text, message_class.DESCRIPTOR)
    if unknown is not None:
        keys = ", ".join(unknown.keys[:MAX_KEYS]) + (", ..." if unknown.keys[MAX_KEYS:] else "")
        raise UsageError(
            f"unknown field {unknown.path}: {unknown.message} has "
            f"{keys or 'no fields'} (--lenient ignores it)"
        )
    if skipped:
        raise UsageError(f"{skipped[0].path}: {skipped[0].text} (--lenient ignores it)")


def json_of(message: Message, defaults: bool = False) -> str:
    """A message as JSON. UsageError if it can't be converted."""
    options = JsonOptions(always_print_primitive_fields=defaults, jsonify_empty_array=defaults)
    try:
        return message_to_json(message, options).decode()
    except ConversionError as error:
        raise UsageError(f"the response can't be shown as JSON: {error}") from error


def controller_of(options: argparse.Namespace) -> Controller:
    """A controller for one call, with the attachment."""
    controller = Controller()
    attachment = attachment_of(options)
    if attachment is not None:
        controller.request_attachment.append(attachment)
    return controller


def attachment_of(options: argparse.Namespace) -> bytes | None:
    """The bytes that are sent beside each request; `None` for none. UsageError."""
    return None if options.attachment is None else read_bytes(options.attachment)
