"""Asyncio tasks that call, and are cancelled now and then."""

from __future__ import annotations

import asyncio
import importlib.util
import random
import threading
from collections.abc import Callable
from typing import Any

import pybrpc
from bench.echo_messages import SERVICE
from soak.echo_call import drawn_call
from soak.ledger import Ledger
from soak.on_purpose import LOOP_KINDS, drawn_kind, raiser
from soak.site import Site
from soak.thread_load import BURST, CALLS_PER_CHANNEL, HANG_S, TIMEOUTS_S


class TaskLoad:
    """`count` tasks of one loop, each of which opens channels, calls and closes them."""

    def __init__(
        self, sites: list[Site], ledger: Ledger, seed: str, stop: threading.Event, count: int
    ) -> None:
        self._sites = sites
        self._ledger = ledger
        self._seed = seed
        self._stop = stop
        self._count = count

    def run(self, loop_factory: Callable[[], asyncio.AbstractEventLoop]) -> None:
        """In a thread of its own."""
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            runner.run(self._call_until_stopped())

    async def _call_until_stopped(self) -> None:
        sources = [random.Random(f"{self._seed}/{number}") for number in range(self._count)]
        await asyncio.gather(*(self._work(source) for source in sources))

    async def _work(self, source: random.Random) -> None:
        while not self._stop.is_set():
            site = source.choice(self._sites)
            auth = site.drawn_identity(source)
            async with pybrpc.aio.Channel(
                site.proxy.address,
                share_with_threads=source.random() < 0.3,
                auth=auth,
                **site.drawn_channel_options(source),
            ) as channel:
                await self._call_over(channel, auth.user if auth else "", source)

    async def _call_over(
        self, channel: pybrpc.aio.Channel, user: str, source: random.Random
    ) -> None:
        echo = pybrpc.Stub(SERVICE, channel).Echo
        for _ in range(source.randint(1, CALLS_PER_CHANNEL)):
            if self._stop.is_set():
                return
            if source.random() < 0.7:
                await self._call(echo, user, source)
            else:
                await self._burst(echo, user, source)

    async def _call(self, echo: Any, user: str, source: random.Random) -> None:
        call, ticket = drawn_call(source, user), self._ledger.start()
        timeout_s = source.choice(TIMEOUTS_S)
        kind = drawn_kind(source, LOOP_KINDS)
        try:
            future = echo(call.request, timeout=timeout_s, controller=call.controller)
            if kind is not None:
                future.add_done_callback(raiser(kind))
            response = await future
        except (Exception, asyncio.CancelledError) as error:
            ticket.failed(error)
        else:
            ticket.answered(call.complaint(response))

    async def _burst(self, echo: Any, user: str, source: random.Random) -> None:
        tasks = [
            asyncio.create_task(self._call(echo, user, source))
            for _ in range(source.randint(1, BURST))
        ]
        await asyncio.sleep(source.choice((0, 0, 0.001, 0.01)))
        for task in tasks:
            kind = drawn_kind(source, LOOP_KINDS)
            if kind is not None:
                task.add_done_callback(raiser(kind))
            if source.random() < 0.1:
                task.cancel()
        await asyncio.wait(tasks, timeout=HANG_S)


def loop_factories() -> list[Callable[[], asyncio.AbstractEventLoop]]:
    """Asyncio's own loop, and uvloop's if it is installed."""
    if importlib.util.find_spec("uvloop") is None:
        return [asyncio.new_event_loop]
    import uvloop

    return [asyncio.new_event_loop, uvloop.new_event_loop]
