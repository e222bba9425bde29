"""ConnectRace: in which order and when the addresses of a name are tried. After RFC 8305.

Happy Eyeballs: the address families take turns, beginning with the one that the system prefers. The
next address is tried 250 ms after the last one, or at once when the last one has failed; earlier
attempts go on meanwhile. So a broken IPv6 route costs a quarter of a second, not the whole
deadline. All addresses are known at the start: the system's resolver gives both families at once.
"""

from __future__ import annotations

import errno
import itertools
import math
import os
from collections import deque
from collections.abc import Iterable

from pybrpc.base.deadline import NEVER
from pybrpc.base.endpoint import Endpoint
from pybrpc.transport.connecting.resolver import Address

ATTEMPT_DELAY_S = 0.25
"""RFC 8305, section 5."""

BUSY_PAUSE_S = 0.02

_AT_ONCE = -math.inf
_MAX_REPORTED = 8
_LOCAL_CODES = frozenset(
    {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}
)
"""Errors mostly of a family for which this machine has no route: they say nothing about the
peer."""


class ConnectRace:
    """Only decides: it knows neither sockets nor a clock. One thread at a time."""

    __slots__ = ("_newest", "_next_turn", "_states", "_waiting")

    def __init__(self, addresses: Iterable[Address]) -> None:
        self._waiting = deque(interleaved(addresses))
        self._newest: Address | None = None
        self._next_turn = _AT_ONCE
        self._states: dict[Address, int | None] = {}
        """For each address that was tried, its errno, or `None` while the attempt is undecided."""

    def take_due(self, now: float) -> Address | None:
        """The address to try at `now` (monotonic seconds); `None` if its turn has not come."""
        if not self._waiting or now < self._next_turn:
            return None
        self._newest = address = self._waiting.popleft()
        self._next_turn = now + ATTEMPT_DELAY_S
        self._states[address] = None
        return address

    def on_failure(self, address: Address, code: int) -> None:
        """An attempt has failed with the errno `code`."""
        self._states[address] = code
        if address == self._newest:
            self._next_turn = _AT_ONCE

    def on_busy(self, address: Address, now: float) -> None:
        """The peer is alive but accepts no connection now: it is tried again after a pause."""
        self._waiting.appendleft(address)
        self._next_turn = now + BUSY_PAUSE_S

    @property
    def next_turn(self) -> float:
        """The time at which `take_due` gives the next address; NEVER if none is left."""
        return self._next_turn if self._waiting else NEVER

    @property
    def is_lost(self) -> bool:
        """Whether all addresses were tried and have failed."""
        return not self._waiting and None not in self._states.values()

    @property
    def most_telling_code(self) -> int:
        """The errno to report when all have failed: the first that is about the peer."""
        codes = [code for code in self._states.values() if code is not None]
        telling = [code for code in codes if code not in _LOCAL_CODES]
        return next(iter([*telling, *codes]), errno.EADDRNOTAVAIL)

    def report(self, peer: Endpoint) -> str:
        """The result of each address, as text; "" if the only one is `peer` itself."""
        results = [(Endpoint.from_sockaddr(each[1]), self._reason(each)) for each in self._all()]
        if len(results) == 1:
            return "" if results[0][0] == peer else str(results[0][0])
        texts = [f"{address} ({reason})" for address, reason in results[:_MAX_REPORTED]]
        rest = len(results) - len(texts)
        return ", ".join([*texts, f"{rest} more"] if rest else texts)

    def _all(self) -> list[Address]:
        return list(dict.fromkeys([*self._states, *self._waiting]))

    def _reason(self, address: Address) -> str:
        code = self._states.get(address)
        if code is not None:
            return os.strerror(code)
        return "no answer" if address in self._states else "not tried"


def interleaved(addresses: Iterable[Address]) -> list[Address]:
    """Each address once, families alternating, in the given order within each family."""
    families: dict[int, list[Address]] = {}
    for address in dict.fromkeys(addresses):
        families.setdefault(address[0], []).append(address)
    rounds = itertools.zip_longest(*families.values())
    return [address for each in rounds for address in each if address is not None]
