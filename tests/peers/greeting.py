"""Greeting: an AppConnect of some rounds of lines, as a protocol with a login has."""

from __future__ import annotations

from pybrpc.errors import AuthenticationError
from pybrpc.iobuf import IOBuf


class Greeting:
    """Says "hello 1", waits for a line, says "hello 2", ... "no" instead of a line is a refusal."""

    def __init__(self, rounds: int = 1, fails_with: BaseException | None = None) -> None:
        self.heard: list[bytes] = []
        self._rounds = rounds
        self._fails_with = fails_with

    def start(self, outgoing: IOBuf) -> bool:
        outgoing.append(b"hello 1\n")
        return self._rounds == 0

    def on_data(self, incoming: IOBuf, outgoing: IOBuf) -> bool:
        while (line := incoming.cut_until(b"\n")) is not None:
            self.heard.append(bytes(line))
            if self._fails_with is not None:
                raise self._fails_with
            if line == b"no":
                raise AuthenticationError("the peer says no")
            if len(self.heard) == self._rounds:
                return True
            outgoing.append(b"hello %d\n" % (len(self.heard) + 1))
        return False
