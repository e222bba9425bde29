"""pybrpc dump: have a server sample requests into files, or show what such files have."""

from __future__ import annotations

import argparse
import contextlib
import secrets
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

from pybrpc.builtin.flags_page import (
    HOLDER_FIELD,
    NOT_HELD,
    SECONDS_FIELD,
    STILL_TRUE,
    VALUE_FIELD,
)
from pybrpc.cli.arguments import add_timeout, add_tls, some_seconds
from pybrpc.cli.command import OK, CommandError, UsageError
from pybrpc.cli.dump_files import files_of, read_files
from pybrpc.cli.ending import ended_by_signals
from pybrpc.cli.output import Output, printable_line
from pybrpc.cli.pages import page, page_channel, refusal
from pybrpc.client.channel.channel import Channel
from pybrpc.errors import RpcError
from pybrpc.server.rpc_dump.dump_format import DumpedRequest

FLAG = "`rpc_dump'"
"""The flag, as the answers to changes name it."""
FLAG_PATH = "/flags/rpc_dump"

EXAMPLE = """\
examples:
  pybrpc dump 127.0.0.1:8001 --duration 30    # 8001: the internal port of the server
  pybrpc dump --show /var/tmp/echo_dump       # the requests in its files, one a line

The server needs the option rpc_dump, which names the directory: the files are where the server
runs, for the owner of its process alone. `pybrpc replay` calls a server with them. Several commands
may sample at once: the server samples until the last of them ends."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("server", nargs="?", metavar="SERVER", help="host:port of its pages")
    parser.add_argument(
        "--duration",
        type=some_seconds,
        default=10.0,
        metavar="SECONDS",
        help="how long requests are sampled (%(default)g)",
    )
    parser.add_argument(
        "--show",
        action="append",
        default=[],
        metavar="PATH",
        help="show the requests of a file, or of all files of a directory",
    )
    add_timeout(parser, 5.0)
    add_tls(parser)


def run(options: argparse.Namespace, output: Output) -> int:
    """Switch sampling on for a while, or show files."""
    if bool(options.show) == bool(options.server):
        raise UsageError("give a SERVER, or --show PATH")
    if options.show:
        for request in read_files(files_of(options.show)):
            facts = facts_of(request)
            text = (
                f"{facts['method']}  body {facts['body_bytes']}, attachment "
                f"{facts['attachment_bytes']}, compression {facts['compress_type']}"
            )
            output.result(facts, printable_line(text))
        return OK
    held_s = options.duration + options.timeout
    with page_channel(options.server, options) as channel, sampling(channel, output, held_s):
        if not output.is_json:
            output.line(f"{options.server} samples requests for {options.duration:g} s")
        time.sleep(options.duration)
    output.result({"server": options.server, "seconds": options.duration}, "done")
    return OK


@contextlib.contextmanager
def sampling(channel: Channel, output: Output, seconds: float) -> Iterator[None]:
    """Have the server sample, for so many seconds at most, and no longer than the block takes, also
    if a signal ends it. What others have set, or want too, is left as it is. CommandError if it has
    not sampled to the end of the block."""
    page(channel, FLAG_PATH)  # a server that does not show the flag has nothing to undo
    holder = secrets.token_hex(8)
    is_over = False
    with ended_by_signals() as ignore_signals:
        try:
            fields = {VALUE_FIELD: "true", HOLDER_FIELD: holder, SECONDS_FIELD: str(seconds)}
            if FLAG not in change(channel, fields):
                raise CommandError(
                    f"{channel.endpoint}{FLAG_PATH} was not set: this is no server of pybrpc"
                )
            yield
            is_over = True
        finally:
            ignore_signals()
            try:
                answer = change(channel, {VALUE_FIELD: "false", HOLDER_FIELD: holder})
            except (CommandError, RpcError):
                output.note(
                    f"{channel.endpoint}{FLAG_PATH} may still be true, for {seconds:g} s at most"
                )
                raise
            if STILL_TRUE in answer:
                output.note(
                    "the server still samples requests: the flag rpc_dump is set, or another "
                    "command samples too"
                )
            if is_over and NOT_HELD in answer:
                raise CommandError(
                    f"{channel.endpoint} has not sampled all the time: meanwhile it, or one of its "
                    "workers, was started again, or the flag rpc_dump was set to false"
                )


def change(channel: Channel, fields: dict[str, str]) -> str:
    """Send a form to the flag of the server; its answer. CommandError if it refuses."""
    response = channel.http(
        "POST",
        FLAG_PATH,
        body=urlencode(fields).encode(),
        headers={
            "Accept": "text/plain",
            "Content-Type": "application/x-www-form-urlencoded",
            "X-Pybrpc-Post": "1",
        },
    )
    if response.status not in (200, 303):
        raise refusal(FLAG_PATH, response, str(channel.endpoint))
    return response.text()


def facts_of(request: DumpedRequest) -> dict[str, Any]:
    """A request for machines."""
    return {
        "method": f"{request.service}.{request.method}",
        "body_bytes": len(request.body),
        "attachment_bytes": len(request.attachment),
        "compress_type": request.compress_type,
    }
