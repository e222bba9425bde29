"""Echoes over one connection: pybrpc, and grpcio beside it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from bench.closed_loop import Window
from bench.contest import Contest, Measure
from bench.loads import LOADS, Load, Style
from bench.peers import LIBRARIES
from bench.processes import measure, running_server


@contextmanager
def measuring() -> Iterator[Measure[Load]]:
    """A server for each library and style, started when it is first needed."""
    with ExitStack() as stack:
        ports: dict[tuple[str, Style], int] = {}

        def measure_one(library: str, load: Load, window: Window) -> float:
            key = library, load.style
            if key not in ports:
                ports[key] = stack.enter_context(running_server(*key))
            return measure(library, load, ports[key], window)

        yield measure_one


ECHO = Contest(
    title="Echo of 32 bytes over one connection",
    unit="calls",
    libraries=LIBRARIES,
    loads=LOADS,
    parse_load=Load.parse,
    measuring=measuring,
    packages=(*LIBRARIES, "protobuf", "uvloop"),
)
