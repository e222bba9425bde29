"""Timeline: timestamps of players go on though publishers change."""

from __future__ import annotations

from pybrpc.rtmp.relay.timeline import MIN_GAP_MS, Timeline


def test_timestamps_of_the_first_publisher_stay() -> None:
    line = Timeline()
    line.restart()

    assert [line.at(time, True, 0.0) for time in (5000, 5040, 5030)] == [5000, 5040, 5030]
    assert line.last == 5040


def test_next_publisher_goes_on_after_the_pause() -> None:
    line = Timeline()
    line.at(5000, True, 10.0)
    line.restart()

    assert line.at(0, False, 12.0) == 5000, "a header has the last time"
    assert line.at(700, True, 12.5) == 7500
    assert line.at(740, True, 12.5) == 7540
    assert line.at(690, True, 12.5) == 7490, "audio that is a little earlier"


def test_next_publisher_is_never_at_the_same_time() -> None:
    line = Timeline()
    line.at(5000, True, 10.0)
    line.restart()

    assert line.at(0, True, 10.0) == 5000 + MIN_GAP_MS


def test_publisher_without_frames_changes_nothing() -> None:
    line = Timeline()
    line.restart()
    line.at(0, False, 1.0)
    line.restart()

    assert line.at(300, True, 2.0) == 300


def test_times_wrap_at_32_bits() -> None:
    line = Timeline()
    line.at(0xFFFFFFF0, True, 0.0)
    assert line.at(0x10, True, 0.0) == 0x10
    assert line.last == 0x10
    line.restart()

    assert line.at(0xFFFFFFFF, True, 0.1) == 0x10 + 100
    assert line.at(0, True, 0.1) == 0x10 + 101
