"""Adder, Counter, Maxer, Miner, Reducer: beside bRPC's own tests."""

from __future__ import annotations

import copy
import operator
import pickle
from typing import Any

import pytest

from pybrpc.metrics import Adder, Counter, Maxer, Miner, Reducer, Window, list_exposed
from pybrpc.metrics.recorder import FOLD_AT
from tests.fakes.metrics import SteppedSampler


@pytest.mark.parametrize("kind", [Adder, Counter, Maxer, Miner])
@pytest.mark.parametrize(
    ("value", "error"), [("1", TypeError), (None, TypeError), (float("nan"), ValueError)]
)
def test_wrong_number_is_refused_where_it_is_given(
    kind: Any, value: Any, error: type[Exception]
) -> None:
    variable = kind()
    before = variable.get_value()
    with pytest.raises(error):
        variable << value
    assert variable.get_value() == before


def test_adder_adds_one_by_default_and_floats() -> None:
    adder = Adder("adder")
    adder.add()
    adder.add(0.5)
    assert adder.get_value() == 1.5
    assert adder.describe() == "1.5"
    assert adder.reset() == 1.5
    assert adder.get_value() == 0
    assert repr(adder) == "<Adder adder>"


def test_counter_only_grows() -> None:
    counter = Counter()
    counter.add(2)
    for wrong in (-1, -0.5):
        with pytest.raises(ValueError, match="only grows"):
            counter.add(wrong)
    for _ in range(2 * FOLD_AT):
        counter.add(0)
    with pytest.raises(TypeError, match="Adder"):
        counter.reset()
    assert counter.get_value() == 2
    assert [each.kind for each in counter.metric_values()] == ["counter"]
    assert [each.kind for each in Adder().metric_values()] == ["gauge"]


@pytest.mark.parametrize(("kind", "expected"), [(Maxer, 3 * FOLD_AT - 1), (Miner, 0)])
def test_extremes_are_kept_when_many_are_recorded(kind: Any, expected: int) -> None:
    variable = kind()
    for number in range(3 * FOLD_AT):
        variable.record(number)
    assert variable.get_value() == expected
    assert variable.reset() == expected
    assert variable.get_value() is None
    assert variable.describe() == "0"
    assert list(variable.metric_values()) == []


def test_reset_of_an_extreme_leaves_its_windows_alone(sampler: SteppedSampler) -> None:
    maxer = Maxer()
    window = Window(maxer, 5)
    maxer.record(7)
    assert maxer.reset() == 7
    sampler.pass_seconds()
    assert window.get_value() == 7
    assert maxer.get_value() is None


def test_reducer_without_inverse_has_no_window() -> None:
    reducer = Reducer(max, 0, name="largest")
    reducer << 3 << 2
    assert reducer.get_value() == 3
    assert reducer.describe() == "3"
    with pytest.raises(TypeError, match="inverse"):
        Window(reducer, 5)
    assert reducer.reset() == 3
    assert reducer.get_value() == 0
    with pytest.raises(TypeError, match="function"):
        Reducer(3, 0)  # type: ignore[arg-type]


def test_reducer_with_inverse_has_windows(sampler: SteppedSampler) -> None:
    reducer = Reducer(operator.add, 10, operator.sub)
    window = Window(reducer, 2)
    assert window.get_value() == 0
    for number in (1, 2, 3):
        reducer.record(number)
        sampler.pass_seconds()
    assert window.get_value() == 5
    assert [each.value for each in reducer.metric_values()] == [16]


def test_operator_that_raises_does_so_where_the_value_is_recorded() -> None:
    reducer = Reducer(operator.add, 0)
    with pytest.raises(TypeError):
        reducer.record("text")
    assert reducer.get_value() == 0


def test_variable_with_a_wrong_name_is_not_exposed() -> None:
    with pytest.raises(ValueError, match="needs a name"):
        Adder("")
    with pytest.raises(ValueError, match="name of a metric"):
        Adder("a", metric_name="no name")
    assert list_exposed() == []


def test_variables_are_not_copied() -> None:
    for function in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="can't be copied"):
            function(Adder())
