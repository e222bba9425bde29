"""A StreamSide for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pybrpc.streams import callback_threads
from tests.fakes.streams import StreamSide
from tests.fakes.threads import wait_until


@pytest.fixture
def side() -> Iterator[StreamSide]:
    with StreamSide() as side:
        yield side


@pytest.fixture(autouse=True)
def _short_idle(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Threads for the functions of streams end soon after they are needed."""
    monkeypatch.setattr(callback_threads, "IDLE_S", 0.05)
    yield
    wait_until(lambda: not callback_threads.callback_threads().threads)
