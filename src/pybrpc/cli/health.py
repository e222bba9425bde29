"""pybrpc health: ask servers whether they are healthy, for scripts and probes of containers."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

from pybrpc.cli.arguments import add_timeout, add_tls, seconds
from pybrpc.cli.command import FAILED, OK
from pybrpc.cli.output import Output, printable
from pybrpc.cli.pages import MAX_SHOWN, get, page_channel
from pybrpc.client.channel.channel import Channel
from pybrpc.errors import RpcError

PAUSE_S = 0.1
"""Seconds between two questions of `--wait`."""

EXAMPLE = """\
examples:
  pybrpc health 127.0.0.1:8000
  pybrpc health --readiness --wait 30 127.0.0.1:8000 && echo "it may have traffic"

The page /health (or /readiness) of each server is asked. The exit status is 1 if one of them
answers with another status than 200, or not at all."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("servers", nargs="+", metavar="SERVER", help="host:port or unix:path")
    parser.add_argument(
        "--readiness",
        action="store_true",
        help="ask /readiness: 503 from the beginning of a stop on",
    )
    parser.add_argument(
        "--wait",
        type=seconds,
        default=0.0,
        metavar="SECONDS",
        help="ask again until all are healthy, for so long (%(default)g)",
    )
    add_timeout(parser, 1.0)
    add_tls(parser)


def run(options: argparse.Namespace, output: Output) -> int:
    """Ask each server. Exit status 1 if one of them is not healthy."""
    path = "/readiness" if options.readiness else "/health"
    deadline = time.monotonic() + options.wait
    status = OK
    for address in options.servers:
        with page_channel(address, options) as channel:
            found = ask_until(lambda ask=channel: ask_once(ask, path), deadline)  # type: ignore[misc]
        if not found["healthy"]:
            status = FAILED
        output.result(
            {"server": address, **found},
            f"{address}: {'healthy' if found['healthy'] else 'NOT healthy'}: {found['text']}",
        )
    return status


def ask_until(ask: Callable[[], dict[str, Any]], deadline: float) -> dict[str, Any]:
    """Ask until the answer is "healthy", or `deadline` has passed; at least once."""
    while True:
        found = ask()
        left = deadline - time.monotonic()
        if found["healthy"] or left <= 0:
            return found
        time.sleep(min(PAUSE_S, left))


def ask_once(channel: Channel, path: str) -> dict[str, Any]:
    """The answer of one server, or the reason why there is none."""
    try:
        response = get(channel, path)
    except RpcError as error:
        return {"healthy": False, "status": None, "text": str(error)}
    text = printable(" ".join(response.text().split())[:MAX_SHOWN])
    return {"healthy": response.status == 200, "status": response.status, "text": text}
