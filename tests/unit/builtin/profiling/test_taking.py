"""Parameters of profiles, and how a request takes one."""

from __future__ import annotations

import tracemalloc

import pytest

from pybrpc.builtin.page import PageError
from pybrpc.builtin.profiling.slot import PROFILE_SLOT
from pybrpc.builtin.profiling.taking import KINDS, count_of, seconds_of, take_profile
from tests.fakes.pages import FakeServerView
from tests.fakes.profiles import HOSTILE


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("", 10.0), ("1", 1.0), ("0.5", 0.5), ("60", 60.0), ("61", 60.0), ("1e9", 60.0)],
)
def test_seconds_are_limited(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "-inf", "x", "1s", HOSTILE, "0.001"])
def test_other_seconds_are_refused(text: str) -> None:
    with pytest.raises(PageError, match=r"seconds must be a number from 0\.01 to 60") as refused:
        seconds_of(text)
    assert refused.value.status == 400


def test_seconds_without_a_default_are_mandatory() -> None:
    with pytest.raises(PageError):
        seconds_of("", None)


@pytest.mark.parametrize("text", ["0", "26", "-1", "1.5", "²", "9" * 5000, HOSTILE])
def test_counts_are_checked(text: str) -> None:
    with pytest.raises(PageError, match="frames must be a whole number from 1 to 25"):
        count_of("frames", text, 10, 25)


def test_a_count_has_a_default() -> None:
    assert (count_of("frames", "", 10, 25), count_of("frames", "25", 10, 25)) == (10, 25)


class StopsSoon(FakeServerView):
    """A server that stops once a profile has begun."""

    asked = 0

    @property
    def is_stopping(self) -> bool:
        self.asked += 1
        return self.asked > 1

    @is_stopping.setter
    def is_stopping(self, value: bool) -> None:
        pass


@pytest.mark.parametrize("kind", KINDS)
def test_a_profile_ends_when_its_server_stops(kind: str) -> None:
    server = StopsSoon()
    tracemalloc.start()
    try:
        profile = take_profile(kind, 60.0, server)
    finally:
        tracemalloc.stop()
    assert profile.kind == kind
    assert profile.duration_s < 30.0


def test_a_server_that_stops_takes_no_profile() -> None:
    server = FakeServerView()
    server.is_stopping = True
    with pytest.raises(PageError, match="the server stops"):
        take_profile("cpu", 1.0, server)


@pytest.mark.parametrize("kind", KINDS)
def test_one_profile_runs_at_a_time(kind: str) -> None:
    with PROFILE_SLOT.hold("cpu"):
        with pytest.raises(PageError, match="another profile runs: cpu"):
            take_profile(kind, 1.0, FakeServerView())
