"""Which asyncio loops have to run so that servers of this process can answer.

A blocking call in the thread of such a loop waits for a server that waits for the loop: until its
deadline, or for ever. It is refused if that is certain: the loop runs in the calling thread, and
the server listens, alone, at the very address of the call. A server whose socket other processes
may have too is not noted, nor is an address of another machine, or a name that only one of the two
was given, but for `localhost`.

A call to a cluster is refused if that holds for each server that it may get.

No call looks here but those of channels to such an address, or to a cluster while there is such a
server: see `Channel.open_source`.
"""

from __future__ import annotations

import os
import sys
import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Protocol

from pybrpc.base.endpoint import Endpoint
from pybrpc.base.lazy_modules import running_loop
from pybrpc.errors import WouldDeadlockError

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

_SAME_MACHINE: dict[str, tuple[str, ...]] = {"localhost": ("localhost", "127.0.0.1", "::1")}
"""The addresses that listen for a loopback address too, or for its name."""
if sys.platform == "linux":  # elsewhere another process may listen on the loopback address beside
    _SAME_MACHINE = {
        "127.0.0.1": ("0.0.0.0", "::"),
        "::1": ("::",),
        "localhost": ("localhost", "127.0.0.1", "::1", "0.0.0.0", "::"),
    }


class AnsweringServer(Protocol):
    """A server, as it is seen here."""

    def loop_that_answers(self, service: str, method: str) -> AbstractEventLoop | None:
        """The loop without which the server can't answer a call; `None` if it needs none."""


class CallingChannel(Protocol):
    """A channel of threads, as it is seen here."""

    def forget_open_source(self) -> None:
        """Ask `may_be_answered_by_loop` again before the next call."""


noted_servers: dict[Endpoint, AnsweringServer] = {}
"""The servers that need a loop. Empty in most processes."""
_channels: dict[int, weakref.ref[CallingChannel]] = {}
"""By their ids. Copying a dict is one step, unlike a WeakSet."""


def note_server(endpoints: Iterable[Endpoint], server: AnsweringServer) -> None:
    """`server` listens, and needs a loop for some of its methods."""
    for endpoint in endpoints:
        noted_servers[endpoint] = server
    # Store, then load, on both sides: a channel that is not noted yet will find the server.
    for reference in list(_channels.values()):
        channel = reference()
        if channel is not None:
            channel.forget_open_source()


def forget_server(server: AnsweringServer) -> None:
    """`server` does not accept any more. Any thread, never blocks."""
    for endpoint, noted in list(noted_servers.items()):
        if noted is server:
            noted_servers.pop(endpoint, None)


def note_channel(channel: CallingChannel) -> None:
    """`channel` begins to call."""
    number = id(channel)
    _channels[number] = weakref.ref(channel, lambda _: _channels.pop(number, None))


def may_be_answered_by_loop(endpoint: Endpoint | None) -> bool:
    """Whether blocking calls to `endpoint` have to ask `check_may_block`; `None`: to a cluster."""
    return bool(noted_servers) and (endpoint is None or _server_at(endpoint) is not None)


def check_may_block(endpoints: Callable[[], Sequence[Endpoint]], service: str, method: str) -> None:
    """WouldDeadlockError if a blocking call in this thread would keep its server from answering.

    `endpoints` gives the addresses of which one is called; none if they are not known yet.
    """
    running = running_loop()
    if running is None or not noted_servers:
        return
    called = endpoints()
    for endpoint in called:
        server = _server_at(endpoint)
        if server is None or server.loop_that_answers(service, method) is not running:
            return
    if called:
        raise WouldDeadlockError(
            f"a blocking call of {service}.{method} in the thread of the asyncio loop that has to "
            f"answer it, at {called[0]}, would wait for itself: await it on a pybrpc.aio.Channel, "
            "or block in another thread (asyncio.to_thread)"
        )


def _server_at(endpoint: Endpoint) -> AnsweringServer | None:
    server = noted_servers.get(endpoint)
    if server is None:
        for host in _SAME_MACHINE.get(endpoint.host.lower(), ()):
            server = server or noted_servers.get(Endpoint(host, endpoint.port))
    return server


os.register_at_fork(after_in_child=noted_servers.clear)
