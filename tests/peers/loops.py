"""Event loops to test on: asyncio's, and uvloop where it can be had.

Tests that name uvloop as a parameter are skipped without it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"asyncio": asyncio.new_event_loop}
RUNS: dict[str, Callable[..., Any]] = {"asyncio": asyncio.run}

with contextlib.suppress(ModuleNotFoundError):
    import uvloop

    LOOPS["uvloop"] = uvloop.new_event_loop
    RUNS["uvloop"] = uvloop.run
    # The first loop of libuv opens a pipe for signals that belongs to the process and is never
    # closed; it must not look like a leak of the first test that uses uvloop.
    uvloop.new_event_loop().close()
