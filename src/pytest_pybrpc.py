"""The pytest plugin of pybrpc: fixtures that start servers, channels and faulty proxies, and end
them after the test. docs/testing.md shows them.

pytest imports this in each run, wherever pybrpc is installed. So it is a module of its own, which
imports pybrpc only when a test uses one of the fixtures.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import pybrpc
    from pybrpc.testing import ChannelFactory, FaultyProxy, ProxyFactory, ServerFactory


@pytest.fixture
def pybrpc_server() -> Iterator[ServerFactory]:
    """A function that starts a `pybrpc.Server` on a free port: `pybrpc_server(EchoService())`.

    The object is one of a class derived from a generated one. Instead of it: a service descriptor
    and the object that serves it, a `FakeService`, or a `pybrpc.Server` that was not started.
    `address=` is where it listens; the other options are those of `pybrpc.Server`.
    `str(server.endpoint)` is the address. After the test each server is stopped.
    """
    from pybrpc.testing.in_memory import end_server, server_of

    with contextlib.ExitStack() as stack:

        def start(
            served: Any, impl: object = None, *, address: str = "127.0.0.1:0", **options: Any
        ) -> pybrpc.Server:
            server = server_of(served, impl, options)  # type: ignore[arg-type]
            server.start(address)
            stack.callback(end_server, server)
            return server

        yield start


@pytest.fixture
def pybrpc_channel() -> Iterator[ChannelFactory]:
    """A function that makes a `pybrpc.Channel`: `pybrpc_channel("127.0.0.1:8000")`.

    For a service instead of an address it is `pybrpc.testing.channel_for`, with the same
    arguments: `pybrpc_channel(EchoService())`. After the test each channel is closed.
    """
    import pybrpc
    from pybrpc.testing import channel_for

    with contextlib.ExitStack() as stack:

        def make(where: Any, impl: object = None, **options: Any) -> Any:
            is_service = isinstance(where, pybrpc.TypedService)  # it may be iterable too
            is_address = not is_service and isinstance(where, str | pybrpc.Endpoint | Iterable)
            channel: pybrpc.Channel
            if is_address and impl is None:
                channel = pybrpc.Channel(where, **options)
            else:
                channel = channel_for(where, impl, **options)
            stack.callback(channel.close)
            return channel

        yield make


@pytest.fixture
def faulty_proxy() -> Iterator[ProxyFactory]:
    """A function that starts a `FaultyProxy`: `faulty_proxy(server.endpoint, faults)`.

    The first argument may also be a server that runs. The others are those of
    `pybrpc.testing.faulty_proxy.FaultyProxy`. Clients connect to `proxy.address`. After the test
    each proxy is closed.
    """
    import pybrpc
    from pybrpc.testing.faulty_proxy import NO_FAULTS, FaultyProxy

    with contextlib.ExitStack() as stack:

        def start(upstream: Any, plan: Any = NO_FAULTS, **options: Any) -> FaultyProxy:
            where = upstream.endpoint if isinstance(upstream, pybrpc.Server) else upstream
            return stack.enter_context(FaultyProxy(where, plan, **options))

        yield start
