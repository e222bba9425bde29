"""TimedSocket: a socket for `http.client` on which nothing waits after a deadline."""

from __future__ import annotations

import io
import socket
import time
from typing import Any


class TimedSocket:
    """Has what `http.client` uses of a socket. TimeoutError after `deadline_s` (monotonic), however
    slowly bytes come and go."""

    def __init__(self, sock: socket.socket, deadline_s: float) -> None:
        self.socket = sock
        self.deadline_s = deadline_s

    def set_timeout(self) -> None:
        """Let the next call of the socket wait for no longer than is left."""
        left_s = self.deadline_s - time.monotonic()
        if left_s <= 0:
            raise TimeoutError("timed out")
        self.socket.settimeout(left_s)

    def sendall(self, data: Any) -> None:
        self.set_timeout()
        self.socket.sendall(data)

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_TimedFile(self, self.socket.makefile(mode, buffering=0)))  # type: ignore[call-overload]

    def close(self) -> None:
        self.socket.close()


class _TimedFile(io.RawIOBase):
    """The file of a socket, which keeps that open until it is closed itself."""

    def __init__(self, timed: TimedSocket, file: io.RawIOBase) -> None:
        self._timed = timed
        self._file = file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._timed.set_timeout()
        return self._file.readinto(buffer)

    def close(self) -> None:
        self._file.close()
        super().close()
