"""One call of Echo with a controller, in each form of calling: a test looks at its spans."""

from __future__ import annotations

import asyncio

import pybrpc
from pybrpc.rpc.controller import Controller
from tests.peers.echo import ECHO, echo_request


def blocking(address: str, controller: Controller) -> None:
    with pybrpc.Channel(address) as channel:
        pybrpc.Stub(ECHO, channel).Echo(echo_request(), controller=controller)


def future(address: str, controller: Controller) -> None:
    with pybrpc.Channel(address) as channel:
        pybrpc.Stub(ECHO, channel).Echo.future(echo_request(), controller=controller).result()


def aio(address: str, controller: Controller) -> None:
    async def call() -> None:
        async with pybrpc.aio.Channel(address) as channel:
            await pybrpc.Stub(ECHO, channel).Echo(echo_request(), controller=controller)

    asyncio.run(call())


def aio_shared(address: str, controller: Controller) -> None:
    async def call() -> None:
        async with pybrpc.aio.Channel(address, share_with_threads=True) as channel:
            await pybrpc.Stub(ECHO, channel).Echo(echo_request(), controller=controller)

    asyncio.run(call())


FORMS = (blocking, future, aio, aio_shared)
