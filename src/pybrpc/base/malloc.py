"""The thresholds of glibc's malloc, which decide when freed memory goes back to the system."""

from __future__ import annotations

import ctypes
import functools
import os
from typing import Any

MAX_BLOCK_BYTES = 32 * 1024 * 1024
"""glibc raises its own threshold no higher, and some versions of it take no higher one."""

MAX_BYTES = 2**31 - 1

KEPT_BYTES = 256 * 1024 * 1024
"""Bytes that a heap keeps by default."""

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


def is_malloc_set() -> bool:
    """Whether the environment sets a threshold already."""
    return any(
        name.startswith("MALLOC_") or (name == "GLIBC_TUNABLES" and "malloc" in value)
        for name, value in os.environ.items()
    )


def keep_memory(max_block_bytes: int = MAX_BLOCK_BYTES, max_free_bytes: int = KEPT_BYTES) -> bool:
    """Set both thresholds, for all threads. False if malloc is not that of glibc, or refuses one.

    Blocks of up to `max_block_bytes` come from the heaps, and longer ones from the system, each for
    itself. A heap gives memory back once `max_free_bytes` are free at its end.
    """
    mallopt = _mallopt()
    if mallopt is None:
        return False
    done = mallopt(_M_MMAP_THRESHOLD, max_block_bytes)
    return bool(done and mallopt(_M_TRIM_THRESHOLD, max_free_bytes))


@functools.cache
def _mallopt() -> Any:
    """The function, or `None` where it is not glibc's."""
    try:
        libc = ctypes.CDLL(None)
        libc.gnu_get_libc_version  # noqa: B018  another libc lacks it, and may have a mallopt
        mallopt = libc.mallopt
    except (OSError, AttributeError, TypeError):
        return None
    mallopt.argtypes = ctypes.c_int, ctypes.c_int
    mallopt.restype = ctypes.c_int
    return mallopt
