"""fake_clock: the library reads a clock that stands still until the test moves it.

Deadlines, pauses before retries, backup requests, circuit breakers, health checks, idle timeouts
and the like read `time.monotonic`, in many modules, some of them compiled. While a fake clock is
used these modules find it in place of the module `time`: nothing is paid for that otherwise.

The kernel waits by the real clock. So a thread, or a timer of an asyncio loop, that waits for a
deadline looks at the fake one every TICK_S seconds, and a dispatcher is woken when it moves. The
real clock stays where it is measured how long something really takes, to protect the process (a
handler that blocks the thread that polls, a post that was lost), and in metrics, naming services,
the command, what processes of workers tell each other, and the tools for tests.
"""

from __future__ import annotations

import contextlib
import importlib
import math
import sys
import time
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from pybrpc.base import flags, waiting
from pybrpc.base.flags import OnceFlag, WakeSignal
from pybrpc.base.guard import TRANSPORT
from pybrpc.errors import DispatcherClosedError
from pybrpc.testing.step_dispatcher import FakeClock
from pybrpc.transport.dispatch import asyncio_dispatcher, direct_waiter
from pybrpc.transport.runtime import Runtime, swap_default_runtime

TICK_S = 0.002
"""Seconds after which waiting threads and loops look at the clock again."""

SETTLE_S = 5.0
"""Longest time, in seconds, for which `advance` waits until the dispatcher has run what was due."""

STILL_S = 10.0
"""Real seconds without a move of the clock after which a warning is logged, once: a test that waits
for a deadline without advancing the clock would hang without a word."""

_REAL = (
    "pybrpc.base.import_gate",
    "pybrpc.base.once_posted",
    "pybrpc.builtin.profiling.",
    "pybrpc.cli.",
    "pybrpc.metrics.",
    "pybrpc.naming.",
    "pybrpc.server.workers.orphans.",
    "pybrpc.server.workers.pages.",
    "pybrpc.testing.",
    "pybrpc.transport.dispatch.relay",
    "pybrpc.transport.dispatch.standby",
)
"""Modules, and packages, that keep the real clock."""

_IMPORTED_LATE = (
    "pybrpc.client.cluster.cluster_source",
    "pybrpc.client.cluster.finding",
    "pybrpc.client.cluster.turns",
    "pybrpc.client.combo.call_form",
    "pybrpc.client.combo.combo_call",
    "pybrpc.client.combo.selective_call",
    "pybrpc.client.combo.sub_router",
    "pybrpc.redis.redis_connection",
    "pybrpc.rtmp.client.player",
    "pybrpc.rtmp.client.reconnecting",
    "pybrpc.rtmp.client.reconnecting_waits",
    "pybrpc.rtmp.relay.recorder",
    "pybrpc.rtmp.relay.relay_stream",
    "pybrpc.rtmp.server.server_connection",
    "pybrpc.server.workers.supervisor_link",
    "pybrpc.server.workers.worker_process",
    "pybrpc.server.workers.worker_slot",
    "pybrpc.tracing.annotating",
)
"""Modules that read the clock, and that pybrpc imports only when they are used. First imported
inside the block, they would find the real one."""

_LONGEST_WAITS = (
    (waiting, "MAIN_THREAD_WAIT_S"),
    (waiting, "LONGEST_WAIT_S"),
    (flags, "LONGEST_WAIT_S"),
    (direct_waiter, "MAIN_THREAD_WAIT_S"),
    (direct_waiter, "LONGEST_WAIT_S"),
    (asyncio_dispatcher, "LONGEST_TIMER_S"),
)
"""Variables that say for how long something waits at once."""

_in_use = OnceFlag()


