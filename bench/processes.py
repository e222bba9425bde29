"""Starts the children of child.py and reads what they print."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from bench.closed_loop import Window
from bench.loads import Load, Style

CLIENT_LIMIT_S = 60.0
"""A client that takes so much longer than it was asked to measure hangs."""


class ChildFailedError(RuntimeError):
    """A server or client process ended with an error, which it has printed."""


@contextmanager
def running_server(library: str, style: Style) -> Iterator[int]:
    """The port of a server in a process of its own, which is gone afterwards."""
    with subprocess.Popen(
        command("serve", library, style), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        port = process.stdout.readline()
        if not port:
            raise ChildFailedError(f"the {library} server for {style} did not start")
        yield int(port)
        process.stdin.close()


def measure(library: str, load: Load, port: int, window: Window) -> float:
    """Calls per second of one client process."""
    return run_client("call", library, load, port, window)


def run_client(role: str, library: str, load: object, port: int, window: Window) -> float:
    """What a client process that plays `role` has measured."""
    arguments = command(role, library, load, port, window.warm_up_s, window.measure_s)
    limit_s = CLIENT_LIMIT_S + window.warm_up_s + window.measure_s
    result = subprocess.run(
        arguments, stdout=subprocess.PIPE, text=True, timeout=limit_s, check=False
    )
    if result.returncode != 0:
        raise ChildFailedError(f"the {library} client with {load} failed")
    return float(result.stdout)


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "bench.child", *map(str, arguments)]
