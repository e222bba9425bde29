"""Flag and Flags: options that can be changed while a process runs."""

from __future__ import annotations

import pytest

from pybrpc.base.flag_values import Flags, text_of_flag


@pytest.fixture
def flags() -> Flags:
    return Flags()


@pytest.mark.parametrize(
    ("default", "text", "value"),
    [
        (True, "false", False),
        (False, " YES ", True),
        (1, "-20", -20),
        (1.5, "2", 2.0),
        ("a", "", ""),
        ("a", " b ", " b "),
    ],
)
def test_a_text_becomes_a_value_of_its_type(
    flags: Flags, default: bool | int | float | str, text: str, value: object
) -> None:
    flag = flags.define("x", default, "")
    flag.set_text(text)
    assert flag.value == value
    assert type(flag.value) is type(default)
    assert flag.default == default


@pytest.mark.parametrize(
    ("default", "text"),
    [
        (True, "2"),
        (True, ""),
        (1, "1.0"),
        (1, "x"),
        (1.0, "nan"),
        (1.0, "-inf"),
        (1.0, "x"),
        ("a", "x" * 5000),
        (1, "9" * 5000),
    ],
)
def test_other_texts_are_refused(
    flags: Flags, default: bool | int | float | str, text: str
) -> None:
    flag = flags.define("x", default, "")
    with pytest.raises(ValueError):  # noqa: PT011 - several texts
        flag.set_text(text)
    assert flag.value == default
    assert flag.is_default


@pytest.mark.parametrize("value", [True, 1.0, "1", None])
def test_a_value_of_another_type_is_a_type_error(flags: Flags, value: object) -> None:
    flag = flags.define("x", 1, "")
    with pytest.raises(TypeError, match="the flag x is int"):
        flag.set(value)  # type: ignore[arg-type]


def test_a_check_says_why_a_value_is_refused(flags: Flags) -> None:
    flag = flags.define("x", 1, "", check=lambda value: "" if value else "not 0")
    with pytest.raises(ValueError, match="x: not 0"):
        flag.set(0)
    flag.set(5)
    assert (flag.value, flag.is_default) == (5, False)


def test_a_change_is_notified_before_it_holds(flags: Flags) -> None:
    seen: list[tuple[int, int]] = []
    flag = flags.define("x", 1, "", on_change=lambda value: seen.append((value, flag.value)))
    flag.set(2)
    assert seen == [(2, 1)]


@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt])
def test_functions_that_raise_leave_the_old_value(flags: Flags, error: type[BaseException]) -> None:
    def fail(value: int) -> str:
        raise error

    for flag in (flags.define("a", 1, "", check=fail), flags.define("b", 1, "", on_change=fail)):
        with pytest.raises(error):
            flag.set(2)
        assert flag.value == 1


@pytest.mark.parametrize("name", ["", "1a", "a b", "a/b", "<b>", "a" * 200, None])
def test_other_names_are_refused(flags: Flags, name: str) -> None:
    with pytest.raises(ValueError, match="a flag has a name of"):
        flags.define(name, 1, "")


@pytest.mark.parametrize("default", [None, [], b"", object])
def test_other_types_are_refused(flags: Flags, default: object) -> None:
    with pytest.raises(TypeError, match="the default of x is"):
        flags.define("x", default, "")  # type: ignore[type-var]


def test_a_name_is_defined_once(flags: Flags) -> None:
    flag = flags.define("x", 1, "")
    with pytest.raises(ValueError, match="there is a flag 'x' already"):
        flags.define("x", 1, "")
    assert flags.find("x") is flag
    assert flags.find("y") is None


def test_flags_are_sorted(flags: Flags) -> None:
    flags.define("b", True, "")
    flags.define("a", 1, "")
    assert [flag.name for flag in flags.all()] == ["a", "b"]
    assert repr(flags.all()) == "[<Flag a=1>, <Flag b=true>]"
    assert repr(flags) == "<Flags: 2>"
    assert [flag.type_name for flag in flags.all()] == ["int", "bool"]


def test_texts_are_those_of_gflags() -> None:
    assert [text_of_flag(value) for value in (True, 1, 2.5, "x")] == ["true", "1", "2.5", "x"]
