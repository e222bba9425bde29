"""Profile: stacks and how much each of them costs; ProfileBuilder adds them up, within bounds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

MAX_STACKS = 10_000
"""Different stacks of one profile; what comes after them counts as `OTHER_STACKS`."""
MAX_STACK_FRAMES = 200_000
"""Frames of all these stacks together."""
MAX_NAME = 200
"""Characters of a name of a function, thread or task."""
MAX_FILE = 300

_FRAME_BYTES = 250
_SAMPLE_BYTES = 250


class Frame(NamedTuple):
    """A function that runs, and where in it."""

    function: str
    file: str = ""
    line: int = 0


Stack: TypeAlias = tuple[Frame, ...]
"""The outermost function first."""

OTHER_STACKS: Stack = (Frame("(other stacks)"),)


class ValueType(NamedTuple):
    """A quantity that is measured, in pprof's words: "cpu", in "nanoseconds"."""

    name: str
    unit: str


class SampleKey(NamedTuple):
    """Samples with the same key are added up."""

    stack: Stack
    thread: str = ""
    task: str = ""


@dataclass(frozen=True, slots=True)
class Profile:
    """A finished profile. It does not change any more."""

    kind: str
    """ "cpu", "heap", "growth" or "contention"."""
    value_types: tuple[ValueType, ...]
    """The last one is what graphs and tables show."""
    samples: dict[SampleKey, tuple[int, ...]] = field(repr=False)
    """A value for each of `value_types`."""
    taken_at_s: float
    """Its start, in seconds since the epoch."""
    duration_s: float
    """0.0 for the state of one moment."""
    period_ns: int = 0
    """Nanoseconds between two samples, on average; 0 for one that takes no samples."""
    notes: tuple[str, ...] = ()
    """Lines about it, for people."""

    @property
    def unit(self) -> str:
        """Unit of what graphs show."""
        return self.value_types[-1].unit

    @property
    def total(self) -> int:
        """The sum of what graphs show."""
        return sum(values[-1] for values in self.samples.values())

    @property
    def whole(self) -> int:
        """That by which shares are computed: the sum without negative values, which only the growth
        of memory has."""
        return sum(values[-1] for values in self.samples.values() if values[-1] > 0)

    def main_values(self) -> Iterator[tuple[SampleKey, int]]:
        """Each sample with the value that graphs show."""
        for key, values in self.samples.items():
            yield key, values[-1]

    def size_bytes(self) -> int:
        """About how much memory it takes."""
        frames = {frame for key in self.samples for frame in key.stack}
        pointers = 8 * sum(len(key.stack) for key in self.samples)
        return pointers + _SAMPLE_BYTES * len(self.samples) + _FRAME_BYTES * len(frames)


class ProfileBuilder:
    """Adds samples up. One thread at a time."""

    def __init__(
        self,
        values: int,
        max_stacks: int = MAX_STACKS,
        max_stack_frames: int = MAX_STACK_FRAMES,
    ) -> None:
        """`values`: how many values each sample has."""
        self._nothing = (0,) * values
        self._max_stacks = max_stacks
        self._frames_left = max_stack_frames
        self.samples: dict[SampleKey, tuple[int, ...]] = {}

    def add(self, key: SampleKey, *values: int) -> None:
        """Add `values` to those of `key`, or to those of all other stacks if there are too many."""
        before = self.samples.get(key)
        if before is None:
            key, before = self._admit(key)
        self.samples[key] = tuple(map(sum, zip(before, values, strict=True)))

    def _admit(self, key: SampleKey) -> tuple[SampleKey, tuple[int, ...]]:
        depth = len(key.stack)
        if len(self.samples) < self._max_stacks and depth <= self._frames_left:
            self._frames_left -= depth
            return key, self._nothing
        other = SampleKey(OTHER_STACKS)
        return other, self.samples.get(other, self._nothing)


def shown_value(value: float, unit: str) -> str:
    """`value` for people: nanoseconds as "1.25 s", bytes as "3.40 MiB", else a count."""
    size = abs(value)
    if unit == "nanoseconds":
        for limit, name in ((1e9, "s"), (1e6, "ms"), (1e3, "us")):
            if size >= limit:
                return f"{value / limit:.2f} {name}"
        return f"{value:.0f} ns"
    if unit == "bytes":
        for limit, name in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
            if size >= limit:
                return f"{value / limit:.2f} {name}"
        return f"{value:.0f} B"
    return f"{value:.0f}"
