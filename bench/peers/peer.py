"""What the bench asks of a library that it measures."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeVar

from bench.closed_loop import Window
from bench.loads import Load, Style

T = TypeVar("T")

OnReady = Callable[[int], None]
"""Told the port of a server that now listens on 127.0.0.1."""
WaitForEnd = Callable[[], object]
"""Blocks until the server shall stop."""


class Peer(Protocol):
    """One library, used in one style. Its server and its client run in processes of their own."""

    def serve(self, style: Style, on_ready: OnReady, wait_for_end: WaitForEnd) -> None:
        """Serve EchoService until `wait_for_end` returns."""

    def run_client(self, load: Load, port: int, window: Window) -> float:
        """Calls per second of `load` over one connection to 127.0.0.1:`port`."""


def run_loop(style: Style, main: Coroutine[Any, Any, T]) -> T:
    """`asyncio.run` with the event loop of `style`."""
    if style is Style.UVLOOP:
        import uvloop

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(main)
    return asyncio.run(main)
