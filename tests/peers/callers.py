"""Callers: every form of calling behind one blocking face, so that a test can run on each."""

from __future__ import annotations

import asyncio
import contextlib
import queue
from collections.abc import Coroutine, Iterator
from typing import Any

from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import Message

import pybrpc
from pybrpc.client.connections.connection import ConnectionStatistics
from tests.peers.echo import ECHO
from tests.peers.loops import LOOPS


class Caller:
    """One channel and one form of calling it."""

    channel: Any

    def call(self, request: Message, **options: Any) -> Any:
        """Call and wait: the response, or the error raised."""
        raise NotImplementedError

    def call_many(self, requests: list[Message], **options: Any) -> list[Any]:
        """All at once; the responses."""
        return [self.call(request, **options) for request in requests]

    def statistics(self) -> ConnectionStatistics:
        found = self.channel.statistics()
        assert found is not None
        return found


class BlockingCaller(Caller):
    def __init__(self, address: str, service: ServiceDescriptor, **options: Any) -> None:
        self.channel = pybrpc.Channel(address, **options)
        self.stub = pybrpc.Stub(service, self.channel)

    def call(self, request: Message, **options: Any) -> Any:
        return self.stub.Echo(request, **options)


class FutureCaller(BlockingCaller):
    def call(self, request: Message, **options: Any) -> Any:
        return self.stub.Echo.future(request, **options).result()

    def call_many(self, requests: list[Message], **options: Any) -> list[Any]:
        futures = [self.stub.Echo.future(request, **options) for request in requests]
        return [future.result() for future in futures]


class CallbackCaller(BlockingCaller):
    def call(self, request: Message, **options: Any) -> Any:
        ends: queue.SimpleQueue[tuple[Any, Any]] = queue.SimpleQueue()
        self.stub.Echo.with_callback(
            request, lambda response, error: ends.put((response, error)), **options
        )
        response, error = ends.get()
        assert (response is None) is not (error is None)
        if error is not None:
            raise error
        return response


class AioCaller(Caller):
    """Its loop runs only while a call does."""

    def __init__(
        self,
        runner: asyncio.Runner,
        address: str,
        service: ServiceDescriptor,
        share_with_threads: bool,
        **options: Any,
    ) -> None:
        self.channel = pybrpc.aio.Channel(address, share_with_threads=share_with_threads, **options)
        self.stub = pybrpc.Stub(service, self.channel)
        self._runner = runner

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return self._runner.run(coroutine)

    def call(self, request: Message, **options: Any) -> Any:
        async def call() -> Any:
            return await self.stub.Echo(request, **options)

        return self.run(call())

    def call_many(self, requests: list[Message], **options: Any) -> list[Any]:
        async def call() -> list[Any]:
            return await asyncio.gather(*[self.stub.Echo(r, **options) for r in requests])

        return list(self.run(call()))


THREAD_FORMS = {"blocking": BlockingCaller, "future": FutureCaller, "callback": CallbackCaller}
AIO_FORMS = ("asyncio", "uvloop", "asyncio-shared")
FORMS = (*THREAD_FORMS, *AIO_FORMS)


@contextlib.contextmanager
def caller(
    form: str, address: str, service: ServiceDescriptor = ECHO, **options: Any
) -> Iterator[Any]:
    """A Caller of that form, patient unless told otherwise; its channel is closed at the end."""
    options.setdefault("timeout", 30)
    options.setdefault("connect_timeout", 30)
    if form in THREAD_FORMS:
        found = THREAD_FORMS[form](address, service, **options)
        with found.channel:
            yield found
        return
    loop, _, shared = form.partition("-")
    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        aio = AioCaller(runner, address, service, shared == "shared", **options)
        try:
            yield aio
        finally:
            runner.run(aio.channel.close())
