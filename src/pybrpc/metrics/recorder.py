"""Recorder: a variable that many threads add values to, none of them waiting for another.

`list.append` is atomic in every CPython, with a GIL or without. So a value is appended to a list,
and the list is *folded* into the state of the variable later: by the sampler once a second, by the
thread that reads the variable, or by the one whose value is the 1,024th. That is as cheap as an
agent for each thread (C++, bvar/detail/combiner.h), and nothing is lost when a thread ends.

Only the thread with the lock removes values, and only from the front. The state is immutable: a
fold makes a new one first, and then removes the values and stores the state in two steps with no
call in between, so no signal handler can raise there: each value counts once. A handler or a
finalizer that comes to the same variable in the middle of a fold finds it busy, and reads the
state as it was.
"""

from __future__ import annotations

from typing import Any, Self

from pybrpc.metrics.numbers import integer_of
from pybrpc.metrics.sampled import SampledVariable

FOLD_AT = 1024
"""Values that wait in a variable, if no thread is folding it."""
WAIT_AT = 64 * 1024
"""Limit of the values that wait while a thread is folding: one that adds more waits for it."""


class Recorder(SampledVariable):
    """The base of variables that are added to."""

    __slots__ = ("_is_folding", "_pending", "_state")

    _INITIAL: Any = None
    """The state with nothing recorded."""

    def __init__(
        self,
        name: str | None = None,
        *,
        prefix: str = "",
        help: str = "",
        metric_name: str | None = None,
    ) -> None:
        self._pending: list[Any] = []
        self._state = self._INITIAL
        self._is_folding = False
        super().__init__(name, prefix, help, metric_name)

    def _clear(self) -> None:
        self._is_folding = False
        self._pending = []
        self._state = self._INITIAL

    def _read(self) -> Any:
        """The state with all that was added."""
        if self._pending:
            self._fold()
        return self._state

    def _take(self) -> Any:
        """The state; it begins again."""
        with self._lock:
            self._fold()
            state, self._state = self._state, self._INITIAL
        return state

    def _merged(self, values: list[Any]) -> Any:
        """The state with `values` added; `values` has at least one."""
        raise NotImplementedError

    def _fold(self) -> None:
        """Move the values that wait into the state."""
        with self._lock:
            if self._is_folding:
                return
            self._is_folding = True
            try:
                pending = self._pending
                number = len(pending)
                if number:
                    merged = self._merged(pending[:number])
                    # No call from here on.
                    del pending[:number]
                    self._state = merged
            finally:
                self._is_folding = False

    def _fold_if_free(self) -> None:
        """`_fold`, unless another thread does it. For the thread that adds a value."""
        if not self._is_folding or len(self._pending) >= WAIT_AT:
            self._fold()


class IntegerRecorder(Recorder):
    """The base of those that integers are added to."""

    __slots__ = ()

    def record(self, value: float) -> None:
        """Record a number. TypeError if it is none, ValueError if it is not finite."""
        if value.__class__ is not int:
            value = integer_of(value)
        pending = self._pending
        pending.append(value)
        if len(pending) >= FOLD_AT:
            self._fold_if_free()

    def __lshift__(self, value: float) -> Self:
        self.record(value)
        return self
