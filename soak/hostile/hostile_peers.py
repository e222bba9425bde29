"""HostilePeers: does one deed after the other to random servers, until it is told to stop."""

from __future__ import annotations

import contextlib
import functools
import random
import threading
from collections import Counter
from collections.abc import Callable

from soak.hostile.deeds import DEEDS, Deed
from soak.hostile.victim import Victim
from soak.site import Site

LONGEST_PAUSE_S = 0.3


class HostilePeers:
    """One thread of them. An exception that is no OSError ends it, which a LogWatch notes."""

    def __init__(
        self,
        sites: list[Site],
        seed: str,
        stop: threading.Event,
        choose: Callable[[], Deed] | None = None,
    ) -> None:
        """`choose` gives the next deed; `None`: a random one."""
        self.done: Counter[str] = Counter()
        """How often it did what."""
        self._sites = sites
        self._source = random.Random(seed)
        self._choose = choose or functools.partial(self._source.choice, DEEDS)
        self._stop = stop

    def run(self) -> None:
        """In a thread of its own."""
        while not self._stop.wait(self._source.uniform(0.0, LONGEST_PAUSE_S)):
            deed = self._choose()
            victim = Victim(self._source.choice(self._sites).server)
            # The server refuses, closes, or is being restarted.
            with contextlib.suppress(OSError):
                deed(victim, self._source)
            self.done[deed.__name__] += 1
