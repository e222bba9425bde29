"""CppProgram: a program of C++ bRPC's examples, such as echo_c++ and multi_threaded_echo_c++.

The folder that BRPC_CPP_BIN names has a folder for each example, with its echo_server and
echo_client (of http_c++ http_server and http_client), and of some cert.pem and key.pem: as
`example` of bRPC's source has after `make` was run in them.
docs/how-it-is-tested.md lists the examples.
"""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

from bench.child_process import ChildProcess
from bench.process_time import cpu_s_of

VARIABLE = "BRPC_CPP_BIN"
ONE_BY_ONE = "echo_c++"
MULTI_THREADED = "multi_threaded_echo_c++"
HTTP = "http_c++"
STREAMS = "stream_echo"
"""No example of bRPC's, but bench/peers/cpp/stream_echo.cpp, in the same folder if it is there."""
START_LIMIT_S = 10.0


class CppProgram(ChildProcess):
    """One of them, running in its folder, until it is closed. It is ended at once then.

    side  "server" or "client"; of the client the log is the lines, of the server nothing
    """

    def __init__(self, example: str, side: str, *flags: str) -> None:
        self.path = program(example, side).resolve()
        super().__init__(
            [self.path, *flags],
            {},
            f"the {side} of {example}",
            folder=self.path.parent,
            are_errors_lines=side == "client",
        )

    def cpu_s(self) -> float:
        """Its processor time so far, user and system, all threads."""
        return cpu_s_of(self.pid)

    def log(self) -> str:
        """The output of a server so far."""
        size = os.fstat(self._errors.fileno()).st_size
        return os.pread(self._errors.fileno(), size, 0).decode(errors="replace")

    def wait_until_it_listens(self, where: int | Path) -> None:
        """On a port or a Unix socket. ChildFailedError if it does not within START_LIMIT_S."""
        end = time.monotonic() + START_LIMIT_S
        while not listens(where):
            if not self.is_running or time.monotonic() > end:
                raise self.failed("doesn't listen")
            time.sleep(0.02)

    def send_signal(self, number: int) -> None:
        self._process.send_signal(number)

    def wait(self) -> None:
        """Until it has ended by itself, after a signal say."""
        self._process.wait(START_LIMIT_S)

    def ask_to_end(self) -> None:
        self._process.kill()
        super().ask_to_end()


def listens(where: int | Path) -> bool:
    """Whether somebody accepts connections on that port of this machine, or that Unix socket."""
    is_port = isinstance(where, int)
    with socket.socket(socket.AF_INET if is_port else socket.AF_UNIX) as sock:
        sock.settimeout(START_LIMIT_S)
        return sock.connect_ex(("127.0.0.1", where) if is_port else str(where)) == 0


def program(example: str, side: str) -> Path:
    """Where it should be."""
    name = "http" if example == HTTP else "echo"
    return Path(os.environ.get(VARIABLE, ""), example, f"{name}_{side}")


def missing(*examples: str) -> str:
    """Why the programs of those examples can't be run, or ""."""
    if not os.environ.get(VARIABLE):
        return f"{VARIABLE} names no folder with C++ bRPC's examples"
    paths = [program(example, side) for example in examples for side in ("server", "client")]
    lacks = [str(Path(*path.parts[-2:])) for path in paths if not path.is_file()]
    return f"no {lacks[0]} in {VARIABLE}" if lacks else ""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
