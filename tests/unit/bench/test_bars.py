"""Figures made of samples: spreads, ratios within a round, verdicts, lines."""

from __future__ import annotations

import pytest

from bench import quick
from bench.bars import Bar, bars, cells_of_bars
from bench.options import parse_options, plan_from
from bench.rounds import Plan
from bench.samples import Cell, Sample, Samples, Spread
from bench.work import Window

OURS, THEIRS = Cell("asyncio", "pybrpc-aio", "64"), Cell("asyncio", "grpc.aio", "64")


def sampled(*rounds: tuple[float, float]) -> Samples:
    """Calls per second of ours and theirs, a pair for each round."""
    samples = Samples()
    for number, (ours, theirs) in enumerate(rounds):
        samples.append(Sample(number, OURS, {"calls_per_s": ours}))
        samples.append(Sample(number, THEIRS, {"calls_per_s": theirs}))
    return samples


def test_a_ratio_compares_what_one_round_gave() -> None:
    samples = sampled((100, 10), (300, 100), (50, 10))
    assert Bar("", 4, OURS, THEIRS).spread(samples) == Spread(5, 3, 10)


def test_a_round_that_one_of_them_lacks_is_left_out() -> None:
    samples = sampled((100, 10))
    samples.append(Sample(1, THEIRS, {}, "it failed"))
    samples.append(Sample(2, OURS, {"calls_per_s": 7}))
    samples.append(Sample(2, THEIRS, {"calls_per_s": 1}))
    assert samples.ratios(OURS, THEIRS, "calls_per_s") == [10, 7]
    assert samples.failures() == {THEIRS: "it failed"}


@pytest.mark.parametrize(("median", "floor", "ceiling"), [(3, True, True), (4, True, False)])
def test_a_bar_is_a_floor_or_a_ceiling(median: float, floor: bool, ceiling: bool) -> None:
    spread = Spread(median, 0, 100)
    assert Bar("", 3, OURS).is_met(spread) is floor
    assert Bar("", 3, OURS, is_ceiling=True).is_met(spread) is ceiling


SINGLE, POOLED = Cell("threads", "pybrpc", "8"), Cell("threads", "pybrpc-pooled", "8")
THRIFT = Cell("threads", "thriftpy2", "8")


def sampled_types(*rounds: tuple[float, float, float]) -> Samples:
    """Calls per second of single, pooled and thriftpy2, which take as many seconds of processor."""
    samples = Samples()
    for number, values in enumerate(rounds):
        for cell, value in zip((SINGLE, POOLED, THRIFT), values, strict=True):
            figures = {"calls_per_s": value, "client_cpu_us": value}
            samples.append(Sample(number, cell, figures))
    return samples


def test_best_of_several_cells_is_the_one_whose_median_is() -> None:
    """Not the best of each round, which would count the luck of all of them."""
    samples = sampled_types((90, 20, 10), (10, 20, 10), (10, 30, 10))
    assert Bar("", 2, (SINGLE, POOLED), THRIFT).spread(samples) == Spread(2, 2, 3)
    assert Bar("", 2, THRIFT, (SINGLE, POOLED)).spread(samples) == Spread(0.5, 1 / 3, 0.5)


def test_best_of_several_costs_is_the_lowest() -> None:
    samples = sampled_types((90, 20, 10))
    bar = Bar("", 60, (SINGLE, POOLED), None, "client_cpu_us", is_ceiling=True)
    assert bar.spread(samples) == Spread(20, 20, 20)


def test_of_several_cells_those_that_were_not_measured_are_left_out() -> None:
    samples = sampled_types((90, 20, 10))
    auto = Cell("threads", "pybrpc-auto", "8")
    assert Bar("", 2, (auto, POOLED), THRIFT).spread(samples) == Spread(2, 2, 2)
    assert Bar("", 2, (auto,), THRIFT).spread(samples) is None
    assert Bar("", 2, POOLED, (auto,)).spread(samples) is None
    assert Bar("", 2, (auto, POOLED), THRIFT).cells == [auto, POOLED, THRIFT]


def test_headlines_are_lines_of_a_name_and_a_number(capsys: pytest.CaptureFixture[str]) -> None:
    plan = Plan([OURS, THEIRS, Cell("bulk", "socket", "1 MiB")], 1, Window(0, 1))
    quick.show(plan, sampled((300, 10)))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "asyncio_64_vs_grpc_aio 30.0  # expected >= 20: met"
    assert "attachment_1MiB_vs_bare_socket nan  # not measured" in lines
    assert not any(line.startswith("threads") for line in lines)


def test_measures_that_are_extra_are_headlines_only_when_asked_for() -> None:
    """The players of RTMP take minutes."""

    def measures_of(*arguments: str) -> set[str]:
        return {cell.measure for cell in plan_from(parse_options(["quick", *arguments])).cells}

    assert "rtmp" not in measures_of()
    assert measures_of("--only", "rtmp") <= {"rtmp"}


@pytest.mark.parametrize(("ours", "verdict"), [(3000, "met"), (3100, "missed")])
def test_relay_may_take_three_times_the_time_of_nginx(
    ours: float, verdict: str, capsys: pytest.CaptureFixture[str]
) -> None:
    relay, nginx = Cell("rtmp", "pybrpc-relay", "50"), Cell("rtmp", "nginx-rtmp", "50")
    samples = Samples()
    samples.append(Sample(0, relay, {"player_cpu_us": ours}))
    samples.append(Sample(0, nginx, {"player_cpu_us": 1000.0}))
    quick.show(Plan([relay, nginx], 1, Window(0, 1)), samples)
    line = f"rtmp_50_players_cpu_vs_nginx {ours / 1000:#.3g}  # expected <= 3: {verdict}"
    assert capsys.readouterr().out == f"{line}\n"


def test_plain_python_is_measured_beside_what_is_compiled() -> None:
    peers = {cell.peer for cell in cells_of_bars(bars(is_plain=False))}
    assert "pybrpc-plain-aio" in peers
    assert "pybrpc-plain-aio" not in {cell.peer for cell in cells_of_bars(bars(is_plain=True))}


def test_cells_to_compare_are_measured_one_after_the_other() -> None:
    cells = cells_of_bars(bars(is_plain=True))
    places = [(cell.measure, cell.point) for cell in cells]
    assert len(cells) == len(set(cells))
    assert [place for n, place in enumerate(places) if places.index(place) != n] == [
        place for n, place in enumerate(places) if n and places[n - 1] == place
    ]
