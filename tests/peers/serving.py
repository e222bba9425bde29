"""Servers with handlers made of functions."""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, ParamSpec, Protocol, TypeVar

from pybrpc.rpc.controller import Controller
from pybrpc.server import Server
from tests.peers.raw_peer import SERVICE, EchoResponse, RawPeer

Handler = Callable[[Any, Controller], Any]
P = ParamSpec("P")


class HasServer(Protocol):
    """Something with a server, which it has started."""

    server: Server


Made = TypeVar("Made", bound=HasServer)


def echo(request: Any, controller: Controller) -> Any:
    return EchoResponse(message=request.message)


async def async_echo(request: Any, controller: Controller) -> Any:
    return EchoResponse(message=request.message)


class EchoService:
    """Its methods are the functions that it is given."""

    def __init__(self, Echo: Handler = echo, Stream: Handler = echo) -> None:
        self.Echo = Echo
        self.Stream = Stream


def as_async(handler: Handler) -> Handler:
    """The same handler as a coroutine function."""

    @functools.wraps(handler)
    async def handle(request: Any, controller: Controller) -> Any:
        return handler(request, controller)

    return handle


class Gate:
    """A handler that answers when it is opened, and says how many calls wait in it."""

    def __init__(self) -> None:
        self.entered = threading.Semaphore(0)
        self.opened = threading.Event()

    def __call__(self, request: Any, controller: Controller) -> Any:
        self.entered.release()
        self.opened.wait()
        return echo(request, controller)

    def wait_entered(self, count: int = 1) -> None:
        for _ in range(count):
            assert self.entered.acquire(timeout=30)

    def open(self) -> None:
        self.opened.set()


def make_server(Echo: Handler = echo, Stream: Handler = echo, **options: Any) -> Server:
    server = Server(**options)
    server.add_service(SERVICE, EchoService(Echo, Stream))
    return server


@contextlib.contextmanager
def serving(Echo: Handler = echo, Stream: Handler = echo, **options: Any) -> Iterator[RawPeer]:
    """A peer that is connected to a server with these handlers."""
    with make_server(Echo, Stream, **options) as server, RawPeer(start(server)) as peer:
        yield peer


@contextlib.asynccontextmanager
async def serving_in_loop(
    Echo: Handler = echo, Stream: Handler = echo, **options: Any
) -> AsyncIterator[Server]:
    """A server whose dispatcher is the running loop."""
    async with make_server(Echo, Stream, **options) as server:
        start(server)
        yield server


def start(server: Server) -> Any:
    return server.start("127.0.0.1:0")


@contextlib.contextmanager
def starting(make: Callable[P, Made]) -> Iterator[Callable[P, Made]]:
    """`make`; in the end the servers of all that it has made are stopped."""
    made: list[Made] = []

    def start(*args: P.args, **kwargs: P.kwargs) -> Made:
        made.append(make(*args, **kwargs))
        return made[-1]

    yield start
    for each in made:
        each.server.stop(0)
        assert each.server.join(20)
