"""The latency of a server: up at once, down slowly."""

from __future__ import annotations

import math

import pytest

from pybrpc.client.cluster.balancing.peak_ewma import MIN_LATENCY_S, PeakEwma


def test_slower_sample_replaces_the_average() -> None:
    load = PeakEwma()
    load.note(0.01, 1.0, 10.0)
    load.note(0.5, 1.0, 10.0)
    assert load.average_s == 0.5


def test_faster_sample_counts_more_the_longer_ago_the_last_one_is() -> None:
    for elapsed_s in (0.0, 1.0, 10.0, 100.0):
        load = PeakEwma()
        load.note(1.0, 5.0, 10.0)
        load.note(0.1, 5.0 + elapsed_s, 10.0)
        kept = math.exp(-elapsed_s / 10.0)
        assert load.average_s == pytest.approx(kept + 0.1 * (1 - kept))


def test_average_counts_for_less_without_samples() -> None:
    load = PeakEwma()
    load.note(1.0, 5.0, 10.0)
    assert load.latency_s(5.0, 10.0) == 1.0
    assert load.latency_s(15.0, 10.0) == pytest.approx(math.exp(-1))
    assert load.latency_s(1e9, 10.0) == MIN_LATENCY_S
    assert load.latency_s(4.0, 10.0) == 1.0


def test_sample_from_before_the_last_one_changes_nothing() -> None:
    load = PeakEwma()
    load.note(1.0, 5.0, 10.0)
    load.note(0.1, 4.0, 10.0)
    assert load.average_s == 1.0


def test_sample_of_no_time_is_a_sample() -> None:
    load = PeakEwma()
    load.note(0.0, 5.0, 10.0)
    assert load.average_s == MIN_LATENCY_S
    assert repr(load) == "<PeakEwma 0.001 ms>"


def test_forget_begins_anew() -> None:
    ewma = PeakEwma()
    ewma.note(5.0, 100.0, 10.0)
    ewma.forget()
    assert ewma.average_s == 0.0
    ewma.note(0.001, 101.0, 10.0)
    assert ewma.latency_s(101.0, 10.0) == 0.001
