"""Site: the servers that measurements need, started when first needed, ended together."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Self

from bench.child_process import ChildProcess
from bench.peers import ENTRIES
from bench.peers.brpc_cpp import Server
from bench.peers.entry import Kind
from bench.redis_server import running_redis_server


class EchoServer:
    """A server process of child.py."""

    def __init__(self, name: str, backend_port: int | None) -> None:
        rest = () if backend_port is None else (backend_port,)
        self.process = ChildProcess.of_bench(
            "serve",
            name,
            *rest,
            name=f"the server of {name}",
            environment=ENTRIES[name].environment,
        )
        self._port = 0

    @property
    def port(self) -> int:
        """Waits until it listens."""
        if not self._port:
            self._port = int(self.process.read_line())
        return self._port

    def cpu_s(self) -> float:
        """Its processor time so far."""
        self.process.write_line("cpu")
        return float(self.process.read_line())


def make_server(name: str, backend_port: int | None) -> Server:
    """The server of that entry, started."""
    if ENTRIES[name].kind is not Kind.CPP:
        return EchoServer(name, backend_port)
    server: Server = ENTRIES[name].load().make_server()
    return server


class Site:
    """Where the measurements are made."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._servers: dict[tuple[str, int | None], Server] = {}
        self._ports: dict[str, int] = {}

    def server(self, name: str, backend: Server | None = None) -> Server:
        """The server of that entry, alone or in front of `backend`. One that died is replaced."""
        backend_port = None if backend is None else backend.port
        server = self._servers.get((name, backend_port))
        if server is None or not server.process.is_running:
            server = self._servers[name, backend_port] = make_server(name, backend_port)
            self._stack.callback(server.process.close)
        return server

    def forget_servers_of(self, name: str) -> None:
        """Have new servers for that peer next time; something went wrong."""
        names = {name, ENTRIES[name].server} if name in ENTRIES else set()
        for key in [key for key in self._servers if key[0] in names]:
            self._servers.pop(key).process.kill()

    def redis_port(self) -> int:
        """Where the redis-server listens."""
        if "redis" not in self._ports:
            self._ports["redis"] = self._stack.enter_context(running_redis_server())
        return self._ports["redis"]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        for server in self._servers.values():
            server.process.ask_to_end()
        self._stack.close()
