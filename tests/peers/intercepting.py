"""Interceptors of channels, and calls of Echo in every form that pass through them."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import pytest

import pybrpc
from pybrpc.errors import LimitReachedError, RpcError
from tests.peers.raw_peer import SERVICE, EchoRequest, EchoResponse
from tests.peers.serving import make_server, start

FORMS = ["blocking", "future", "callback", "awaited"]
FORM = pytest.mark.parametrize("form", FORMS)
THREADS = ("blocking", "future", "callback")
HELLO = EchoRequest(message="hello")


def fields(request: Any, controller: Any) -> Any:
    """Answers with the user fields too."""
    if request.message.lower() == "fail":
        raise LimitReachedError("too many")
    if controller.request_user_fields:
        controller.response_user_fields = controller.request_user_fields
    return EchoResponse(message=request.message)


@contextlib.contextmanager
def serving_fields() -> Iterator[str]:
    """The address of a server whose handler is `fields`."""
    with make_server(fields) as server:
        yield str(start(server))


def call(form: str, address: str, interceptors: Any, request: Any = HELLO, **options: Any) -> Any:
    """Call Echo in one of the forms; returns the response or raises the error."""
    if form == "awaited":
        return asyncio.run(awaited(address, interceptors, request, options))
    with pybrpc.Channel(address, timeout=20, interceptors=interceptors) as channel:
        echo = pybrpc.Stub(SERVICE, channel).Echo
        if form == "blocking":
            return echo(request, **options)
        if form == "future":
            return echo.future(request, **options).result(30)
        outcome: list[Any] = []
        ended = threading.Event()

        def done(response: Any, error: RpcError | None) -> None:
            outcome.extend((response, error))
            ended.set()

        echo.with_callback(request, done, **options)
        assert ended.wait(30)
        response, error = outcome
        if error is not None:
            raise error
        return response


async def awaited(address: str, interceptors: Any, request: Any, options: Any) -> Any:
    async with pybrpc.aio.Channel(address, timeout=20, interceptors=interceptors) as channel:
        return await pybrpc.Stub(SERVICE, channel).Echo(request, **options)


def shout(call: Any, proceed: Any) -> Iterator[Any]:
    response = yield proceed(EchoRequest(message=call.request.message.upper()))
    response.message += "!"
    return response


def plain_shout(call: Any, proceed: Any) -> Any:
    response = proceed(EchoRequest(message=call.request.message.upper()))
    response.message += "!"
    return response


async def async_shout(call: Any, proceed: Any) -> Any:
    await asyncio.sleep(0)
    response = await proceed(EchoRequest(message=call.request.message.upper()))
    response.message += "!"
    return response


def own_shout(form: str) -> Any:
    """The kind of interceptor that waits."""
    return async_shout if form == "awaited" else plain_shout


def raising(form: str, error: Any, is_late: bool = False) -> Any:
    """An interceptor of the kind that waits, which raises `error`."""

    def plain(call: Any, proceed: Any) -> Any:
        if is_late:
            proceed()
        raise error

    async def in_loop(call: Any, proceed: Any) -> Any:
        if is_late:
            await proceed()
        raise error

    return in_loop if form == "awaited" else plain
