"""Entry: a peer by name, how it is used, and what it needs."""

from __future__ import annotations

import asyncio
import enum
import importlib
import importlib.util
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

T = TypeVar("T")


class Kind(enum.Enum):
    """How the calling program is written."""

    SYNC = "threads"
    CALLBACKS = "callbacks"
    AIO = "asyncio"
    STREAMS = "streams of threads"
    AIO_STREAMS = "streams of asyncio"
    CPP = "C++"


@dataclass(frozen=True, slots=True)
class Entry:
    """One series of the bench.

    where        "module:ATTRIBUTE" in bench.peers
    how          in words: connections, threads, what else matters
    needs        importable modules without which it is left out
    package      whose version counts
    server       the entry whose server its client calls; default: its own
    environment  variables of its processes
    unless       another reason why it is left out, or ""
    """

    name: str
    where: str
    kind: Kind
    how: str
    needs: tuple[str, ...] = ()
    package: str = ""
    server: str = ""
    uvloop: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)
    unless: Callable[[], str] = str

    def load(self) -> Any:
        """The SyncPeer, CallbackPeer, AioPeer, StreamPeer, AioStreamPeer or CppClient.

        Imports no other: it could disturb.
        """
        module, attribute = self.where.split(":")
        return getattr(importlib.import_module(f"bench.peers.{module}"), attribute)

    def missing(self) -> str:
        """Why it can't take part, or ""."""
        names = [name for name in self.needs if not is_importable(name)]
        return f"{' and '.join(names)} not installed" if names else self.unless()

    def run_loop(self, main: Coroutine[Any, Any, T]) -> T:
        """`asyncio.run`, with the event loop it is used with."""
        if not self.uvloop:
            return asyncio.run(main)
        import uvloop

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(main)


def is_importable(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # the package around it
        return False
