"""pybrpc press: load a server with calls, and show their rate, latencies and errors."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import signal
from collections.abc import Callable, Iterator
from typing import Any

from google.protobuf.message import Message

from pybrpc.cli.arguments import calls_at_once, channel_to, connections, rate, some_seconds
from pybrpc.cli.calling import (
    Called,
    add_calling,
    attachment_of,
    called,
    channel_options,
)
from pybrpc.cli.command import FAILED, OK, UsageError
from pybrpc.cli.ending import signals_to, status_after
from pybrpc.cli.files import read_bytes, text_in
from pybrpc.cli.output import Output, rich
from pybrpc.cli.press_load import Load
from pybrpc.cli.press_screen import LiveScreen, facts_of, print_figures
from pybrpc.client.channel.aio_channel import AioChannel
from pybrpc.client.channel.options import default_connection_type
from pybrpc.protocols.traits import CONNECTION_TYPES
from pybrpc.rpc.controller import Controller

SHOW_EVERY_S = 0.5
LAST_CALLS_S = 1.0
"""Seconds in which calls may end after a signal has ended the load."""
CONCURRENCY = 32
CONCURRENCY_AT_RATE = 10_000

EXAMPLE = """\
examples:
  pybrpc press 127.0.0.1:8000 Echo '{"message": "hello"}' --qps 1000 --duration 30
  pybrpc press 127.0.0.1:8000 Echo --input requests.json --qps 0 --concurrency 64

--qps 0 is as fast as it goes: each of --concurrency callers calls again when its call has ended. At
a fixed rate the latency of a call counts from the time at which it was due, so a server that stops
for a second is seen as one. All calls are made by one process, on one core."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_calling(parser, 1.0)
    parser.add_argument(
        "--input", metavar="FILE", help="many requests as JSON, one behind the other, sent in turn"
    )
    parser.add_argument(
        "--qps",
        type=rate,
        default=100.0,
        metavar="N",
        help="calls a second; 0: no limit (%(default)g)",
    )
    parser.add_argument(
        "--duration", type=some_seconds, default=10.0, metavar="SECONDS", help="(%(default)g)"
    )
    parser.add_argument(
        "--concurrency",
        type=calls_at_once,
        metavar="N",
        help="calls at once (32; with --qps 10000)",
    )
    parser.add_argument(
        "--connection-type",
        choices=CONNECTION_TYPES,
        help="(single; pooled with http)",
    )
    parser.add_argument(
        "--connections",
        type=connections,
        metavar="N",
        help="parallel connections of the type single (1)",
    )


def run(options: argparse.Namespace, output: Output) -> int:
    """Load the server, and print the figures. Exit status 1 if a call has failed."""
    if not output.is_json:
        rich("table")
    target = called(options)
    requests = requests_of(options, target)
    given = channel_options(options)
    for name in ("connection_type", "connections"):
        if getattr(options, name) is not None:
            given[name] = getattr(options, name)
    concurrency = options.concurrency or (CONCURRENCY_AT_RATE if options.qps else CONCURRENCY)
    if connection_type_of(options) == "pooled":
        given["max_pool_size"] = min(concurrency, 1000)
    what = f"{target.method.full_name} on {options.server}"
    attachment = attachment_of(options)

    async def press() -> int:
        async with channel_to(options.server, options, AioChannel, **given) as channel:
            method = channel.make_method(target.method)

            def begin(request: Message) -> asyncio.Future[Any]:
                if attachment is None:
                    return method(request)
                controller = Controller()
                controller.request_attachment.append(attachment)
                return method(request, controller=controller)

            load = Load(
                begin,
                itertools.cycle(requests),
                qps=options.qps,
                concurrency=concurrency,
                duration_s=options.duration,
            )
            return await run_load(load, output, what)

    return asyncio.run(press())


def connection_type_of(options: argparse.Namespace) -> str:
    """The type of the connections: the one that was given, or that of the protocol. UsageError."""
    if options.connection_type is not None:
        return str(options.connection_type)
    try:
        return default_connection_type(options.protocol)
    except ValueError as error:
        raise UsageError(str(error)) from error


def requests_of(options: argparse.Namespace, target: Called) -> list[Message]:
    """The requests, at least one. UsageError."""
    if options.input is None:
        return [target.request(text_in(options.request))]
    data = read_bytes(options.input)
    try:
        requests = target.requests(data)
    except UsageError as error:
        raise UsageError(f"{options.input}: {error}") from error
    if not requests:
        raise UsageError(f"{options.input} has no request")
    return requests


async def run_load(load: Load[Any], output: Output, what: str) -> int:
    """Run the load to its end, to Ctrl-C or a signal that ends the command; show it meanwhile, and
    print its figures. The exit status."""
    running = asyncio.ensure_future(load.run())
    loop = asyncio.get_running_loop()
    status: int | None = None

    def end(number: int) -> None:
        nonlocal status
        status = status_after(number)
        load.stop()
        loop.call_later(LAST_CALLS_S, running.cancel)

    with signals_to(end), showing(load, output, what) as show:
        while not running.done():
            try:
                await asyncio.wait((running,), timeout=SHOW_EVERY_S)
                show()
            except asyncio.CancelledError:
                if status is not None:
                    raise
                end(signal.SIGINT)
    if running.cancelled():
        output.note(f"calls that had not ended: {load.running}")
    else:
        await running
    figures = load.figures()
    if output.is_json:
        output.value(facts_of(figures))
    else:
        print_figures(figures, output, what)
    if status is not None:
        return status
    return FAILED if figures.failed else OK


@contextlib.contextmanager
def showing(load: Load[Any], output: Output, what: str) -> Iterator[Callable[[], None]]:
    """A function that shows how far it is: in a terminal alone."""
    if not output.is_terminal:
        yield lambda: None
        return
    with LiveScreen(load, output, what) as screen:
        yield screen.show
