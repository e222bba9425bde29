"""Checks of options: what they let pass, and what their errors say."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable
from typing import Any

import pytest

from pybrpc.base.backoff import Backoff
from pybrpc.base.checked_options import (
    checked_count,
    checked_count_or_none,
    checked_flag,
    checked_flag_or_none,
    checked_function_or_none,
    checked_instance,
    checked_instance_or_none,
    checked_list,
    checked_text,
    checked_text_or_none,
    is_number,
    why_not_called,
)

BACKOFF = Backoff()


async def waits() -> None: ...


@pytest.mark.parametrize(
    ("checked", "value"),
    [
        (checked_count, 0),
        (checked_count, 2**70),
        (checked_count_or_none, None),
        (checked_count_or_none, 3),
        (checked_flag, False),
        (checked_flag_or_none, None),
        (checked_flag_or_none, True),
        (checked_text, ""),
        (checked_text_or_none, None),
        (checked_text_or_none, "a"),
        (checked_function_or_none, None),
        (checked_function_or_none, print),
        (lambda name, value: checked_instance(name, value, Backoff), BACKOFF),
        (lambda name, value: checked_instance_or_none(name, value, Backoff), None),
        (lambda name, value: checked_instance_or_none(name, value, Backoff), BACKOFF),
    ],
)
def test_allowed_value_is_returned(checked: Callable[[str, Any], object], value: object) -> None:
    assert checked("x", value) is value


@pytest.mark.parametrize("value", [-1, True, 1.0, math.nan, "3", None])
def test_anything_but_a_whole_number_is_a_value_error(value: object) -> None:
    said = re.escape(f"x must be a whole number >= 0, not {value!r}")
    with pytest.raises(ValueError, match=f"^{said}$"):
        checked_count("x", value)


@pytest.mark.parametrize("value", [0, 4])
def test_range_of_a_whole_number_is_in_the_text(value: int) -> None:
    with pytest.raises(ValueError, match=f"^x must be a whole number from 1 to 3, not {value}$"):
        checked_count("x", value, 1, 3)
    with pytest.raises(
        ValueError, match=f"^x must be None or a whole number from 1 to 3, not {value}$"
    ):
        checked_count_or_none("x", value, 1, 3)


@pytest.mark.parametrize(
    ("checked", "value", "said"),
    [
        (checked_flag, "no", "x must be True or False, not 'no'"),
        (checked_flag, 1, "x must be True or False, not 1"),
        (checked_flag_or_none, 0, "x must be True, False or None, not 0"),
        (checked_text, None, "x must be a string, not a NoneType"),
        (checked_text_or_none, 3, "x must be a string or None, not an int"),
        (checked_text_or_none, b"secret", "x must be a string or None, not a bytes"),
        (checked_function_or_none, "print", "x must be a function or None, not 'print'"),
        (checked_function_or_none, waits, "x must be a plain function, not an async one: <func"),
    ],
)
def test_other_values_are_type_errors(
    checked: Callable[[str, Any], object], value: object, said: str
) -> None:
    with pytest.raises(TypeError) as caught:
        checked("x", value)
    assert str(caught.value).startswith(said)


def test_class_in_place_of_an_object_is_named_as_one() -> None:
    said = "x must be a pybrpc.Backoff, not the class Backoff: make an object of it"
    with pytest.raises(TypeError) as caught:
        checked_instance("x", Backoff, Backoff)
    assert str(caught.value) == said
    with pytest.raises(TypeError, match=r"^x must be a pybrpc\.Backoff or None, not 0\.1$"):
        checked_instance_or_none("x", 0.1, Backoff)


def test_class_is_named_as_it_is_imported() -> None:
    class Elsewhere:
        _public_name = "pybrpc.rtmp.Elsewhere"

    for checked in (checked_instance, checked_instance_or_none):
        with pytest.raises(TypeError, match=r"^x must be a pybrpc\.rtmp\.Elsewhere"):
            checked("x", 5, Elsewhere)


@pytest.mark.parametrize("function", [waits, lambda: None])
def test_function_may_be_async_if_somebody_awaits_it(function: Any) -> None:
    assert checked_function_or_none("x", function, may_be_async=True) is function
    with pytest.raises(TypeError, match="x must be a function or None, not 5"):
        checked_function_or_none("x", 5, may_be_async=True)


def test_items_of_any_iterable_become_a_tuple() -> None:
    assert checked_list("x", [1, 2], int, "numbers") == (1, 2)
    assert checked_list("x", (name for name in "ab"), str, "names") == ("a", "b")
    assert checked_list("x", (), int, "numbers") == ()


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("12", "x must be a list of numbers, not the string '12'"),
        (12, "x must be a list of numbers, not 12"),
        ([1, "2"], "x must be a list of numbers; '2' is none"),
        ([True], "x must be a list of numbers; True is none"),
    ],
)
def test_what_is_no_list_of_such_items_is_a_type_error(value: Any, said: str) -> None:
    with pytest.raises(TypeError) as caught:
        checked_list("x", value, int, "numbers")
    assert str(caught.value) == said


def test_true_and_nan_are_no_numbers() -> None:
    assert all(map(is_number, (0, -1, 1.5, math.inf)))
    assert not any(map(is_number, (True, math.nan, "1", None)))


class Called:
    def method(self, one: int, two: int = 0) -> None: ...

    def __call__(self) -> None: ...


def wraps_one(one: int) -> None: ...


def wrapper(one: int, two: int) -> None: ...


wrapper.__wrapped__ = wraps_one  # type: ignore[attr-defined]


def declared(*, one: int) -> None: ...


declared.__signature__ = inspect.signature(print)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "function",
    [wrapper, lambda *arguments: None, Called().method, Called(), Called, max, declared, "text"],
)
def test_function_that_may_take_two_arguments_is_not_judged(function: object) -> None:
    assert why_not_called(function, 1, 2) == ""


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (wraps_one, "too many positional arguments"),
        (lambda one, two, three: None, "missing a required argument: 'three'"),
        (Called().method, ""),
        (waits, "too many positional arguments"),
    ],
)
def test_reason_why_a_function_can_not_be_called_is_told(function: object, said: str) -> None:
    assert why_not_called(function, 1, 2) == said


def test_function_with_other_parameters_is_refused_where_those_are_given() -> None:
    assert checked_function_or_none("judge", wraps_one, "error") is wraps_one
    assert checked_function_or_none("judge", None, "error") is None
    said = re.escape("judge is called as judge(error): missing a required argument: 'two'")
    with pytest.raises(TypeError, match=f"^{said}$"):
        checked_function_or_none("judge", wrapper, "error")
