"""Settings of a whole process that make calls faster. A program decides on them, no library does.

`pin` binds the process to processor cores, `keep_memory` has malloc keep what big messages have
needed. `pybrpc serve` has both as options.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType
from typing import Self

from pybrpc.base import malloc
from pybrpc.base.checked_options import checked_count
from pybrpc.base.cores import bind_threads, checked_cores, restore_threads
from pybrpc.base.malloc import KEPT_BYTES, MAX_BLOCK_BYTES, MAX_BYTES

__all__ = ["Pinned", "keep_memory", "pin"]


class Pinned:
    """The result of `pin`: the cores, and how to undo it. As a context manager it undoes it at the
    end of the block. Any thread."""

    __slots__ = ("_before", "cores")

    def __init__(self, cores: frozenset[int], before: dict[int, frozenset[int]]) -> None:
        self.cores = cores
        """The cores to which the process was bound."""
        self._before = before

    def restore(self) -> None:
        """Let each thread use the cores that it might use before; a thread that was started since
        gets those of the main thread. Once; calling it again does nothing. OSError."""
        before, self._before = self._before, {}
        if before:
            restore_threads(before)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.restore()

    def __repr__(self) -> str:
        return f"<Pinned to cores {sorted(self.cores)}{'' if self._before else ', restored'}>"


def pin(cores: int | Iterable[int]) -> Pinned:
    """Bind this process to a core, or to several: all its threads, and those that they start.

    A program of many blocking threads is faster on one core than on two, because threads that hand
    the GIL to each other then need not be woken on another core. What releases the GIL to compute
    (NumPy, compression) can use no more cores than these. Processes that this process starts later
    are bound too. Returns at once.

    `cores` are numbers, from 0, as in /proc/cpuinfo. ValueError if there are none, or if this
    process can't use one of them, and TypeError if they are no numbers: then nothing is changed.
    NotImplementedError where the system can't do it: only Linux can. OSError if it refuses.
    """
    wanted = checked_cores("cores", cores)
    return Pinned(wanted, bind_threads(wanted))


def keep_memory(max_block_bytes: int = MAX_BLOCK_BYTES, max_free_bytes: int = KEPT_BYTES) -> bool:
    """Have malloc keep freed memory, instead of giving it back to the system after each call.

    Memory that was given back causes a page fault for each 4 KiB when it is used again: in a call
    of 1 MiB that can take longer than all the rest. Call it early, before the first big message. It
    concerns the whole process, and replaces what environment variables such as
    MALLOC_TRIM_THRESHOLD_ have set.

    max_block_bytes   longer blocks are given back as soon as they are freed; at most, and by
                      default, 32 MiB
    max_free_bytes    bytes that each heap of malloc may keep free at its end; default 256 MiB.
                      There are several heaps: threads use different ones, at most 8 for each core

    False if the system has another malloc than that of glibc, and nothing is changed. ValueError
    for a wrong number.
    """
    checked_count("max_block_bytes", max_block_bytes, 1, MAX_BLOCK_BYTES)
    checked_count("max_free_bytes", max_free_bytes, 1, MAX_BYTES)
    return malloc.keep_memory(max_block_bytes, max_free_bytes)


def __dir__() -> list[str]:
    return __all__
