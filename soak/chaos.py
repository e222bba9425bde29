"""Chaos: what happens to connections and servers beside the faults of the proxies' plans."""

from __future__ import annotations

import random
import threading
from collections import Counter

from soak.site import Site
from soak.taken_port import retry_while_taken

LONGEST_PAUSE_S = 0.4
LONGEST_OUTAGE_S = 0.3
GRACES_S = (0.0, 0.1, 0.5)


class Chaos:
    """Resets, cuts, stalls, outages and restarts of random sites, until it is told to stop.

    What it raises ends its thread, which a LogWatch notes.
    """

    def __init__(self, sites: list[Site], seed: int, stop: threading.Event) -> None:
        self.done: Counter[str] = Counter()
        """How often it did what."""
        self._sites = sites
        self._source = random.Random(f"chaos/{seed}")
        self._stop = stop

    def run(self) -> None:
        """In a thread of its own."""
        deeds = [self._reset, self._cut, self._stall, self._outage] * 2 + [self._restart]
        while not self._stop.wait(self._source.uniform(0.01, LONGEST_PAUSE_S)):
            deed = self._source.choice(deeds)
            deed(self._source.choice(self._sites))
            self.done[deed.__name__.strip("_")] += 1

    def _reset(self, site: Site) -> None:
        site.proxy.reset_all()

    def _cut(self, site: Site) -> None:
        site.proxy.cut_all()

    def _stall(self, site: Site) -> None:
        site.proxy.stall(
            to_server=self._source.random() < 0.7, to_client=self._source.random() < 0.7
        )
        self._pause()
        site.proxy.resume()

    def _outage(self, site: Site) -> None:
        """As if the machine was started again: it refuses for a while, and nothing is left."""
        site.proxy.stop_accepting()
        site.proxy.reset_all()
        self._pause()
        retry_while_taken(site.proxy.start_accepting)

    def _restart(self, site: Site) -> None:
        """The server itself: it finishes what it may, says ELOGOFF to others, and comes back."""
        site.server.restart(self._source.choice(GRACES_S))

    def _pause(self) -> None:
        self._stop.wait(self._source.uniform(0.01, LONGEST_OUTAGE_S))
