"""Entries: how often, and how, each of many calls has ended."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from pybrpc.errors import RpcError

ANSWERED = "answered"
ANYTHING = "anything"
"""Expected of a call that must end, however."""


class Entry:
    """One call, or another thing that must end exactly once. Any thread may enter an end."""

    __slots__ = ("_expected", "ends", "name")

    def __init__(self, name: str, expected: tuple[str, ...]) -> None:
        self.name = name
        self.ends: list[str] = []
        self._expected = expected

    def end(self, outcome: str = ANSWERED) -> None:
        self.ends.append(outcome)

    def fail(self, error: BaseException) -> None:
        self.end(name_of(error))

    def try_end(self, get: Callable[[], Any], expected: Any) -> None:
        """End with what `get()` returns or raises; "answered" if it returns `expected`."""
        try:
            got = get()
        except BaseException as error:
            self.fail(error)
        else:
            self.end(ANSWERED if got == expected else f"answered with {got!r}")

    @property
    def is_good(self) -> bool:
        ends = self.ends
        return len(ends) == 1 and (ends[0] in self._expected or ANYTHING in self._expected)

    @property
    def complaint(self) -> str:
        return f"{self.name}: {' and '.join(sorted(self.ends)) or 'never ended'}"


class Entries:
    """All entries of one round. Any thread may make one."""

    def __init__(self) -> None:
        self._entries: list[Entry] = []

    def new(self, name: str, *expected: str) -> Entry:
        """`expected`: the outcomes that are right; "answered" if none is given."""
        entry = Entry(name, expected or (ANSWERED,))
        self.add(entry)
        return entry

    def add(self, entry: Entry) -> None:
        self._entries.append(entry)

    def wait(self, limit_s: float) -> None:
        """Return once each has ended, or after `limit_s` seconds."""
        wait_ended(list(self._entries), limit_s)

    def complaints(self) -> list[str]:
        """A line for each wrong kind of end, with the number of such ends."""
        wrong = Counter(entry.complaint for entry in self._entries if not entry.is_good)
        return [f"{count} x {text}" for text, count in wrong.most_common()]


def wait_ended(entries: list[Entry], limit_s: float) -> None:
    """Return once each of `entries` has ended, or after `limit_s` seconds."""
    limit = time.monotonic() + limit_s
    for entry in entries:
        while not entry.ends and time.monotonic() < limit:
            time.sleep(0.001)


def name_of(error: BaseException) -> str:
    """The name of the error code, or of the type of what is no RpcError."""
    return error.name if isinstance(error, RpcError) else type(error).__name__
