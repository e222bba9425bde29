"""SampledVariable: a variable whose value can be looked at over a window of time
(bvar/detail/sampler.h)."""

from __future__ import annotations

import threading
from typing import Any, NamedTuple

from pybrpc.base.renewed import renew_in_child
from pybrpc.metrics.numbers import window_of
from pybrpc.metrics.sampler import default_sampler
from pybrpc.metrics.variable import Variable


class Sample(NamedTuple):
    """The value at `time_s` of the sampler's clock."""

    time_s: float
    value: Any


class SampledVariable(Variable):
    """Keeps a sample of each of the last seconds, once a window wants them.

    The samples are a tuple that is replaced, so they are read without a lock.
    """

    __slots__ = ("_lock", "_max_samples", "_samples")

    has_inverse = True
    """Whether samples are the values at a time, and what happened in between is their difference.
    If not, each sample is of one second alone, and samples are combined."""
    empty_window: Any = 0
    """The value of a window before the second sample."""

    def __init__(
        self, name: str | None, prefix: str = "", help: str = "", metric_name: str | None = None
    ) -> None:
        self._lock = threading.RLock()
        self._samples: tuple[Sample, ...] = ()
        self._max_samples = 0
        renew_in_child(self)
        super().__init__(name, prefix, help, metric_name)

    def renew_locks(self) -> None:
        """In a forked child: make locks free, and forget what the parent has recorded."""
        self._lock = threading.RLock()
        self._samples = ()
        self._clear()
        if self._max_samples:
            self._begin_in_child()

    def _begin_in_child(self) -> None:
        """Take the first sample of a forked child."""
        self.take_sample(default_sampler().clock())

    def _clear(self) -> None:
        """Forget all that was recorded."""

    def keep_samples(self, window_s: int) -> None:
        """Keep samples of at least the last `window_s` seconds, 1 to 3600, from now on."""
        wanted = window_of(window_s) + 1
        with self._lock:
            is_new = self._max_samples == 0
            self._max_samples = max(self._max_samples, wanted)
            if is_new:
                sampler = default_sampler()
                self.take_sample(sampler.clock())  # so that the first second counts
                sampler.add(self)

    def take_sample(self, now_s: float) -> bool:
        """Add a sample. For the sampler."""
        self._add_sample(now_s, self._value_of_sample())
        return True

    def _add_sample(self, now_s: float, value: Any) -> None:
        keep = self._max_samples - 1
        self._samples = (*self._samples[-keep:], Sample(now_s, value))

    def _value_of_sample(self) -> Any:
        """The value for a sample. If it `has_inverse`, this is the value; else that since the
        last sample."""
        return self.get_value()

    def span(self, window_s: int) -> tuple[float, Any] | None:
        """The number of seconds in the window, and the change in them. The window begins `window_s`
        seconds before the last sample, or with the first one. None before the second sample."""
        samples = self._samples
        number = min(window_s + 1, len(samples))
        if number < 2:
            return None
        latest, oldest = samples[-1], samples[-number]
        if self.has_inverse:
            value = latest.value - oldest.value
        else:
            value = self._combined([sample.value for sample in samples[1 - number :]])
        return latest.time_s - oldest.time_s, value

    def _combined(self, values: list[Any]) -> Any:
        """One value for those of some seconds."""
        raise NotImplementedError
