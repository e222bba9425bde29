"""Wire: one end of a socket pair, for a fuzzer; the other one has a StepDispatcher."""

from __future__ import annotations

import contextlib
import logging
import socket
from collections.abc import Iterator
from typing import Self

from pybrpc.testing.step_dispatcher import StepDispatcher
from soak.log_watch import LOGGERS, LogWatch

LONG_S = 1e12
"""Every timer is due after that."""


class Wire:
    """Two sockets: `theirs` is that of the connection under test; `received` has its output."""

    def __init__(self, dispatcher: StepDispatcher) -> None:
        self._dispatcher = dispatcher
        self._ours, self.theirs = socket.socketpair()
        self._ours.setblocking(False)
        self.received = bytearray()

    def send(self, piece: bytes) -> None:
        """Write it, and let everything happen that follows."""
        if piece:
            with contextlib.suppress(OSError):  # it has closed the connection
                self._ours.sendall(piece)
        self._settle()

    def end(self) -> None:
        """Say that nothing more will come, take what comes yet, and close."""
        with contextlib.suppress(OSError):
            self._ours.shutdown(socket.SHUT_WR)
        self._settle()
        self._ours.close()
        self._dispatcher.run_until_idle()
        self._dispatcher.advance(LONG_S)

    def _settle(self) -> None:
        self._dispatcher.run_until_idle()
        while data := self._read():
            self.received += data
            self._dispatcher.run_until_idle()

    def _read(self) -> bytes:
        try:
            return self._ours.recv(1 << 16)
        except OSError:
            return b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._ours.close()


@contextlib.contextmanager
def nothing_raised(dispatcher: StepDispatcher) -> Iterator[None]:
    """AssertionError if anything got out of a callback, or was logged as an error.

    Warnings, which a peer's bad input is worth, are heard by nobody.
    """
    loggers = [logging.getLogger(name) for name in LOGGERS]
    for logger in loggers:
        logger.propagate = False
    try:
        with LogWatch() as watch:
            yield
    finally:
        for logger in loggers:
            logger.propagate = True
    assert not watch.texts, "\n".join(watch.texts)
    assert not dispatcher.raised
