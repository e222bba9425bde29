"""Fixtures for the tests of calls."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from pybrpc.testing.step_dispatcher import FakeClock
from tests.fakes.clocks import use_clock


@pytest.fixture
def no_gc() -> Iterator[None]:
    """No garbage collector meanwhile."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    """A clock that all of pybrpc reads."""
    clock = FakeClock()
    use_clock(monkeypatch, clock)
    return clock
