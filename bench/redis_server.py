"""A redis-server that stores nothing and knows one key."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator

from bench.redis_clients import KEY, VALUE

START_LIMIT_S = 30.0
COMMAND = "redis-server"


def missing() -> str:
    """Why there is none, or ""."""
    return "" if shutil.which(COMMAND) else f"there is no {COMMAND} on the PATH"


@contextlib.contextmanager
def running_redis_server() -> Iterator[int]:
    """Its port. In a process group of its own, so that Ctrl-C doesn't reach it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    with tempfile.TemporaryDirectory() as directory:
        options = ["--port", port, "--bind", "127.0.0.1", "--save", "", "--dir", directory]
        command = [COMMAND, *map(str, options)]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, process_group=0) as process:
            try:
                wait_until_it_knows_the_key(port)
                yield port
            finally:
                process.terminate()


def wait_until_it_knows_the_key(port: int) -> None:
    end = time.monotonic() + START_LIMIT_S
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port), START_LIMIT_S) as sock:
                sock.sendall(b"SET %s %s\r\n" % (KEY.encode(), VALUE))
                if sock.recv(100) == b"+OK\r\n":
                    return
        except OSError:
            if time.monotonic() > end:
                raise
        time.sleep(0.01)
