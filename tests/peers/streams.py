"""Streams of both sides, threads and asyncio, behind one blocking face, on both sides."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import queue
import threading
from collections.abc import Coroutine, Iterator
from typing import Any

import pytest

import pybrpc
from pybrpc.transport.runtime import default_runtime
from tests.fakes.threads import WAIT_S, wait_until
from tests.peers.echo import ECHO, echo_request
from tests.peers.loops import LOOPS
from tests.protos import conformance_pb2 as pb

THREADS = "threads"
CLIENTS = (THREADS, "asyncio", "uvloop")
"""Forms of a client: blocking, or in a loop of that kind."""
PAIRS = ("threads-threads", "threads-asyncio", "asyncio-threads", "uvloop-asyncio")
"""Forms of client and server. The handlers of an "asyncio" server are async functions."""

every_pair = pytest.mark.parametrize("sides", PAIRS)


class LoopThread:
    """An asyncio loop that runs in a thread of its own, so that tests may wait for its tasks."""

    def __init__(self, kind: str) -> None:
        self.loop: Any = None
        self._kind = kind
        self._is_running = threading.Event()
        self._stop: Any = None
        self._thread = threading.Thread(target=self._run, name="loop of a test")

    def __enter__(self) -> LoopThread:
        self._thread.start()
        assert self._is_running.wait(WAIT_S)
        return self

    def __exit__(self, *exception: object) -> None:
        self.loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(WAIT_S)
        assert not self._thread.is_alive()

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return run_in(self.loop, coroutine)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=LOOPS[self._kind]) as runner:
            runner.run(self._main())

    async def _main(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self._is_running.set()
        await self._stop.wait()


def run_in(loop: Any, coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run `coroutine` in the loop of another thread; return, or raise, as it does."""
    return asyncio.run_coroutine_threadsafe(coroutine, loop).result(2 * WAIT_S)


class Face:
    """A stream or another object whose methods block: those to be awaited run in `loop`."""

    def __init__(self, inner: Any, loop: Any) -> None:
        self.inner = inner
        self.loop = loop

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.inner, name)
        if self.loop is None or not callable(found):
            return found

        def call(*arguments: Any, **options: Any) -> Any:
            result = run_in(self.loop, as_coroutine(found, arguments, options))
            if hasattr(result, "__anext__"):
                return self._iterate(result)
            return result

        return call

    def of(self, message_class: Any) -> Face:
        return Face(self.inner.of(message_class), self.loop)

    def start(self, name: str, *arguments: Any, **options: Any) -> Started:
        """Call the method in a thread or a task of its own."""
        return Started(self, name, arguments, options)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.inner) if self.loop is None else self._iterate(self.inner)

    def _iterate(self, iterator: Any) -> Iterator[Any]:
        while True:
            try:
                yield run_in(self.loop, as_coroutine(iterator.__anext__, (), {}))
            except StopAsyncIteration:
                return


async def as_coroutine(function: Any, arguments: Any, options: Any) -> Any:
    result = function(*arguments, **options)
    return await result if inspect.isawaitable(result) else result


class Started:
    """A method of a Face that runs in a thread."""

    def __init__(self, face: Face, name: str, arguments: Any, options: Any) -> None:
        self._end: Any = None
        self._error: BaseException | None = None

        def run() -> None:
            try:
                self._end = getattr(face, name)(*arguments, **options)
            except BaseException as error:
                self._error = error

        self._thread = threading.Thread(target=run)
        self._thread.start()

    @property
    def is_over(self) -> bool:
        return not self._thread.is_alive()

    def result(self) -> Any:
        """Return, or raise, as the method did."""
        self._thread.join(WAIT_S)
        assert self.is_over, "it hangs"
        if self._error is not None:
            raise self._error
        return self._end


class Client:
    """A channel of one form, to a server of another process or this one."""

    def __init__(self, form: str, channel: Any, loop: Any) -> None:
        self.form = form
        self.channel = channel
        self.loop = loop
        self.stub = pybrpc.Stub(ECHO, channel)

    def stream(self, request: Any = None, **options: Any) -> Any:
        return self.stub.Echo.stream(request or echo_request(), **options)

    def open(self, request: Any = None, **options: Any) -> Face:
        """A call whose streams are open."""
        call = self.face(self.stream(request, **options))
        call.open()
        return call

    def face(self, inner: Any) -> Face:
        return Face(inner, self.loop)

    def streams_of(self, call: Face) -> list[Face]:
        return [self.face(stream) for stream in call.inner.streams]

    def echo(self, message: str = "hello", **options: Any) -> Any:
        """A call that opens no stream."""
        if self.loop is None:
            return self.stub.Echo(echo_request(message), **options)
        return run_in(self.loop, as_coroutine(self.stub.Echo, (echo_request(message),), options))

    def close(self) -> None:
        self.face(self.channel).close()


