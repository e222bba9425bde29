"""Contest: who is compared, and with which loads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Generic, TypeVar

from bench.closed_loop import Window

LoadT = TypeVar("LoadT")

Measure = Callable[[str, LoadT, Window], float]
"""One measurement of a library with a load, in a process of its own: what it did per second."""


@dataclass(frozen=True, slots=True)
class Contest(Generic[LoadT]):
    """The same for several libraries; the first one is compared with the others.

    title       of the table
    unit        what is counted per second
    loads       hashable; `str(load)` is its name, which `parse_load` reads
    measuring   keeps the servers while measurements are made
    packages    installed ones whose versions matter
    """

    title: str
    unit: str
    libraries: Sequence[str]
    loads: Sequence[LoadT]
    parse_load: Callable[[str], LoadT]
    measuring: Callable[[], AbstractContextManager[Measure[LoadT]]]
    packages: Sequence[str]
