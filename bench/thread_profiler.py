"""cProfile for all threads of a program: one profile for each thread, added up.

Its clock is the thread's processor time, so that what waits for a lock or for epoll costs nothing.

From Python 3.12 on cProfile watches the whole interpreter and mixes the stacks of its threads
up, so this needs Python 3.11.
"""

from __future__ import annotations

import cProfile
import pstats
import sys
import threading
import time
from typing import Any, Self


class ThreadProfile(cProfile.Profile):
    """The profile of one thread, on its clock."""

    def __init__(self) -> None:
        super().__init__(time.thread_time)

    def create_stats(self) -> None:
        """Without `disable()`, which would end open calls by the clock of another thread."""
        self.snapshot_stats()


class ThreadProfiler:
    """Profiles the thread that enters it and all threads that start until it is left."""

    def __init__(self) -> None:
        if sys.version_info >= (3, 12):
            raise NotImplementedError("profiling all threads needs Python 3.11")
        self._profiles: list[ThreadProfile] = []

    def __enter__(self) -> Self:
        threading.setprofile(self._start_in_this_thread)
        self._start()
        return self

    def __exit__(self, *exception: object) -> None:
        threading.setprofile(None)
        self._profiles[0].disable()

    def statistics(self) -> pstats.Stats:
        """All threads together, in seconds of processor time."""
        total = pstats.Stats(self._profiles[0])
        for profile in self._profiles[1:]:
            total.add(profile)
        return total

    def _start_in_this_thread(self, *_event: Any) -> None:
        """Called by threading at the first event of a new thread; replaces itself."""
        sys.setprofile(None)
        self._start()

    def _start(self) -> None:
        profile = ThreadProfile()
        self._profiles.append(profile)
        profile.enable()
