"""Functions of streams, on either side, that keep what they get."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

import pybrpc
from pybrpc.errors import (
    RpcError,
)
from tests.fakes.threads import WAIT_S, wait_until
from tests.peers.streams import (
    THREADS,
)

SIDES = pytest.mark.parametrize("side", ["client", "server"])


class Odd(BaseException):
    """As what pytest.fail() raises."""


def form_of(sides: str, side: str) -> str:
    ours, _, theirs = sides.partition("-")
    return ours if side == "client" else theirs


def options_of(side: str, options: Any) -> tuple[Any, Any]:
    return (options, None) if side == "client" else (None, options)


def raised_in(caplog: pytest.LogCaptureFixture) -> list[BaseException | None]:
    """The exceptions that were logged."""
    return [record.exc_info[1] for record in caplog.records if record.exc_info]


class Functions:
    """Functions that note what they get, async ones in a loop, and that no two of them run at the
    same time."""

    def __init__(self, form: str, raises: dict[str, BaseException] | None = None) -> None:
        self.is_async = form != THREADS
        self.notes: list[Any] = []
        self.streams: set[Any] = set()
        self.threads: set[threading.Thread] = set()
        self.running = self.most_running = 0
        self.opened = threading.Event()
        self.opened.set()
        self._raises = raises or {}

    def options(self, *names: str, **more: Any) -> pybrpc.StreamOptions:
        values = {
            "on_messages": self.on_messages,
            "on_closed": self.on_closed,
            "on_idle_timeout": self.on_idle_timeout,
        }
        given: dict[str, Any] = {
            name: self._as_async(values[name]) if self.is_async else values[name] for name in names
        }
        return pybrpc.StreamOptions(**given | more)

    def _as_async(self, function: Any) -> Any:
        async def run(*arguments: Any) -> None:
            self.running += 1
            self.most_running = max(self.running, self.most_running)
            while not self.opened.is_set():
                await asyncio.sleep(0.001)
            await asyncio.sleep(0)
            self.running -= 1
            function(*arguments)

        return run

    def on_messages(self, stream: Any, messages: list[bytes]) -> None:
        self._note(stream, "on_messages", messages)

    def on_closed(self, stream: Any, error: RpcError | None) -> None:
        self._note(stream, "on_closed", error)

    def on_idle_timeout(self, stream: Any) -> None:
        self._note(stream, "on_idle_timeout", None)

    def _note(self, stream: Any, name: str, argument: Any) -> None:
        self.running += 1
        self.most_running = max(self.running, self.most_running)
        if not self.is_async:
            assert self.opened.wait(WAIT_S)
        self.streams.add(stream)
        self.threads.add(threading.current_thread())
        self.notes.append((name, argument))
        self.running -= 1
        if name in self._raises:
            raise self._raises[name]

    @property
    def messages(self) -> list[bytes]:
        return [each for name, batch in self.notes if name == "on_messages" for each in batch]

    @property
    def ends(self) -> list[RpcError | None]:
        return [error for name, error in self.notes if name == "on_closed"]

    def wait_end(self) -> RpcError | None:
        wait_until(lambda: bool(self.ends))
        assert len(self.ends) == 1
        assert self.notes[-1] == ("on_closed", self.ends[0])
        return self.ends[0]


def echo(stream: Any) -> None:
    for message in stream:
        stream.send(b"echo:" + message, timeout=WAIT_S)
