"""The classes of the write path, patched so that their threads stop at shared values.

The patched code is the code that ships: slots and atomics that threads share are
replaced by traced ones. A Stage is notified of each change of the write right.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import pytest

from pybrpc.transport.connecting import connecting as connecting_module
from pybrpc.transport.connecting import connector as connector_module
from pybrpc.transport.connecting.connecting import Connecting
from pybrpc.transport.interfaces import PlainLayer
from pybrpc.transport.writing import backlog as backlog_module
from pybrpc.transport.writing import pending_writes as pending_writes_module
from pybrpc.transport.writing import socket_core as socket_core_module
from pybrpc.transport.writing import writable_wait as writable_wait_module
from pybrpc.transport.writing import write_queue as write_queue_module
from pybrpc.transport.writing import writer as writer_module
from pybrpc.transport.writing.backlog import Backlog
from pybrpc.transport.writing.pending_writes import PendingWrites
from pybrpc.transport.writing.socket_core import SocketCore
from pybrpc.transport.writing.writable_wait import WritableWait
from pybrpc.transport.writing.write_queue import WriteQueue
from pybrpc.transport.writing.write_request import BUSY, WriteRequest
from pybrpc.transport.writing.writer import SocketWriter
from tests.schedules.traced import TracedCounter, TracedSlot

SHARED: dict[type, tuple[str, ...]] = {
    SocketCore: ("error", "is_connected"),
    WriteRequest: ("next", "is_canceled", "progress"),
    PendingWrites: ("is_shutdown",),
    Backlog: ("is_overcrowded", "_is_closed"),
    SocketWriter: ("_close_request",),
}
"""Slots that one thread writes and another reads. Atomics are traced too."""

LIMITS = (
    (writer_module, "MAX_DRAINED_PER_STEP"),
    (write_queue_module, "MAX_REQUESTS_PER_WALK"),
    (pending_writes_module, "MAX_DROPPED_PER_BATCH"),
)
"""Numbers of requests that end a step; here each of them is 1, so that steps end everywhere."""

Mutation = tuple[object, str, object]
"""A class or a module, a name in it, and the replacement."""


class Stage(Protocol):
    """The methods that the patched code calls."""

    scheduler: Any
    clock: Any

    def point(self, label: str) -> None: ...
    def on_exchange(self, request: object) -> None: ...
    def on_taken(self, from_where: str) -> None: ...
    def on_passed(self, to_where: str) -> None: ...
    def on_paused(self, where: str) -> None: ...
    def on_failed_request(self) -> None: ...
    def cut_into_fd(self, fd: int, pieces: Any) -> int: ...
    def start_timer(self, function: Callable[[], None]) -> None: ...


class _Ref:
    """An AtomicRef whose accesses are points; that of a queue tells the order of the exchanges."""

    def __init__(self, stage: Stage, name: str, initial: Any) -> None:
        self._stage = stage
        self._name = name
        self._value = initial

    def get(self) -> Any:
        self._stage.point(f"look at {self._name}")
        return self._value

    def get_and_set(self, desired: Any) -> Any:
        self._stage.point(f"exchange {self._name}")
        found, self._value = self._value, desired
        if isinstance(desired, WriteRequest) and desired is not BUSY:
            self._stage.on_exchange(desired)
        return found

    def compare_and_set(self, expected: Any, desired: Any) -> bool:
        self._stage.point(f"replace {self._name}")
        if self._value is not expected:
            return False
        self._value = desired
        return True


class _Threading:
    """In place of the module `threading` in the writer: its timers are the stage's."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def Timer(self, pause_s: float, function: Callable[[], None]) -> _Timer:
        return _Timer(self._stage, function)


class _Timer:
    def __init__(self, stage: Stage, function: Callable[[], None]) -> None:
        self._stage = stage
        self._function = function

    def start(self) -> None:
        self._stage.start_timer(self._function)


