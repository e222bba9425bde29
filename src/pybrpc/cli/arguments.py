"""Arguments that several commands have: the server, the channel to it, numbers."""

from __future__ import annotations

import argparse
import math
from typing import Any, TypeVar

from pybrpc.cli.command import UsageError
from pybrpc.client.channel.aio_channel import AioChannel
from pybrpc.client.channel.channel import Channel
from pybrpc.transport.tls.client_tls import ClientTls

MAX_CONCURRENCY = 100_000
MAX_CONNECTIONS = 10_000
MAX_SECONDS = 1e9
"""About 30 years: the clocks of systems count no time of any length."""


def number_of(text: str) -> float:
    """The number that is written there, else NaN, which no limit lets pass."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def seconds(text: str) -> float:
    """A number of seconds >= 0; argparse ends the command with the text of the error."""
    number = number_of(text)
    if not number >= 0:
        raise argparse.ArgumentTypeError(f"must be a number of seconds >= 0, not {text!r}")
    return number


def some_seconds(text: str) -> float:
    """A number of seconds above 0, up to MAX_SECONDS."""
    number = seconds(text)
    if not 0 < number <= MAX_SECONDS:
        limits = f"> 0, at most {MAX_SECONDS:.0f}"
        raise argparse.ArgumentTypeError(f"must be a number of seconds {limits}, not {text!r}")
    return number


def rate(text: str) -> float:
    """Calls a second, from 0 on."""
    number = number_of(text)
    if not 0 <= number < math.inf:
        raise argparse.ArgumentTypeError(f"must be a number of calls >= 0, not {text!r}")
    return number


def count(text: str) -> int:
    """A whole number from 1 on."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 on, not {text!r}")
    return number


def calls_at_once(text: str) -> int:
    """A number of calls at once, which all take memory: from 1 to MAX_CONCURRENCY."""
    return count_up_to(MAX_CONCURRENCY, text)


def connections(text: str) -> int:
    """A number of connections, which all take a descriptor: from 1 to MAX_CONNECTIONS."""
    return count_up_to(MAX_CONNECTIONS, text)


def count_up_to(most: int, text: str) -> int:
    """A whole number from 1 to `most`."""
    number = count(text)
    if number > most:
        raise argparse.ArgumentTypeError(f"must be at most {most}, not {text!r}")
    return number


def add_tls(parser: argparse.ArgumentParser) -> None:
    """Add the options of TLS."""
    group = parser.add_argument_group("TLS")
    group.add_argument("--tls", action="store_true", help="trust the authorities of the system")
    group.add_argument("--ca", metavar="FILE", help="trust the authorities in this PEM file")
    group.add_argument("--cert", metavar="FILE", help="the client's own certificate, PEM")
    group.add_argument("--key", metavar="FILE", help="its key, PEM")
    group.add_argument("--server-name", metavar="NAME", help="the name in the server's certificate")


def add_timeout(parser: argparse.ArgumentParser, default: float) -> None:
    """Add `--timeout`."""
    parser.add_argument(
        "-t",
        "--timeout",
        type=some_seconds,
        default=default,
        metavar="SECONDS",
        help="for one call, with connecting (%(default)g)",
    )


def tls_of(options: argparse.Namespace) -> ClientTls | None:
    """The TLS options that were given; `None` for none."""
    names = ("ca", "cert", "key", "server_name")
    given = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    return ClientTls(**given) if given or options.tls else None


AnyChannel = TypeVar("AnyChannel", Channel, AioChannel)


def channel_to(
    address: str, options: argparse.Namespace, make: type[AnyChannel], **more: Any
) -> AnyChannel:
    """A channel to a server. UsageError if the options make no sense."""
    try:
        return make(address, tls=tls_of(options), **more)
    except (ValueError, TypeError) as error:
        raise UsageError(str(error)) from error
