"""Threads and tasks that open streams and use them as their plans say."""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
from collections.abc import Callable
from typing import Any

import pybrpc
from bench.echo_messages import SERVICE, EchoRequest
from pybrpc.errors import RpcError
from soak.ledger import Ledger
from soak.on_purpose import ON_PURPOSE
from soak.site import Site
from soak.streams.book import Side, StreamBook, StreamedCall
from soak.streams.plan import drawn_plan
from soak.streams.script import BlockingStream, blocking_pause, loop_pause, run_blocking, wait_ended
from soak.streams.service import STREAMS
from soak.streams.sides import Functions, script_of

CALLS_PER_CHANNEL = 20
TIMEOUTS_S = (0.02, 1.0, 3.0)
CANCELLED = 0.1
"""The share of tasks that are cancelled."""


class StreamLoad:
    """The part that both loads have in common."""

    def __init__(
        self, sites: list[Site], ledger: Ledger, book: StreamBook, seed: str, stop: threading.Event
    ) -> None:
        self._sites = sites
        self._ledger = ledger
        self._book = book
        self._seed = seed
        self._stop = stop

    def _channel_options(self, site: Site, source: random.Random) -> dict[str, Any]:
        return {
            "auth": site.drawn_identity(source),
            **site.drawn_channel_options(source),
            "backup_request_ms": None,
        }

    def _request(self, call: StreamedCall) -> Any:
        return EchoRequest(message=f"{STREAMS}{call.number}")

    def _complaint(self, call: StreamedCall, response: Any) -> str:
        if call.plan.handler_raises is not None:
            return f"{call!r}: its handler was to raise"
        if response.message != self._request(call).message:
            return f"{call!r}: answered {response.message[:20]!r}"
        return ""

    def _sides(self, call: StreamedCall, streams: list[Any]) -> list[Side]:
        return [call.side(True, each.id, index) for index, each in enumerate(streams)]

    def _may_reset(self, sides: list[Side]) -> None:
        for side in sides:
            side.may_reset = True

    def _forget(self, sides: list[Side]) -> None:
        """If they have no `on_closed`, nothing more comes of them."""
        for side in sides:
            if not side.plan.is_told_of_end:
                self._book.over(side)


class StreamThread(StreamLoad):
    """A thread that opens streams, until `stop` is set."""

    def run(self) -> None:
        source = random.Random(self._seed)
        while not self._stop.is_set():
            site = source.choice(self._sites)
            with pybrpc.Channel(
                site.proxy.address, **self._channel_options(site, source)
            ) as channel:
                for _ in range(source.randint(1, CALLS_PER_CHANNEL)):
                    if self._stop.is_set():
                        return
                    self._call(pybrpc.Stub(SERVICE, channel).Echo, source)

    def _call(self, echo: Any, source: random.Random) -> None:
        call = self._book.begin(drawn_plan(source, is_async=False))
        ticket = self._ledger.start()
        opening = echo.stream(
            self._request(call),
            streams=call.plan.streams,
            options=Functions(call, is_client=True).options(is_async=False),
            timeout=source.choice(TIMEOUTS_S),
        )
        try:
            opening.open()
        except RpcError as error:
            call.on_failed()
            ticket.failed(error)
            return
        ticket.answered(self._complaint(call, opening.response))
        sides = self._sides(call, opening.streams)
        try:
            self._use(opening, sides)
        except RpcError as error:
            sides[0].on_error(error)
        except ValueError as error:
            if error.args != (ON_PURPOSE,):
                raise
        streams = opening.streams if call.plan.client.is_told_of_end else []
        del opening
        for stream, side in zip(streams, sides, strict=False):
            run_blocking(wait_ended(BlockingStream(stream), side, stream.reset, blocking_pause))
        self._forget(sides)

    def _use(self, opening: Any, sides: list[Side]) -> None:
        scripts = [
            script_of(stream, side, False).run()
            for stream, side in zip(opening.streams, sides, strict=True)
        ]
        others = [threading.Thread(target=run_blocking, args=(each,)) for each in scripts[1:]]
        for thread in others:
            thread.start()
        run_blocking(scripts[0])
        for thread in others:
            thread.join()
        if sides[0].plan.end == "leave":
            return
        if sides[0].plan.end == "raise":
            self._may_reset(sides)
            try:
                raise ValueError(ON_PURPOSE)
            except ValueError as error:
                opening.__exit__(ValueError, error, error.__traceback__)
                raise
        _note_closing(sides)
        opening.close()


class StreamTasks(StreamLoad):
    """`count` tasks of one loop, each of which does as a StreamThread; some are cancelled."""

    def run(self, loop_factory: Callable[[], asyncio.AbstractEventLoop], count: int) -> None:
        """In a thread of its own."""
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            runner.run(self._call_until_stopped(count))

    async def _call_until_stopped(self, count: int) -> None:
        sources = [random.Random(f"{self._seed}/{number}") for number in range(count)]
        await asyncio.gather(*(self._work(source) for source in sources))

    async def _work(self, source: random.Random) -> None:
        while not self._stop.is_set():
            site = source.choice(self._sites)
            async with pybrpc.aio.Channel(
                site.proxy.address,
                share_with_threads=source.random() < 0.3,
                **self._channel_options(site, source),
            ) as channel:
                for _ in range(source.randint(1, CALLS_PER_CHANNEL)):
                    if self._stop.is_set():
                        return
                    await self._call_or_cancel(pybrpc.Stub(SERVICE, channel).Echo, source)

    async def _call_or_cancel(self, echo: Any, source: random.Random) -> None:
        task = asyncio.create_task(self._call(echo, source))
        if source.random() < CANCELLED:
            await asyncio.sleep(source.choice((0, 0.001, 0.01, 0.1)))
            task.cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            task.result()

    async def _call(self, echo: Any, source: random.Random) -> None:
        call = self._book.begin(drawn_plan(source, is_async=True))
        ticket = self._ledger.start()
        opening = echo.stream(
            self._request(call),
            streams=call.plan.streams,
            options=Functions(call, is_client=True).options(is_async=True),
            timeout=source.choice(TIMEOUTS_S),
        )
        try:
            await opening.open()
        except (RpcError, asyncio.CancelledError) as error:
            call.on_failed()
            ticket.failed(error)
            return
        ticket.answered(self._complaint(call, opening.response))
        sides = self._sides(call, opening.streams)
        try:
            await self._use(opening, sides)
        except RpcError as error:
            sides[0].on_error(error)
        except asyncio.CancelledError:
            self._may_reset(sides)
            opening.reset()
        streams = opening.streams if call.plan.client.is_told_of_end else []
        del opening
        for stream, side in zip(streams, sides, strict=False):
            waiting = asyncio.ensure_future(wait_ended(stream, side, stream.reset, loop_pause))
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.shield(waiting)
            await waiting
        self._forget(sides)

    async def _use(self, opening: Any, sides: list[Side]) -> None:
        scripts = [
            script_of(stream, side, True).run()
            for stream, side in zip(opening.streams, sides, strict=True)
        ]
        await asyncio.gather(*scripts)
        if sides[0].plan.end == "leave":
            return
        if sides[0].plan.end == "raise":
            self._may_reset(sides)
            error = ValueError(ON_PURPOSE)
            await opening.__aexit__(ValueError, error, None)
            return
        _note_closing(sides)
        await opening.close()


def _note_closing(sides: list[Side]) -> None:
    """All streams that are still open will be closed; most were, by their scripts."""
    for side in sides:
        if not side.ended:
            side.is_closing = True
