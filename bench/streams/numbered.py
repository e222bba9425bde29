"""Numbered: messages that differ, so that one that is lost, doubled or out of turn is noticed."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

COUNT = 1024


class WrongMessageError(ValueError):
    """Something else came than was sent."""


class Numbered:
    """COUNT messages of a size, over and over."""

    def __init__(self, size_bytes: int) -> None:
        self._messages = [b"%08d" % number + b"x" * (size_bytes - 8) for number in range(COUNT)]
        self._twice = self._messages * 2

    def to_send(self, together: int) -> Iterator[Any]:
        """Messages without end; lists of so many, if `together` is not 0."""
        if not together:
            return itertools.cycle(self._messages)
        starts = range(0, COUNT, together)
        return itertools.cycle([self._messages[at : at + together] for at in starts])

    def to_come(self) -> Iterator[bytes]:
        return itertools.cycle(self._messages)

    def check(self, batch: list[bytes], at: int) -> int:
        """Check messages, of which the first has the number `at`. The number of the next one."""
        if batch != self._twice[at : at + len(batch)]:
            raise WrongMessageError(f"{len(batch)} messages are not those that were sent")
        return (at + len(batch)) % COUNT


def check(message: object, expected: bytes) -> None:
    if message != expected:
        raise WrongMessageError(f"a message is not the one of {len(expected)} bytes that was sent")


class StreamEndedError(RuntimeError):
    """The other side has ended the stream, which it should not."""
