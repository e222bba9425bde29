"""Chaos: what happens to connections beside the faults that they were given at birth."""

from __future__ import annotations

import contextlib
import random
import threading
from collections import Counter

from pybrpc.testing.faulty_proxy import FaultyProxy
from soak.site import Site

LONGEST_PAUSE_S = 0.4
LONGEST_OUTAGE_S = 0.3


class Chaos:
    """Resets, cuts, stalls and outages of random sites, until it is told to stop."""

    def __init__(self, sites: list[Site], seed: int, stop: threading.Event) -> None:
        self.done: Counter[str] = Counter()
        """How often it did what."""
        self._sites = sites
        self._source = random.Random(f"chaos/{seed}")
        self._stop = stop

    def run(self) -> None:
        """In a thread of its own."""
        deeds = [self._reset, self._cut, self._stall, self._outage]
        while not self._stop.wait(self._source.uniform(0.01, LONGEST_PAUSE_S)):
            deed = self._source.choice(deeds)
            deed(self._source.choice(self._sites).proxy)
            self.done[deed.__name__.strip("_")] += 1

    def _reset(self, proxy: FaultyProxy) -> None:
        proxy.reset_all()

    def _cut(self, proxy: FaultyProxy) -> None:
        proxy.cut_all()

    def _stall(self, proxy: FaultyProxy) -> None:
        proxy.stall(to_server=self._source.random() < 0.7, to_client=self._source.random() < 0.7)
        self._pause()
        proxy.resume()

    def _outage(self, proxy: FaultyProxy) -> None:
        """As if the server was started again: it refuses for a while, and nothing is left."""
        proxy.stop_accepting()
        proxy.reset_all()
        self._pause()
        with contextlib.suppress(OSError):
            proxy.start_accepting()

    def _pause(self) -> None:
        self._stop.wait(self._source.uniform(0.01, LONGEST_OUTAGE_S))
