"""DispatcherTurns: the time and the turns of a dispatcher, for a Router."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from pybrpc.base.guard import CLIENT
from pybrpc.transport.dispatch.event_dispatcher import DispatcherClosedError, EventDispatcher

if TYPE_CHECKING:
    import asyncio


class HasDispatcher(Protocol):
    """Something that a dispatcher polls."""

    @property
    def dispatcher(self) -> EventDispatcher:
        """The dispatcher; after a fork another one."""


class Polled(HasDispatcher, Protocol):
    """Also knows whose loop it is."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The asyncio loop; `None`: the dispatcher thread polls."""


class DispatcherTurns:
    """See `breaking.server_states.Turns`. Once the dispatcher is closed nothing is called."""

    __slots__ = ("_source",)

    def __init__(self, source: HasDispatcher) -> None:
        self._source = source

    def now(self) -> float:
        return time.monotonic()

    def post(self, function: Callable[[], None]) -> None:
        try:
            self._source.dispatcher.post(function)
        except DispatcherClosedError as reason:
            CLIENT.debug("a cluster changes no more: %s", reason)

    def call_at(self, when: float, function: Callable[[], None]) -> None:
        try:
            self._source.dispatcher.call_at(when, function)
        except DispatcherClosedError as reason:
            CLIENT.debug("a cluster changes no more: %s", reason)
