"""Site: what a time is measured with: the processes of its peers, and channels to them."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

import pybrpc
from bench.child_process import ChildProcess
from bench.echo_messages import SERVICE, EchoRequest
from bench.times.probe import Probe

LIMIT_S = 300.0
"""Within this time everything that is waited for has come; else the measurement fails."""


class Site:
    """Peers in processes of their own, so that only the library is slow in this one."""

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()

    def module(self, name: str, *arguments: object) -> ChildProcess:
        """`python -m bench.times.<name>`; it ends with this process."""
        command = [sys.executable, "-m", f"bench.times.{name}", *map(str, arguments)]
        child = ChildProcess(command, {}, name)
        self._stack.callback(child.close)
        return child

    def silent_peer(self) -> tuple[ChildProcess, str]:
        """A peer.py, and its address."""
        child = self.module("peer")
        return child, f"127.0.0.1:{child.read_line()}"

    def echo_address(self) -> str:
        """The address of a server that echoes."""
        child = ChildProcess.of_bench("serve", "pybrpc", name="the echo server")
        self._stack.callback(child.close)
        return f"127.0.0.1:{child.read_line()}"

    def stub(self, address: str, **options: Any) -> Any:
        """A stub of EchoService over a channel of its own."""
        options = {"timeout": LIMIT_S, "connect_timeout": LIMIT_S, **options}
        channel = self._stack.enter_context(pybrpc.Channel(address, **options))
        return pybrpc.Stub(SERVICE, channel)

    @contextlib.contextmanager
    def probe(self, address: str = "", **options: Any) -> Iterator[Probe]:
        """A probe of an echo server, over a connection of its own."""
        stub = self.stub(address or self.echo_address(), connection_group="probe", **options)
        with Probe(lambda: stub.Echo(request())) as probe:
            yield probe

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.close()


def request() -> Any:
    return EchoRequest(message="x" * 16)


def tell(child: ChildProcess, word: str) -> None:
    """Have a peer do that, and wait until it is done."""
    child.write_line(word)
    child.read_line(LIMIT_S)
