"""Lifespan: the start and the end of an application of ASGI, with those of its server."""

from __future__ import annotations

import asyncio
from typing import Any

from pybrpc.base.guard import SERVER
from pybrpc.errors import ServerStateError
from pybrpc.server.http.asgi.scope import VERSIONS, AsgiApplication, Message


class LifespanFailedError(ServerStateError):
    """The application has told that its startup failed."""


class Lifespan:
    """One application. All in the loop of async handlers; it can start again after its end.

    An application that raises when it is asked knows no lifespan: it is served without one.
    """

    def __init__(self, application: AsgiApplication, prefix: str) -> None:
        self._application = application
        self._prefix = prefix
        self.state: dict[str, Any] = {}
        """Filled by the application at its start. Each scope has a copy."""
        self._run: _Run | None = None

    async def start_up(self) -> None:
        """Wait until the application has started. LifespanFailedError if it can't."""
        self.state = {}
        run = self._run = _Run(self._application, self._prefix, self.state)
        await run.start_up()

    async def shut_down(self) -> None:
        """Wait until the application has ended."""
        run, self._run = self._run, None
        if run is not None:
            await run.shut_down()

    def __repr__(self) -> str:
        return (
            f"<Lifespan of {self._prefix}, {'running' if self._run is not None else 'not running'}>"
        )


class _Run:
    """From one start of the server to its end."""

    def __init__(self, application: AsgiApplication, prefix: str, state: dict[str, Any]) -> None:
        self._application = application
        self._prefix = prefix
        self._state = state
        self._asked: asyncio.Queue[Message] = asyncio.Queue()
        self._answered: asyncio.Queue[Message] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None
        self._error: BaseException | None = None

    async def start_up(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._call())
        answer = await self._ask("startup")
        if answer is None:
            return
        if answer["type"] == "lifespan.startup.failed":
            self._task.cancel()
            await asyncio.wait((self._task,))
            text = str(answer.get("message", ""))
            raise LifespanFailedError(f"the application at {self._prefix} can't start: {text}")

    async def shut_down(self) -> None:
        task = self._task
        if task is None or task.done():
            return
        answer = await self._ask("shutdown")
        if answer is not None and answer["type"] == "lifespan.shutdown.failed":
            SERVER.error("the application at %s can't end: %s", self._prefix, answer.get("message"))
        task.cancel()
        await asyncio.wait((task,))

    async def _ask(self, what: str) -> Message | None:
        """The answer of the application; `None` if it has ended without one."""
        self._asked.put_nowait({"type": f"lifespan.{what}"})
        task = self._task
        assert task is not None
        answered = asyncio.ensure_future(self._answered.get())
        try:
            await asyncio.wait((task, answered), return_when=asyncio.FIRST_COMPLETED)
            if answered.done():
                return answered.result()
            if what == "shutdown" and self._error is not None:
                SERVER.raised("the application at %s raised", self._prefix, error=self._error)
            return None
        finally:
            answered.cancel()

    async def _call(self) -> None:
        scope = {"type": "lifespan", "asgi": dict(VERSIONS), "state": self._state}
        try:
            await self._application(scope, self._asked.get, self._send)
        except asyncio.CancelledError:
            return
        except BaseException as error:
            self._error = error

    async def _send(self, message: Message) -> None:
        kind = message["type"]
        known = [
            f"lifespan.{what}.{how}"
            for what in ("startup", "shutdown")
            for how in ("complete", "failed")
        ]
        if kind not in known:
            raise RuntimeError(f"the application sent {kind!r} in its lifespan")
        self._answered.put_nowait(message)
