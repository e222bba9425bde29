"""pybrpc call: call a method with JSON; or many times; or open a stream."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from google.protobuf.message import Message

from pybrpc.cli.arguments import channel_to
from pybrpc.cli.call_stream import add_stream_arguments, run_stream
from pybrpc.cli.calling import (
    Called,
    add_calling,
    called,
    channel_options,
    controller_of,
    json_of,
)
from pybrpc.cli.command import FAILED, OK, CommandError, UsageError, facts_of
from pybrpc.cli.files import text_in
from pybrpc.cli.output import Output, printable
from pybrpc.cli.standard_input import lines
from pybrpc.client.channel.channel import Channel
from pybrpc.client.channel.stub import StubMethod
from pybrpc.errors import RpcError
from pybrpc.rpc.controller import Controller

EXAMPLE = """\
examples:
  pybrpc call 127.0.0.1:8000 Echo '{"message": "hello"}' --proto echo.proto
  pybrpc call 127.0.0.1:8000 example.EchoService.Echo @request.json --pages 127.0.0.1:8001
  pybrpc call 127.0.0.1:8000 Echo --each < requests.jsonl > responses.jsonl
  pybrpc call 127.0.0.1:8000 Chat '{}' --stream --proto chat.proto

--each makes one call for each line of the standard input. --stream opens a stream of bRPC: each
line is sent as a message, and each message that comes is printed as a line. When the input has
ended, messages are still printed until none has come for --idle seconds."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_calling(parser, 5.0)
    parser.add_argument("--log-id", type=int, metavar="N", help="sent along, for logs")
    parser.add_argument(
        "--attachment-out", metavar="FILE", help="write the attachment of the response"
    )
    parser.add_argument(
        "--each", action="store_true", help="a call for each line of the standard input"
    )
    add_stream_arguments(parser)


def run(options: argparse.Namespace, output: Output) -> int:
    """Make the call, or the calls."""
    if options.each and options.stream:
        raise UsageError("--each and --stream exclude each other")
    target = called(options)
    with channel_to(options.server, options, Channel, **channel_options(options)) as channel:
        method = channel.make_method(target.method)
        if options.each:
            return run_each(options, target, method, output)
        request = target.request(text_in(options.request))
        if options.stream:
            stream_call = method.stream(request, controller=controller(options))
            return run_stream(options, target.schema, stream_call, output)
        run_one(options, method, request, output)
        return OK


def controller(options: argparse.Namespace) -> Controller:
    """The controller of one call."""
    made = controller_of(options)
    if options.log_id is not None:
        try:
            made.log_id = options.log_id
        except ValueError as error:
            raise UsageError(str(error)) from error
    return made


def run_one(
    options: argparse.Namespace, method: StubMethod, request: Message, output: Output
) -> None:
    """Make one call, and print its response. Raises the RpcError of the call."""
    used = controller(options)
    response = method(request, controller=used)
    shown = json_of(response, options.defaults)
    attachment = bytes(used.response_attachment)
    if options.attachment_out is not None:
        write_attachment(options.attachment_out, attachment)
    if output.is_json:
        output.value(
            {
                "response": json.loads(shown),
                "latency_us": used.latency_us,
                "server": str(used.remote_side),
                "attachment_bytes": len(attachment),
            }
        )
        return
    output.json_text(shown if options.each else pretty(shown))
    if attachment and options.attachment_out is None:
        output.note(f"and an attachment of {len(attachment)} bytes: --attachment-out FILE")


def pretty(text: str) -> str:
    """JSON in several lines."""
    return json.dumps(json.loads(text), indent=2, ensure_ascii=False)


def run_each(
    options: argparse.Namespace, target: Called, method: StubMethod, output: Output
) -> int:
    """A call for each line of the standard input, one after the other: a line of output for each,
    also for one that failed. Exit status 1 if one has failed."""
    status = OK
    for line in lines():
        if not line.strip():
            continue
        try:
            run_one(options, method, target.request(line), output)
        except RpcError as error:
            status = FAILED
            output.value({"error": facts_of(error)})
        except UsageError as error:
            status = FAILED
            output.value({"error": {"text": printable(str(error))}})
    return status


def write_attachment(path: str, data: bytes) -> None:
    try:
        Path(path).write_bytes(data)
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}") from error
