"""pybrpc replay: call a server with requests that rpc_dump has sampled."""

from __future__ import annotations

import argparse
import asyncio
import functools
import math
import os
from collections.abc import Iterator, Sequence
from typing import Any

from pybrpc.cli.arguments import add_timeout, add_tls, calls_at_once, channel_to, count, rate
from pybrpc.cli.calling import add_channel_options, common_options
from pybrpc.cli.command import OK, UsageError
from pybrpc.cli.dump_files import files_of, read_files
from pybrpc.cli.output import Output, rich
from pybrpc.cli.press import run_load
from pybrpc.cli.press_load import Load
from pybrpc.client.channel.aio_channel import AioChannel
from pybrpc.client.channel.raw_stub_method import AioRawStubMethod
from pybrpc.rpc.controller import Controller
from pybrpc.server.rpc_dump.dump_format import DumpedRequest

MAX_METHODS = 1000
"""Methods that are kept for the next request."""

EXAMPLE = """\
examples:
  pybrpc replay 127.0.0.1:8000 /var/tmp/echo_dump
  pybrpc replay 127.0.0.1:8000 ./rpc_data/rpc_dump/echo_server --times 10 --qps 500

The files are those of `Server(rpc_dump=...)`, or of C++ bRPC with -rpc_dump. Requests are sent as
they came, and what the responses say is not looked at. Only requests of baidu_std can be sent."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "server", metavar="SERVER", help="host:port, unix:path or the URL of a naming service"
    )
    parser.add_argument(
        "paths", nargs="+", metavar="PATH", help="a file, or a directory with files of rpc_dump"
    )
    parser.add_argument(
        "--times",
        type=count,
        default=1,
        metavar="N",
        help="send all requests N times (%(default)s)",
    )
    parser.add_argument(
        "--qps",
        type=rate,
        default=0.0,
        metavar="N",
        help="calls a second; 0: no limit (%(default)g)",
    )
    parser.add_argument(
        "--concurrency",
        type=calls_at_once,
        default=50,
        metavar="N",
        help="calls at once (%(default)s)",
    )
    add_channel_options(parser)
    add_timeout(parser, 1.0)
    add_tls(parser)


def run(options: argparse.Namespace, output: Output) -> int:
    """Send all requests, and print the figures. Exit status 1 if a call has failed."""
    if not output.is_json:
        rich("table")
    files = files_of(options.paths)
    for path in files:
        # To read a pipe would block the loop, which sends the requests and handles signals.
        if os.path.exists(path) and not os.path.isfile(path):
            raise UsageError(f"{path} is no regular file, as replay needs it")
    given = common_options(options)

    async def replay() -> int:
        async with channel_to(options.server, options, AioChannel, **given) as channel:

            @functools.lru_cache(MAX_METHODS)
            def method_of(service: str, method: str) -> AioRawStubMethod:
                return channel.raw_method(service, method)

            def begin(request: DumpedRequest) -> asyncio.Future[Any]:
                controller = Controller()
                if request.attachment:
                    controller.request_attachment.append(request.attachment)
                if request.compress_type:
                    controller.request_compress_type = request.compress_type
                method = method_of(request.service, request.method)
                return method(request.body, controller=controller)

            load = Load(
                begin,
                repeated(files, options.times),
                qps=options.qps,
                concurrency=options.concurrency,
                duration_s=math.inf,
            )
            status = await run_load(load, output, f"{len(files)} files to {options.server}")
            if status == OK and not load.figures().ended:
                raise UsageError(f"there is no request in {', '.join(files)}")
            return status

    return asyncio.run(replay())


def repeated(files: Sequence[str], times: int) -> Iterator[DumpedRequest]:
    """The requests of all files, so many times. UsageError if a file makes no sense."""
    for _ in range(times):
        yield from read_files(files)
