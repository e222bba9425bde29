"""Fixtures for the tests of connection sources."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pybrpc.testing.step_dispatcher import StepDispatcher
from tests.fakes.clocks import use_clock


@pytest.fixture
def step(monkeypatch: pytest.MonkeyPatch) -> Iterator[StepDispatcher]:
    """A dispatcher, with a clock that all of pybrpc reads."""
    made = StepDispatcher()
    use_clock(monkeypatch, made.clock)
    yield made
    assert made.raised == []