@contextlib.contextmanager
def client_of(form: str, address: Any, **options: Any) -> Iterator[Client]:
    options = {"timeout": WAIT_S, "connect_timeout": WAIT_S} | options
    if form == THREADS:
        with pybrpc.Channel(str(address), **options) as channel:
            yield Client(form, channel, None)
        return
    with LoopThread(form) as thread:
        client = Client(form, pybrpc.aio.Channel(str(address), **options), thread.loop)
        try:
            yield client
        finally:
            client.close()


class Accepting:
    """A service whose handler accepts all streams; `next()` gives those of one request.

    A request that asks for no streams is echoed. The handler calls `on_accepted(streams,
    controller)`.
    """

    def __init__(self, options: Any = None, body: Any = None, on_accepted: Any = None) -> None:
        self.options = options
        self.body = body
        self.on_accepted = on_accepted
        self.accepted: queue.Queue[list[Face]] = queue.Queue()

    def Echo(self, request: Any, controller: Any) -> Any:
        return self.accept(request, controller, None)

    def Stream(self, request: Any, controller: Any) -> Any:
        return pb.EchoResponse(message=request.message)

    def accept(self, request: Any, controller: Any, loop: Any) -> Any:
        if controller._streams is not None:
            streams = controller.accept_streams(self.options, body=self.body)
            if self.on_accepted is not None:
                self.on_accepted(streams, controller)
            self.accepted.put([Face(stream, loop) for stream in streams])
        return pb.EchoResponse(message=request.message)

    def next(self) -> list[Face]:
        return self.accepted.get(timeout=WAIT_S)


class AsyncAccepting(Accepting):
    """An Accepting with an async handler."""

    async def Echo(self, request: Any, controller: Any) -> Any:
        return self.accept(request, controller, asyncio.get_running_loop())


def accepting(form: str, *arguments: Any, **options: Any) -> Accepting:
    return (Accepting if form == THREADS else AsyncAccepting)(*arguments, **options)


@contextlib.contextmanager
def served(service: Any, **options: Any) -> Iterator[pybrpc.Server]:
    """A running server with that service."""
    with pybrpc.Server(**options) as server:
        server.add_service(ECHO, service)
        server.start("127.0.0.1:0")
        yield server


class Pair:
    """Both sides of the streams of one call."""

    def __init__(
        self, client: Client, call: Face, ours: list[Face], theirs: list[Face], server: Any
    ) -> None:
        self.of_client = client
        self.call = call
        self.clients = ours
        self.client = ours[0]
        self.servers = theirs
        self.server = theirs[0]
        self.running = server

    @property
    def connections(self) -> list[Any]:
        """The connections of the server."""
        return list(self.running._run.connections)


@contextlib.contextmanager
def opened(
    sides: str = "threads-threads",
    options: Any = None,
    server_options: Any = None,
    streams: int = 1,
    service: Accepting | None = None,
    channel: dict[str, Any] | None = None,
    server: dict[str, Any] | None = None,
) -> Iterator[Pair]:
    """Open streams. At the end, what is still open is closed by the client, then both sides end."""
    ours, _, theirs = sides.partition("-")
    service = service or accepting(theirs, server_options)
    with (
        served(service, **(server or {})) as running,
        client_of(ours, running.endpoint, **(channel or {})) as client,
    ):
        call = client.open(streams=streams, options=options)
        pair = Pair(client, call, client.streams_of(call), service.next(), running)
        try:
            yield pair
        except BaseException:
            if call.inner is not None:
                call.reset()
            raise
        else:
            call.close(5)
        finally:
            for stream in pair.servers:
                stream.inner.reset()


def wait_until_idle(pair: Pair) -> None:
    """Wait until nothing is left of streams on either side: no hold, no bytes that are counted."""
    budget = default_runtime().stream_budget
    for stream in (pair.client, pair.server):
        table = stream.inner._core.table
        wait_until(lambda table=table: not table.streams)  # type: ignore[misc]
        assert table.unconsumed == 0
        connection = getattr(table, "_connection", None)
        if connection is not None:  # compiled code does not show it
            wait_until(lambda connection=connection: not connection._holds)  # type: ignore[misc]
    wait_until(lambda: budget.held_bytes == 0)


def wait_until_forgotten(server: pybrpc.Server) -> None:
    """No stream, and no hold, is left on the connections of the server."""

    def is_left() -> bool:
        return any(
            each.is_held() or each.stream_table().streams
            for each in list(server._run.connections)  # type: ignore[union-attr]
        )

    wait_until(lambda: not is_left())


def in_flight(client: Client) -> int:
    """Calls of its channel that wait for a response."""
    found = client.channel.statistics()
    return 0 if found is None else int(found.in_flight)
