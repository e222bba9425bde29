"""Handlers that call a server behind them, in every form of calling, and servers to run them."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pybrpc
from pybrpc.redis import RedisChannel
from pybrpc.redis.aio import RedisChannel as AioRedisChannel
from pybrpc.server import Server
from tests.fakes.threads import WAIT_S, wait_until
from tests.peers.echo import ECHO, echo_request
from tests.peers.scripted_server import Peer, ScriptedServer
from tests.peers.serving import Handler, make_server, start

OWN_S = 30.0
"""The timeout of nested calls, unless a test says another one."""


def only_read(peer: Peer) -> None:
    """A script: a server that reads requests and answers none."""
    while peer.read_request() is not None:
        pass


class SilentRedis:
    """A script: a Redis server that takes logins and answers nothing else."""

    def __init__(self) -> None:
        self.commands = 0

    def __call__(self, peer: Peer) -> None:
        while data := peer.sock.recv(65536):
            if b"SETNAME" in data:
                peer.send(b"+OK\r\n")
            self.commands += data.count(b"GET")


class Behind:
    """The server behind the handlers, and their stubs of it."""

    def __init__(self, server: ScriptedServer, redis: ScriptedServer, silent: SilentRedis) -> None:
        self.server = server
        self._silent_redis = silent
        self.channel = pybrpc.Channel(server.address, timeout=OWN_S, max_retry=0)
        self.stub = pybrpc.Stub(ECHO, self.channel)
        self.aio_stub = pybrpc.Stub(ECHO, pybrpc.aio.Channel(server.address, timeout=OWN_S))
        shared = pybrpc.aio.Channel(server.address, timeout=OWN_S, share_with_threads=True)
        self.shared_stub = pybrpc.Stub(ECHO, shared)
        self.redis = RedisChannel(redis.address, protocol=2, timeout=OWN_S)
        self.aio_redis = AioRedisChannel(redis.address, protocol=2, timeout=OWN_S)

    @property
    def timeouts_ms(self) -> list[int | None]:
        """Those that the requests had which it has read."""
        return [request.timeout_ms for request in self.server.requests]

    def wait_called(self) -> None:
        """Wait until it has read a request, or a command."""
        wait_until(lambda: bool(self.server.requests or self._silent_redis.commands))


@contextlib.contextmanager
def behind(script: Callable[[Peer], None] = only_read) -> Iterator[Behind]:
    silent = SilentRedis()
    with ScriptedServer(script) as server, ScriptedServer(silent) as redis:
        made = Behind(server, redis, silent)
        with made.channel, made.redis:
            yield made


# --- forms of nested calls: functions of the server behind and the options of the call ---


def blocking(server: Behind, **options: Any) -> Any:
    return server.stub.Echo(echo_request(), **options)


def future(server: Behind, **options: Any) -> Any:
    return server.stub.Echo.future(echo_request(), **options).result()


def callback(server: Behind, **options: Any) -> Any:
    ends: queue.SimpleQueue[tuple[Any, Any]] = queue.SimpleQueue()
    server.stub.Echo.with_callback(echo_request(), lambda *end: ends.put(end), **options)
    response, error = ends.get()
    if error is not None:
        raise error
    return response


def redis(server: Behind, **options: Any) -> Any:
    return server.redis.execute("GET", "key", **options)


async def awaited(server: Behind, **options: Any) -> Any:
    return await server.aio_stub.Echo(echo_request(), **options)


async def shared(server: Behind, **options: Any) -> Any:
    return await server.shared_stub.Echo(echo_request(), **options)


async def in_task(server: Behind, **options: Any) -> Any:
    return await asyncio.create_task(awaited(server, **options))


async def in_thread(server: Behind, **options: Any) -> Any:
    return await asyncio.to_thread(blocking, server, **options)


async def aio_redis(server: Behind, **options: Any) -> Any:
    return await server.aio_redis.execute("GET", "key", **options)


PLAIN_FORMS: dict[str, Callable[..., Any]] = {
    form.__name__: form for form in (blocking, future, callback, redis)
}
ASYNC_FORMS: dict[str, Callable[..., Awaitable[Any]]] = {
    form.__name__: form for form in (awaited, shared, in_task, in_thread, aio_redis)
}


# --- places in which handlers run ---


@contextlib.contextmanager
def running_in_a_loop(server: Server) -> Iterator[Server]:
    """The loop of a thread becomes the dispatcher of the server."""
    is_over = asyncio.Event()
    started: queue.SimpleQueue[Any] = queue.SimpleQueue()

    async def serve() -> None:
        try:
            async with server:
                start(server)
                started.put((None, asyncio.get_running_loop()))
                await is_over.wait()
                server.stop(0)
        except BaseException as error:
            started.put((error, None))
            raise

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    error, loop = started.get(timeout=WAIT_S)
    if error is not None:
        raise error
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(is_over.set)
        thread.join(WAIT_S)
        assert not thread.is_alive()


@contextlib.contextmanager
def running_in_threads(server: Server) -> Iterator[Server]:
    """The dispatcher of the process polls for the server."""
    start(server)
    try:
        yield server
    finally:
        server.stop(0)
        assert server.join(WAIT_S)


def serving_in_a_loop(
    handler: Handler, **options: Any
) -> contextlib.AbstractContextManager[Server]:
    return running_in_a_loop(make_server(handler, **options))


def serving_in_threads(
    handler: Handler, **options: Any
) -> contextlib.AbstractContextManager[Server]:
    return running_in_threads(make_server(handler, **options))


RUNNING = {"threads": running_in_threads, "loop": running_in_a_loop}
SERVING = {"threads": serving_in_threads, "loop": serving_in_a_loop}

PLACES = [("threads", form) for form in (*PLAIN_FORMS, *ASYNC_FORMS)]
PLACES += [("loop", form) for form in ASYNC_FORMS]
"""A place for the handler, and the form of its nested call. (A loop runs plain handlers in the
workers of its server, as a server without a loop does.)"""


class Nesting:
    """A handler that makes one nested call, and notes how that ends."""

    def __init__(self, server: Behind, form: str, **options: Any) -> None:
        self.ends: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._server = server
        self._options = options
        self.handler: Any = self._plain if form in PLAIN_FORMS else self._async
        self._call: Any = PLAIN_FORMS.get(form) or ASYNC_FORMS[form]

    def next_end(self) -> Any:
        """The response of a nested call, or the error that it raised."""
        return self.ends.get(timeout=WAIT_S)

    def _plain(self, request: Any, controller: pybrpc.Controller) -> Any:
        try:
            response = self._call(self._server, **self._options)
        except BaseException as error:
            self.ends.put(error)
            raise
        self.ends.put(response)
        return response

    async def _async(self, request: Any, controller: pybrpc.Controller) -> Any:
        try:
            response = await self._call(self._server, **self._options)
        except BaseException as error:
            self.ends.put(error)
            raise
        self.ends.put(response)
        return response
