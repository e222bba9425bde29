"""Variable: what all variables have in common."""

from __future__ import annotations

import pytest

from pybrpc.metrics import Adder, Display, Status, Variable, list_exposed
from pybrpc.metrics.variable import gauge_of


def test_new_name_replaces_the_old_one() -> None:
    variable = Status(1, "first")
    variable.expose("second", display=Display.HTML)
    assert list_exposed() == ["second"]
    assert list_exposed(Display.PLAIN_TEXT) == []
    variable.expose("second")
    assert list_exposed(Display.PLAIN_TEXT) == ["second"]


def test_old_name_remains_if_the_new_one_is_in_use() -> None:
    Adder("taken")
    variable = Status(1, "first")
    with pytest.raises(ValueError, match="'taken'"):
        variable.expose("taken")
    assert variable.name == "first"
    assert list_exposed() == ["first", "taken"]


def test_help_and_metric_name() -> None:
    assert Status(1, "state").help == "Status state"
    variable = Status(1, "load", help="The load", metric_name="my_load")
    assert (variable.help, variable.metric_name) == ("The load", "my_load")
    assert repr(variable) == "<Status load>"
    assert repr(Status(1)) == "<Status hidden>"


def test_own_variable_needs_its_value_only() -> None:
    class Seven(Variable):
        def get_value(self) -> int:
            return 7

    seven = Seven("seven")
    assert seven.describe() == "7"
    assert seven.series_value() == 7
    assert seven.series_labels() == ()
    assert seven.describe_series() is None
    assert [each.value for each in seven.metric_values()] == [7]


def test_gauge_is_a_number() -> None:
    assert [len(gauge_of(value)) for value in (1, 1.5, True, "1", None, [1])] == [1, 1, 1, 0, 0, 0]
