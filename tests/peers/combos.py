"""Combined channels over the servers of a cluster, and each form of calling them."""

from __future__ import annotations

import asyncio
import contextlib
import queue
from collections.abc import Callable, Iterator
from typing import Any

import pybrpc
from tests.peers.echo import ECHO

THREAD_FORMS = ("blocking", "future", "callback")
FORMS = (*THREAD_FORMS, "asyncio")


@contextlib.contextmanager
def channels(addresses: list[str], **options: Any) -> Iterator[list[pybrpc.Channel]]:
    """A channel to each address, patient unless told otherwise; closed at the end."""
    options.setdefault("timeout", 30)
    options.setdefault("connect_timeout", 30)
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(pybrpc.Channel(each, **options)) for each in addresses]


@contextlib.asynccontextmanager
async def aio_channels(addresses: list[str], **options: Any) -> Any:
    """As `channels`, for asyncio."""
    options.setdefault("timeout", 30)
    options.setdefault("connect_timeout", 30)
    async with contextlib.AsyncExitStack() as stack:
        made = [pybrpc.aio.Channel(each, **options) for each in addresses]
        yield [await stack.enter_async_context(each) for each in made]


def call_by(form: str, channel: Any, request: Any, **options: Any) -> Any:
    """One call in a form of threads: the response, or the error raised."""
    stub = pybrpc.Stub(ECHO, channel)
    if form == "blocking":
        return stub.Echo(request, **options)
    if form == "future":
        return stub.Echo.future(request, **options).result(30)
    ends: queue.SimpleQueue[tuple[Any, Any]] = queue.SimpleQueue()
    stub.Echo.with_callback(request, lambda response, error: ends.put((response, error)), **options)
    response, error = ends.get(timeout=30)
    assert (response is None) is not (error is None)
    if error is not None:
        raise error
    return response


def call_over(
    form: str,
    kind: str,
    addresses: list[str],
    request: Any,
    add: Callable[[Any, list[Any]], object],
    timeout: float = 30,
    controller: pybrpc.Controller | None = None,
    channel_options: dict[str, Any] | None = None,
    **options: Any,
) -> Any:
    """One call on a combined channel of that `kind`, "ParallelChannel" or "SelectiveChannel", with
    these `options`, to which `add` adds channels to the addresses. In any form."""
    call_options = {"timeout": timeout, "controller": controller}
    sub_options = channel_options or {}
    if form in THREAD_FORMS:
        with channels(addresses, **sub_options) as made, getattr(pybrpc, kind)(**options) as combo:
            add(combo, made)
            return call_by(form, combo, request, **call_options)

    async def call() -> Any:
        async with (
            aio_channels(addresses, **sub_options) as made,
            getattr(pybrpc.aio, kind)(**options) as combo,
        ):
            add(combo, made)
            return await pybrpc.Stub(ECHO, combo).Echo(request, **call_options)

    return asyncio.run(call())


def add_all(combo: Any, made: list[Any]) -> None:
    """Add each channel as it is."""
    for channel in made:
        combo.add_channel(channel)
