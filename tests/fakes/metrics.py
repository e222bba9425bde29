"""SteppedSampler: a sampler of variables without a thread, on a fake clock."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from pybrpc.metrics.call_durations import CLIENT_DURATIONS, SERVER_DURATIONS
from pybrpc.metrics.histogram import Histogram
from pybrpc.metrics.registry import exposed
from pybrpc.metrics.sampler import Sampler, replace_default_sampler
from pybrpc.metrics.snapshot import take_snapshot
from pybrpc.testing.step_dispatcher import FakeClock


class SteppedSampler(Sampler):
    """Its seconds pass when the test says so."""

    def __init__(self) -> None:
        self.fake_clock = FakeClock()
        super().__init__(self.fake_clock.monotonic, has_thread=False)

    def pass_seconds(self, seconds: int = 1) -> None:
        """Let seconds pass, with a tick at the end of each."""
        for _ in range(seconds):
            self.fake_clock.advance(1.0)
            self.tick()


def hide_all() -> None:
    """Hide all variables that are exposed."""
    exposed.hide(exposed.list_exposed())


@contextlib.contextmanager
def own_variables() -> Iterator[SteppedSampler]:
    """No variables but those that are exposed meanwhile, and a sampler of their own."""
    hide_all()
    for durations in (SERVER_DURATIONS, CLIENT_DURATIONS):
        durations.exposed().clear_stats()
    hide_all()
    stepped = SteppedSampler()
    replace_default_sampler(stepped)
    try:
        yield stepped
    finally:
        replace_default_sampler()
        hide_all()


def number(name: str) -> float:
    """The value of an exposed variable that is a number."""
    text = exposed.describe_exposed(name)
    assert text is not None, f"{name} is not exposed"
    return float(text)


def counts(side: str) -> dict[str, int]:
    """How many calls of each code the labelled durations of a side have."""
    family = take_snapshot().families.get(f"brpc_{side}_call_duration_seconds")
    found: dict[str, int] = {}
    for (_, _, code, _), value in family.values.items() if family is not None else ():
        assert isinstance(value, Histogram)
        found[code] = found.get(code, 0) + value.count
    return found