class ProcessClock(FakeClock):
    """The clock that `fake_clock` gives."""

    def __init__(self, runtime: Runtime) -> None:
        # A whole number: sums of short times are then what they are on paper.
        super().__init__(float(math.ceil(time.monotonic())))
        self._runtime = runtime
        self._warns_at = time.monotonic() + STILL_S

    def monotonic(self) -> float:
        """The time of this clock in seconds."""
        if time.monotonic() >= self._warns_at:
            self._warns_at = math.inf
            TRANSPORT.warning(
                "the fake clock has stood still for %g seconds: what waits for a deadline waits "
                "until the test advances it, from another thread if this one blocks",
                STILL_S,
            )
        return self.now_s

    def advance(self, seconds: float, *, steps: int = 1) -> None:
        """Move the clock forward by `seconds`, in `steps` equal jumps. Any thread.

        When it returns, the dispatcher thread has run the timers that are due. After each jump: a
        timer that a timer sets begins at the new time, so for a row of pauses, as of retries with a
        backoff, give steps that are as short as the pauses. Threads that wait for a deadline, and
        asyncio loops, see the new time within a few milliseconds. ValueError for a time that is
        negative or no finite number, or less than one step; TypeError for what is no number.
        """
        if not isinstance(seconds, int | float):
            raise TypeError(f"the clock moves forward by a number of seconds, not by {seconds!r}")
        if not 0 <= seconds < math.inf:
            raise ValueError(f"the clock moves forward by a number of seconds, not by {seconds!r}")
        if not isinstance(steps, int):
            raise TypeError(f"steps must be a whole number, not {steps!r}")
        if steps < 1:
            raise ValueError(f"steps must be at least 1, not {steps!r}")
        if self._warns_at < math.inf:
            self._warns_at = time.monotonic() + STILL_S
        began_s = self.now_s
        for step in range(1, steps + 1):
            self.now_s = round(began_s + seconds * step / steps, 9)
            self._settle()

    def _settle(self) -> None:
        """Have the dispatcher thread run what is due, and wait for it, unless this is a turn."""
        dispatcher = self._runtime.dispatcher
        for _ in range(2):  # what is due is found in one turn, and may post to the next one
            has_run = WakeSignal()
            try:
                dispatcher.post(has_run.set)
            except DispatcherClosedError:
                return
            if dispatcher.is_current():
                return
            has_run.wait(SETTLE_S)


class _FakeTime:
    """Stands for the module `time`: all as there, but for the monotonic clock."""

    def __init__(self, clock: FakeClock) -> None:
        self.monotonic = clock.monotonic
        self.monotonic_ns = lambda: int(clock.monotonic() * 1e9)

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)


@contextlib.contextmanager
def fake_clock() -> Iterator[ProcessClock]:
    """A clock for all of pybrpc in this process, which stands still until `clock.advance(seconds)`.

        with fake_clock() as clock, channel_for(fake) as channel:
            future = pybrpc.Stub(SERVICE, channel).Echo.future(request, timeout=30)
            clock.advance(31)
            ...                          # future.exception() is an RpcTimeoutError

    Make channels and servers inside of the block: it has a Runtime of its own, with a dispatcher
    thread of its own, which is closed at the end. Use none inside that were made before. One at a
    time in a process, else RuntimeError. The main thread need not be the one that uses it.

    A blocking call waits in its thread: let another thread advance the clock, or use `.future()`.
    Not on this clock: `time.sleep` and `asyncio.sleep` of your own code, time limits that asyncio
    itself keeps (`asyncio.timeout`, which `aio` streams, combined channels and `wait_ready` use),
    naming services, metrics, and RTMP.
    """
    if not _in_use.try_set():
        raise RuntimeError("a fake clock is used already: one at a time in a process")
    try:
        for late in _IMPORTED_LATE:
            importlib.import_module(late)
    except BaseException:
        _in_use.clear()
        raise
    runtime = Runtime()
    earlier = swap_default_runtime(runtime)
    clock = ProcessClock(runtime)
    replaced = _replace(clock)
    try:
        yield clock
    finally:
        for module, name, value in reversed(replaced):
            setattr(module, name, value)
        swap_default_runtime(earlier)
        runtime.close()
        _in_use.clear()


def _replace(clock: FakeClock) -> list[tuple[ModuleType, str, Any]]:
    """Have the modules of pybrpc read `clock`. Return what was there before."""
    fake_time = _FakeTime(clock)
    replaced: list[tuple[ModuleType, str, Any]] = []

    def put(module: ModuleType, name: str, value: Any) -> None:
        replaced.append((module, name, getattr(module, name)))
        setattr(module, name, value)

    for module in _modules_on_clock():
        if getattr(module, "time", None) is time:
            put(module, "time", fake_time)
        if getattr(module, "monotonic", None) is time.monotonic:
            put(module, "monotonic", clock.monotonic)
    for module, name in _LONGEST_WAITS:
        put(module, name, TICK_S)
    return replaced


def _modules_on_clock() -> list[ModuleType]:
    return [
        module
        for name, module in list(sys.modules.items())
        if name.startswith("pybrpc.") and not name.startswith(_REAL)
    ]
