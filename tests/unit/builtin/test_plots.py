"""plots: series are kept from the first look on, and are drawn without a script."""

from __future__ import annotations

from pybrpc import metrics
from pybrpc.base.flag_values import FLAGS
from pybrpc.builtin.plots import keep_series, last_minute, plot, sparkline
from pybrpc.builtin.registry import run_page
from pybrpc.metrics.series import SERIES
from tests.fakes.metrics import SteppedSampler
from tests.fakes.pages import FakeServerView, Markup, request_of


def test_a_plot_has_the_values_of_the_last_minute(sampler: SteppedSampler) -> None:
    level = metrics.Status(0, "level")
    keep_series()
    for value in range(70):
        level.set_value(value)
        sampler.pass_seconds()
    assert last_minute("level") == [list(range(10, 70))]
    markup = Markup(plot("level"))
    assert [name for name, _ in markup.elements] == ["div", "svg", "path", "path"]
    assert markup.values_of("data-series") == ["level"]
    area, line = markup.values_of("d")
    assert area.startswith("M0.0 126.8L")
    assert line.endswith("L600.0 2.0")


def test_a_list_has_a_line_for_each_number(sampler: SteppedSampler) -> None:
    metrics.PassiveStatus(lambda: [1, 2, -3], "levels")
    keep_series()
    sampler.pass_seconds(2)
    assert [line[-1] for line in last_minute("levels")] == [1, 2, -3]
    assert Markup(plot("levels")).values_of("class") == ["plot", "line l0", "line l1", "line l2"]


def test_without_a_series_there_is_a_place_for_the_script() -> None:
    assert last_minute("unknown") == []
    assert Markup(sparkline("unknown")).elements == [
        ("div", {"class": "spark", "data-series": "unknown"})
    ]


def test_only_a_browser_starts_series() -> None:
    run_page(request_of("/vars"), FakeServerView())
    run_page(request_of("/status"), FakeServerView())
    assert not SERIES.is_started
    run_page(request_of("/status", wants_html=True), FakeServerView())
    assert SERIES.is_started


def test_the_flag_ends_and_forbids_series() -> None:
    flag = FLAGS.find("save_series")
    assert flag is not None
    keep_series()
    flag.set(False)
    try:
        assert not SERIES.is_started
        keep_series()
        assert not SERIES.is_started
    finally:
        flag.set(True)
