"""SteppedSampler: a sampler of variables without a thread, on a fake clock."""

from __future__ import annotations

from pybrpc.metrics.registry import exposed
from pybrpc.metrics.sampler import Sampler
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
