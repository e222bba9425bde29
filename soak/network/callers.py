"""Callers: a Load by threads that block or hold futures, and by tasks of an event loop."""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import random
import threading
from collections.abc import Callable
from typing import Any

import pybrpc
from bench.echo_messages import SERVICE
from soak.network.load import CallBook, Load, NumberedCall

HANG_S = 20.0
"""A call that does not complete within this time is given up, and counts as lost."""
PAUSE_S = 0.005
"""After a failure: who is refused at once does not come back at once."""

Stop = threading.Event
LoopFactory = Callable[[], asyncio.AbstractEventLoop]


class ThreadCallers:
    """`run` blocks until `stop` is set, and every call has completed or was given up."""

    def __init__(self, load: Load, book: CallBook, stop: Stop, seed: str) -> None:
        self._load = load
        self._book = book
        self._stop = stop
        self._seed = seed

    def run(self, address: str, **options: Any) -> None:
        with pybrpc.Channel(address, connection_type=self._load.connection_type, **options) as used:
            echo = pybrpc.Stub(SERVICE, used).Echo
            threads = [
                threading.Thread(target=self._call, args=(echo, number), daemon=True)
                for number in range(self._load.callers)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

    def _call(self, echo: Any, number: int) -> None:
        source = random.Random(f"{self._seed}/{number}")
        call = self._call_one if self._load.window == 1 else self._call_many
        while not self._stop.is_set():
            if not call(echo, source):
                self._stop.wait(PAUSE_S)

    def _call_one(self, echo: Any, source: random.Random) -> bool:
        call = NumberedCall(source, self._load, self._book)
        try:
            response = echo(call.request, timeout=call.timeout_s, controller=call.controller)
        except Exception as error:
            call.on_failure(error)
            return False
        call.on_answer(response)
        return True

    def _call_many(self, echo: Any, source: random.Random) -> bool:
        futures = []
        for _ in range(self._load.window):
            call = NumberedCall(source, self._load, self._book)
            future = echo.future(call.request, timeout=call.timeout_s, controller=call.controller)
            future.add_done_callback(functools.partial(_enter, call))
            futures.append(future)
        done, _ = concurrent.futures.wait(futures, HANG_S)
        return any(future.exception() is None for future in done)


class TaskCallers(ThreadCallers):
    """ThreadCallers in tasks of an event loop, which `run` makes."""

    def __init__(
        self, load: Load, book: CallBook, stop: Stop, seed: str, factory: LoopFactory
    ) -> None:
        super().__init__(load, book, stop, seed)
        self._factory = factory

    def run(self, address: str, **options: Any) -> None:
        with asyncio.Runner(loop_factory=self._factory) as runner:
            runner.run(self._call_all(address, options))

    async def _call_all(self, address: str, options: dict[str, Any]) -> None:
        kind = self._load.connection_type
        async with pybrpc.aio.Channel(address, connection_type=kind, **options) as channel:
            echo = pybrpc.Stub(SERVICE, channel).Echo
            await asyncio.gather(*(self._work(echo, n) for n in range(self._load.callers)))

    async def _work(self, echo: Any, number: int) -> None:
        source = random.Random(f"{self._seed}/{number}")
        while not self._stop.is_set():
            calls = [self._start(echo, source) for _ in range(self._load.window)]
            done, _ = await asyncio.wait(calls, timeout=HANG_S)
            if not any(call.result() for call in done):
                await asyncio.sleep(PAUSE_S)

    def _start(self, echo: Any, source: random.Random) -> asyncio.Task[bool]:
        return asyncio.create_task(self._wait(echo, NumberedCall(source, self._load, self._book)))

    async def _wait(self, echo: Any, call: NumberedCall) -> bool:
        try:
            response = await echo(call.request, timeout=call.timeout_s, controller=call.controller)
        except Exception as error:
            call.on_failure(error)
            return False
        call.on_answer(response)
        return True


def _enter(call: NumberedCall, future: concurrent.futures.Future[Any]) -> None:
    try:
        response = future.result(0)
    except (Exception, concurrent.futures.CancelledError) as error:
        call.on_failure(error)
    else:
        call.on_answer(response)
