"""Pages of a server, for the commands that read them."""

from __future__ import annotations

import argparse
from typing import Any
from urllib.parse import quote

from pybrpc.cli.arguments import channel_to
from pybrpc.cli.command import CommandError, UsageError
from pybrpc.cli.output import printable
from pybrpc.client.channel.channel import Channel
from pybrpc.client.channel.http_response import HttpResponse

MAX_SHOWN = 200
"""Characters of an error page that are shown."""


def page_channel(
    address: str, options: argparse.Namespace, may_be_several: bool = False
) -> Channel:
    """A channel that speaks HTTP to a server. UsageError for several ones, from a naming service,
    unless all of them show the same: each page would be that of another one."""
    given: Any = {"protocol": "http", "max_retry": 1, "timeout": options.timeout}
    channel = channel_to(address, options, Channel, **given)
    if channel.endpoint is None and not may_be_several:
        channel.close()
        raise UsageError(
            f"{address} may be several servers: give the host:port or unix:path of one"
        )
    return channel


def get(channel: Channel, path: str) -> HttpResponse:
    """A page as text, whatever its status. `path` begins with "/", and is quoted here."""
    return channel.http("GET", quote(path, safe="/?&=;*$%+:.,_-"), headers={"Accept": "text/plain"})


def page(channel: Channel, path: str) -> HttpResponse:
    """A page. CommandError, with the text of the server, if its status is no success."""
    response = get(channel, path)
    if response.status != 200:
        raise refusal(path, response, str(channel.endpoint))
    return response


def refusal(path: str, response: HttpResponse, address: str) -> CommandError:
    """The error of a page that was not shown."""
    text = printable(" ".join(response.text().split())[:MAX_SHOWN])
    status = f"{response.status} {response.reason}".strip()
    return CommandError(f"{address}{path}: {status}: {text}", http_status=response.status)
