"""Fixtures for the tests of connection sources."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pybrpc.client.endpoints import idle_sweep, reconnector
from pybrpc.testing.step_dispatcher import StepDispatcher


@pytest.fixture
def step(monkeypatch: pytest.MonkeyPatch) -> Iterator[StepDispatcher]:
    """A dispatcher by whose clock sources go."""
    made = StepDispatcher()
    monkeypatch.setattr(reconnector, "time", made.clock)
    monkeypatch.setattr(idle_sweep, "time", made.clock)
    yield made
    assert made.raised == []
