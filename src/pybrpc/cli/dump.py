"""pybrpc dump: have a server sample requests into files, or show what such files have."""

from __future__ import annotations

import argparse
import time
from typing import Any

from pybrpc.cli.arguments import add_timeout, add_tls, some_seconds
from pybrpc.cli.command import OK, UsageError
from pybrpc.cli.dump_files import files_of, read_files
from pybrpc.cli.output import Output, printable
from pybrpc.cli.pages import page_channel, refusal
from pybrpc.client.channel.channel import Channel
from pybrpc.server.rpc_dump.dump_format import DumpedRequest

FLAG_PATH = "/flags/rpc_dump"

EXAMPLE = """\
examples:
  pybrpc dump 127.0.0.1:8001 --duration 30    # 8001: the internal port of the server
  pybrpc dump --show /var/tmp/echo_dump       # the requests in its files, one a line

The server needs the option rpc_dump, which names the directory: the files are where the server
runs, for the owner of its process alone. `pybrpc replay` calls a server with them."""


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
            output.result(facts, printable(text))
        return OK
    with page_channel(options.server, options) as channel:
        switch(channel, True)
        try:
            if not output.is_json:
                output.line(f"{options.server} samples requests for {options.duration:g} s")
            time.sleep(options.duration)
        finally:
            switch(channel, False)
    output.result({"server": options.server, "seconds": options.duration}, "done")
    return OK


def switch(channel: Channel, is_on: bool) -> None:
    """Set the flag of the server. CommandError if it refuses."""
    response = channel.http(
        "POST",
        FLAG_PATH,
        body=b"value=true" if is_on else b"value=false",
        headers={
            "Accept": "text/plain",
            "Content-Type": "application/x-www-form-urlencoded",
            "X-Pybrpc-Post": "1",
        },
    )
    if response.status not in (200, 303):
        raise refusal(FLAG_PATH, response, str(channel.endpoint))


def facts_of(request: DumpedRequest) -> dict[str, Any]:
    """A request for machines."""
    return {
        "method": f"{request.service}.{request.method}",
        "body_bytes": len(request.body),
        "attachment_bytes": len(request.attachment),
        "compress_type": request.compress_type,
    }
