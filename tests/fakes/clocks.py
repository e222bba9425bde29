"""use_clock: let all of pybrpc read the clock of a test."""

from __future__ import annotations

import sys
import time

import pytest

from pybrpc.testing.step_dispatcher import FakeClock


def use_clock(monkeypatch: pytest.MonkeyPatch, clock: FakeClock) -> None:
    """Replace the module `time`, and its `monotonic`, in every module of pybrpc that is loaded and
    imports it.

    In all of them: a deadline that is made by one clock and compared with another is in the past
    or in the future by chance, depending on how long the machine is up.
    """
    for name, module in list(sys.modules.items()):
        if name.startswith("pybrpc.") and getattr(module, "time", None) is time:
            monkeypatch.setattr(module, "time", clock)
        if name.startswith("pybrpc.") and getattr(module, "monotonic", None) is time.monotonic:
            monkeypatch.setattr(module, "monotonic", clock.monotonic)
