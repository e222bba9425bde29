"""HeapTracing: tracemalloc, started on demand and never for ever.

It makes a program that allocates much several times as slow, and needs memory for each block. So a
thread of its own stops it: when its time is over, when the server stops that has started it, or
when what tracemalloc needs exceeds a limit. Tracing that the application has started itself is
used, and is not stopped.
"""

from __future__ import annotations

import sys
import threading
import time
import tracemalloc
from collections.abc import Callable
from pathlib import PurePath

from pybrpc.base.renewed import renew_in_child
from pybrpc.builtin.page import PageError
from pybrpc.builtin.profiling.profile import (
    MAX_FILE,
    Frame,
    Profile,
    ProfileBuilder,
    SampleKey,
    ValueType,
    shown_value,
)

MAX_FRAMES = 25
DEFAULT_FRAMES = 10
DEFAULT_SECONDS = 600.0
MAX_SECONDS = 3600.0
MAX_TRACE_BYTES = 64 * 1024 * 1024
"""Limit of the memory that tracemalloc needs for itself; a copy takes about three times that."""
LOOK_S = 0.5
"""How often the thread looks whether tracing has to end."""
STOP_S = 5.0
"""Longest time that `stop` waits for the thread."""

_OWN_FILES = frozenset(
    (
        __file__,
        tracemalloc.__file__,
        sys.modules[Profile.__module__].__file__,
    )
)
"""Allocations of the profiles themselves are left out."""
VALUE_TYPES = (ValueType("inuse_objects", "count"), ValueType("inuse_space", "bytes"))


class HeapTracing:
    """Starts and stops tracemalloc. Any thread; blocks shortly. A forked child does not trace."""

    def __init__(self, max_trace_bytes: int = MAX_TRACE_BYTES, look_s: float = LOOK_S) -> None:
        self._max_trace_bytes = max_trace_bytes
        self._look_s = look_s
        self._thread: threading.Thread | None = None
        self.ended_because = ""
        """Why the last tracing has ended; "" if none has."""
        self._renew()
        renew_in_child(self)

    def _renew(self) -> None:
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._ends_at = 0.0

    def renew_locks(self) -> None:
        """See `renew_in_child`. The thread that would stop it is not in the child."""
        if self._thread is not None:
            self._thread = None
            tracemalloc.stop()
        self._renew()

    def start(
        self,
        frames: int = DEFAULT_FRAMES,
        seconds: float = DEFAULT_SECONDS,
        is_over: Callable[[], bool] = lambda: False,
    ) -> None:
        """Trace for `seconds`, or until `is_over()`, with up to `frames` frames of each block.
        PageError (409) if tracemalloc traces already, (503) if there is no thread to be had."""
        with self._lock:
            if tracemalloc.is_tracing():
                raise PageError(409, "tracemalloc traces already")
            stop = self._stop = threading.Event()
            ends_at = self._ends_at = time.monotonic() + seconds
            thread = threading.Thread(
                target=self._watch,
                args=(stop, ends_at, is_over),
                name="pybrpc-heap-tracing",
                daemon=True,
            )
            tracemalloc.start(frames)
            try:
                thread.start()
            except BaseException as error:
                tracemalloc.stop()
                raise PageError(503, "there is no thread to be had that stops it") from error
            self._thread = thread
            self.ended_because = ""

    def stop(self) -> bool:
        """End what `start` has begun; False if that is over. Waits for its thread."""
        with self._lock:
            thread = self._thread
            self._stop.set()
        if thread is None:
            return False
        thread.join(STOP_S)
        return True

    def is_own(self) -> bool:
        """Whether `start` has begun the tracing that goes on."""
        return self._thread is not None

    def remaining_s(self) -> float:
        """Seconds until it ends by itself; 0.0 if nothing traces that `start` has begun."""
        return max(self._ends_at - time.monotonic(), 0.0) if self.is_own() else 0.0

    def _watch(self, stop: threading.Event, ends_at: float, is_over: Callable[[], bool]) -> None:
        reason = "a function has raised"
        try:
            reason = self._wait(stop, ends_at, is_over)
        finally:
            with self._lock:
                tracemalloc.stop()
                self._thread = None
                self.ended_because = reason

    def _wait(self, stop: threading.Event, ends_at: float, is_over: Callable[[], bool]) -> str:
        """Wait for one of the reasons to end, and return it."""
        while not stop.wait(min(self._look_s, max(ends_at - time.monotonic(), 0.0))):
            if is_over():
                return "the server stops"
            if time.monotonic() >= ends_at:
                return "its time was over"
            needed = tracemalloc.get_tracemalloc_memory()
            if needed > self._max_trace_bytes:
                return f"tracemalloc needed {shown_value(needed, 'bytes')}"
        return "it was asked to"

    def __repr__(self) -> str:
        if not self.is_own():
            return "<HeapTracing off>"
        return f"<HeapTracing on, for another {self.remaining_s():.0f} s>"


HEAP_TRACING = HeapTracing()
"""That of this process."""


def heap_profile(max_trace_bytes: int = MAX_TRACE_BYTES) -> Profile:
    """The blocks that are in use and were traced, by where they were allocated. Blocks for seconds
    if there are many. PageError (409) if nothing is traced, (503) if there are too many."""
    if not tracemalloc.is_tracing():
        raise PageError(409, "tracemalloc does not trace: it has to be started first, by POST")
    if tracemalloc.get_tracemalloc_memory() > max_trace_bytes:
        raise PageError(503, "tracemalloc knows too many blocks: a copy of them needs too much")
    builder = ProfileBuilder(2)
    taken_at_s = time.time()
    try:
        snapshot = tracemalloc.take_snapshot()
    except RuntimeError as error:  # it was stopped meanwhile
        raise PageError(409, "tracemalloc was stopped") from error
    frames: dict[tuple[str, int], Frame] = {}
    for trace in snapshot.traces:
        stack = tuple(
            frames.get((place.filename, place.lineno))
            or frames.setdefault((place.filename, place.lineno), _frame(place))
            for place in trace.traceback
        )
        if not any(frame.file in _OWN_FILES for frame in stack):
            builder.add(SampleKey(stack), 1, trace.size)
    needed = shown_value(tracemalloc.get_tracemalloc_memory(), "bytes")
    notes = (f"blocks allocated since tracing was started; tracemalloc itself needs {needed}",)
    return Profile("heap", VALUE_TYPES, builder.samples, taken_at_s, 0.0, notes=notes)


def _frame(place: tracemalloc.Frame) -> Frame:
    """tracemalloc knows files and lines, and no functions."""
    name = f"{PurePath(place.filename).name}:{place.lineno}"
    return Frame(name, place.filename[:MAX_FILE], place.lineno)


def growth_between(before: Profile, after: Profile) -> Profile:
    """The blocks in use in `after` that were not in `before`; freed ones are negative."""
    builder = ProfileBuilder(2)
    for key in dict.fromkeys((*after.samples, *before.samples)):
        was, now = before.samples.get(key, (0, 0)), after.samples.get(key, (0, 0))
        if now != was:
            builder.add(key, now[0] - was[0], now[1] - was[1])
    seconds = max(after.taken_at_s - before.taken_at_s, 0.0)
    notes = (f"what has grown within {seconds:.1f} s; negative: freed",)
    return Profile("growth", VALUE_TYPES, builder.samples, before.taken_at_s, seconds, notes=notes)