@contextlib.contextmanager
def patched(stage: Stage, mutations: tuple[Mutation, ...] = ()) -> Iterator[None]:
    """Patch the write path, with those mutations, until the `with` ends."""
    with pytest.MonkeyPatch.context() as patch:
        # The queues of earlier runs are collected at any time, which would be steps of this one.
        patch.delattr(WriteQueue, "__del__")
        for place, name, instead in mutations:
            patch.setattr(place, name, instead)
        _step_at_accesses(stage, patch)
        _tell_of_the_right(stage, patch)
        for module, limit in LIMITS:
            patch.setattr(module, limit, 1)
        for module in (writable_wait_module, connecting_module, connector_module):
            patch.setattr(module, "time", stage.clock)
        patch.setattr(writer_module, "monotonic", stage.clock.monotonic)
        patch.setattr(writer_module, "threading", _Threading(stage))
        patch.setattr(PlainLayer, "cut_into_fd", staticmethod(stage.cut_into_fd))
        yield


def _step_at_accesses(stage: Stage, patch: pytest.MonkeyPatch) -> None:
    for cls, names in SHARED.items():
        for name in names:
            patch.setattr(cls, name, TracedSlot(stage, cls.__dict__[name], name))
    for module, name in (
        (write_queue_module, "the head"),
        (socket_core_module, "the failure"),
        (connecting_module, "the step of connecting"),
    ):
        patch.setattr(module, "atomic_ref", functools.partial(_Ref, stage, name))
    patch.setattr(backlog_module, "atomic_counter", lambda: TracedCounter(stage))


def _tell_of_the_right(stage: Stage, patch: pytest.MonkeyPatch) -> None:
    def taking(cls: type, name: str, from_where: str) -> None:
        original = getattr(cls, name)

        @functools.wraps(original)
        def patched_method(*arguments: Any) -> Any:
            has_right = original(*arguments)
            if has_right:
                stage.on_taken(from_where)
            return has_right

        patch.setattr(cls, name, patched_method)

    def entering(cls: type, name: str, note: Callable[[str], None], where: str) -> None:
        original = getattr(cls, name)

        @functools.wraps(original)
        def patched_method(*arguments: Any) -> Any:
            note(where)
            return original(*arguments)

        patch.setattr(cls, name, patched_method)

    taking(WriteQueue, "push", "the queue")
    taking(Connecting, "_cancel_step", "the connector")
    taking(WritableWait, "stop", "the wait for room")
    entering(Connecting, "_finish", stage.on_taken, "the connector")
    entering(Connecting, "_fail", stage.on_taken, "the connector")
    entering(SocketWriter, "keep_write", stage.on_taken, "a continuation")
    entering(Connecting, "connect", stage.on_passed, "the connector")
    entering(SocketWriter, "_post_keep_write", stage.on_passed, "a continuation")
    entering(WritableWait, "pause", stage.on_paused, "the wait for room")
    entering(WritableWait, "wait_for_kernel", stage.on_passed, "the wait for room")
    _tell_of_release(stage, patch)
    _tell_of_retry(stage, patch)
    settle_failed = PendingWrites.settle_failed

    @functools.wraps(settle_failed)
    def settle(*arguments: Any) -> None:
        stage.on_failed_request()
        settle_failed(*arguments)

    patch.setattr(PendingWrites, "settle_failed", settle)


def _tell_of_release(stage: Stage, patch: pytest.MonkeyPatch) -> None:
    original = WriteQueue.release

    def release(queue: WriteQueue) -> bool:
        # The next holder may have taken it before this one hears that it has given it.
        stage.on_passed("the queue")
        is_released = original(queue)
        if not is_released:
            stage.on_taken("the queue")
        return is_released

    patch.setattr(WriteQueue, "release", release)


def _tell_of_retry(stage: Stage, patch: pytest.MonkeyPatch) -> None:
    original = SocketWriter._retry_take

    @functools.wraps(original)
    def retry_take(writer: SocketWriter, socket: SocketCore) -> bool:
        if writer._queue.is_cut:
            stage.on_passed("a continuation")
        return original(writer, socket)

    patch.setattr(SocketWriter, "_retry_take", retry_take)
