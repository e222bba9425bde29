"""RedisServer: a real redis-server of the system, in a directory of its own."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hiredis

from tests.peers.programs import require_program

START_LIMIT_S = 30.0
"""How long a server may take to start; it takes 20 ms."""


class RedisServer:
    """Runs while the `with` does, on a free port of 127.0.0.1 and on a Unix socket; stores nothing.

    password   what the default user must say; `None` for none
    users      lines of ACL SETUSER, such as "reader on >secret ~* +get"
    settings   other lines of redis.conf
    """

    def __init__(
        self, *, password: str | None = None, users: tuple[str, ...] = (), **settings: object
    ) -> None:
        self._password = password
        self._users = users
        self._settings = settings
        self._directory = Path(tempfile.mkdtemp(prefix="pybrpc-redis-"))
        self._process: subprocess.Popen[bytes] | None = None
        self.path = self._directory / "socket"
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.unix_address = f"unix:{self.path}"

    def start(self) -> None:
        """Start it, or start it again: on the same port, without the data. Waits for an answer."""
        require_program("redis-server")
        config = self._directory / "redis.conf"
        config.write_text("\n".join(self._config()))
        self._process = subprocess.Popen(
            ["redis-server", config], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
        end = time.monotonic() + START_LIMIT_S
        while True:
            with contextlib.suppress(OSError):
                if self.run("PING") == b"PONG":
                    return
            assert self._process.poll() is None, "redis-server has ended"
            assert time.monotonic() < end, "redis-server does not answer"
            time.sleep(0.005)

    def kill(self) -> None:
        """End it as a crash would."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def run(self, *command: str | bytes | int) -> Any:
        """One command over a connection of its own; what no test measures."""
        with self.client() as run:
            return run(*command)

    @contextlib.contextmanager
    def client(self) -> Iterator[Callable[..., Any]]:
        """A connection that is not pybrpc's: a function that runs one command."""
        with socket.create_connection(("127.0.0.1", self.port), START_LIMIT_S) as sock:
            reader = hiredis.Reader(notEnoughData=self)

            def run(*command: str | bytes | int) -> Any:
                words: Any = command  # its types name a tuple of one
                sock.sendall(hiredis.pack_command(words))
                return next_reply(sock, reader, self)

            if self._password:
                run("AUTH", self._password)
            yield run

    def clients(self, name: str = "pybrpc") -> list[dict[str, str]]:
        """CLIENT LIST, as far as the clients have that name."""
        lines = self.run("CLIENT", "LIST").decode().splitlines()
        found = [dict(field.split("=", 1) for field in line.split()) for line in lines]
        return [client for client in found if client["name"] == name]

    def __enter__(self) -> RedisServer:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.kill()
        shutil.rmtree(self._directory)

    def _config(self) -> list[str]:
        fixed: dict[str, object] = {
            "bind": "127.0.0.1",
            "port": self.port,
            "unixsocket": self.path,
            "dir": self._directory,
            "save": '""',
            "appendonly": "no",
            "enable-debug-command": "local",
        }
        if self._password:
            fixed["requirepass"] = self._password
        given = {name.replace("_", "-"): value for name, value in self._settings.items()}
        lines = [f"{name} {value}" for name, value in (fixed | given).items()]
        return [*lines, *(f"user {user}" for user in self._users)]


def next_reply(sock: socket.socket, reader: hiredis.Reader, nothing: object) -> Any:
    while (reply := reader.gets()) is nothing:
        data = sock.recv(65_536)
        if not data:
            raise ConnectionError("redis-server has closed")
        reader.feed(data)
    return reply


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
