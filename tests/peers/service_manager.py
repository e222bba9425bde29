"""A stand-in for systemd: it holds sockets, starts programs with them and gets their notices."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from tests.fakes.threads import wait_until
from tests.peers.pages import ROOT

# LISTEN_PID has to be the process that the program becomes, as systemd does it between fork and
# exec. The descriptors are put behind all others first, as one may be among 3, 4, ... already.
START = """
import fcntl, os, sys
fds = [fcntl.fcntl(int(fd), fcntl.F_DUPFD, 100) for fd in sys.argv[1].split(",") if fd]
for place, fd in enumerate(fds):
    os.dup2(fd, 3 + place, inheritable=True)
    os.close(fd)
if fds:
    os.environ["LISTEN_PID"] = str(os.getpid())
os.execvp(sys.argv[2], sys.argv[2:])
"""


class NotifySocket:
    """The socket that NOTIFY_SOCKET names. `address` is a path, or "@name"."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.received: list[str] = []
        """All datagrams, in their order."""
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._sock.bind(address.replace("@", "\0", 1) if address.startswith("@") else address)
        self._sock.setblocking(False)

    def look(self) -> list[str]:
        """Read what has come; return all."""
        try:
            while True:
                self.received.append(self._sock.recv(65536).decode())
        except BlockingIOError:
            return self.received

    def count(self, line: str) -> int:
        """How often a line has come so far."""
        return sum(line in text.split("\n") for text in self.look())

    def wait_received(self, line: str, times: int = 1) -> None:
        wait_until(lambda: self.count(line) >= times)

    def states(self) -> list[str]:
        """The first lines of all datagrams, but for the signs of life."""
        return [line for text in self.look() if (line := text.split("\n")[0]) != "WATCHDOG=1"]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._sock.close()


def start_program(
    command: Sequence[str],
    sockets: Sequence[socket.socket] = (),
    names: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    log: Path | None = None,
) -> subprocess.Popen[str]:
    """Start it with these sockets as descriptors 3, 4, ..."""
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **(environment or {})}
    if sockets:
        variables["LISTEN_FDS"] = str(len(sockets))
    if names:
        variables["LISTEN_FDNAMES"] = ":".join(names)
    fds = [sock.fileno() for sock in sockets]
    with open(os.devnull if log is None else log, "a") as file:
        return subprocess.Popen(
            [sys.executable, "-c", START, ",".join(map(str, fds)), *command],
            pass_fds=fds,
            stdout=subprocess.PIPE,
            stderr=file,
            env=variables,
            cwd=ROOT,
            text=True,
        )
