"""Endpoints as a channel sees them: what it counts, and whether they are down."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest

import pybrpc
from pybrpc.errors import ConnectError, RpcError
from tests.fakes.threads import wait_until
from tests.peers.echo import echo_request
from tests.peers.serving import make_server

OFTEN = pybrpc.Backoff(first_s=0.02, factor=1, max_s=0.02)
NEVER_AGAIN = pybrpc.Backoff(first_s=3600, max_s=3600)


def counts(channel: Any) -> Any:
    found = channel.endpoint_statistics()
    assert found is not None
    return found


def is_down(channel: Any) -> bool:
    found = channel.endpoint_statistics()
    return found is not None and found.is_down


def call_until_refused(client: Any) -> RpcError:
    with pytest.raises(ConnectError) as caught:
        client.call(echo_request())
    return caught.value


def try_call(client: Any) -> bool:
    try:
        return bool(client.call(echo_request("up")).message == "up")
    except ConnectError:
        return False


@contextlib.contextmanager
def revived(address: str) -> Iterator[pybrpc.Server]:
    """A server on an address on which nobody listened."""
    with make_server() as server:
        server.start(address)
        yield server


def wait_up(client: Any) -> None:
    wait_until(lambda: try_call(client))
    assert not is_down(client.channel)
