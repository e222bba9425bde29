"""ProcessWatch: how large this process is: descriptors, threads, resident memory, objects."""

from __future__ import annotations

import dataclasses
import gc
import os
import statistics
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable

from pybrpc.protocols.baidu_std import fast_frames

FEWEST_SAMPLES = 100
"""With fewer growth is not judged: memory and threads follow the load, which has just begun."""

GRACE_S = 15.0
"""How long what has been closed may take to be gone: idle worker threads stay for ten seconds."""


@dataclasses.dataclass(frozen=True, slots=True)
class Sizes:
    """At one moment."""

    descriptors: int
    threads: int
    rss_bytes: int


@dataclasses.dataclass(frozen=True, slots=True)
class Growth:
    """One size, early and late in the run: the medians of its second and of its last tenth."""

    name: str
    early: float
    late: float
    tolerance: float | None
    """By how much `late` may be above `early`; `None` after a run that was too short to judge."""

    @property
    def is_in_bounds(self) -> bool:
        return self.tolerance is None or self.late <= self.early + self.tolerance


class ProcessWatch:
    """Samples, oldest first."""

    def __init__(self) -> None:
        self.samples: list[Sizes] = []

    def sample(self) -> Sizes:
        sizes = sizes_now()
        self.samples.append(sizes)
        return sizes

    def growth(self) -> list[Growth]:
        """Allowed growth: memory by a tenth and 16 MiB, because an allocator keeps free memory;
        descriptors and threads, which follow the load, by a half and ten."""
        return [
            self._growth("rss_bytes", lambda early: early / 10 + (16 << 20)),
            self._growth("descriptors", lambda early: early / 2 + 10),
            self._growth("threads", lambda early: early / 2 + 10),
        ]

    def _growth(self, name: str, tolerance: Callable[[float], float]) -> Growth:
        values = [getattr(sample, name) for sample in self.samples or [sizes_now()]]
        tenth = max(1, len(values) // 10)
        early = statistics.median(values[tenth : 2 * tenth] or values)
        late = statistics.median(values[-tenth:])
        is_judged = len(values) >= FEWEST_SAMPLES
        return Growth(name, early, late, tolerance(early) if is_judged else None)


def sizes_now() -> Sizes:
    return Sizes(open_descriptors(), threading.active_count(), rss_bytes())


def settled_sizes(expected: Sizes | None = None) -> Sizes:
    """The sizes once everything is closed.

    Waits until there are no more descriptors and threads than `expected`, at most `GRACE_S`.
    """
    end = time.monotonic() + GRACE_S
    while True:
        gc.collect()
        sizes = sizes_now()
        is_gone = expected is None or (
            sizes.descriptors <= expected.descriptors and sizes.threads <= expected.threads
        )
        if is_gone or time.monotonic() > end:
            return sizes
        time.sleep(0.05)


def objects_by_type() -> Counter[str]:
    """How many objects the garbage collector knows; call it when the process is at rest.

    What leaks shows here long before resident memory, which the allocator gives back or not. The
    tables of fast frames are bounded, so they are emptied first.
    """
    fast_frames.clear_tables()
    gc.collect()
    return Counter(type(each).__qualname__ for each in gc.get_objects())


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd" if os.path.isdir("/proc/self/fd") else "/dev/fd"))


def rss_bytes() -> int:
    """Resident memory; where the system doesn't tell, the most that it has been."""
    if sys.platform == "linux":
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
