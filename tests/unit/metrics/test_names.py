"""Names of variables, metrics and labels."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybrpc.metrics.names import (
    MAX_NAME_CHARS,
    calls_name,
    checked_label_names,
    checked_metric_name,
    exposed_name,
    to_underscored_name,
)


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("FooBar::Baz", "foo_bar_baz"),
        ("foo", "foo"),
        ("HELLO", "hello"),
        ("RPCTest", "rpctest"),
        ("aB1C", "a_b1_c"),
        ("9Lives", "9_lives"),
        ("::foo", "_foo"),
        ("foo  bar--", "foo_bar_"),
        ("Car_Rot", "car_rot"),
        ("größe", "gr_e"),
        ("", ""),
    ],
)
def test_name_is_underscored(source: str, name: str) -> None:
    assert to_underscored_name(source) == name


@pytest.mark.parametrize(
    ("full_name", "name"),
    [
        ("a.EchoService.Echo", "a_echo_service_echo"),
        ("*", "generic"),
        ("/app", "mount_app"),
        ("/v1.0/App-2", "mount_v1_0_app_2"),
        ("/", "mount_root"),
    ],
)
def test_methods_and_applications_have_names_of_variables(full_name: str, name: str) -> None:
    assert calls_name(full_name) == name


@given(st.text())
def test_underscored_name_has_few_characters_and_stays(source: str) -> None:
    name = to_underscored_name(source)
    assert all(char == "_" or (char.isascii() and char.isalnum()) for char in name)
    assert "__" not in name
    assert name == name.lower()
    assert to_underscored_name(name) == name


def test_prefix_is_joined_by_one_underscore() -> None:
    assert exposed_name("Baz", "foo::Bar") == "foo_bar_baz"
    assert exposed_name("Baz", "foo_") == "foo_baz"
    assert exposed_name("_baz", "foo") == "foo_baz"


def test_name_without_text_is_refused() -> None:
    with pytest.raises(ValueError, match="needs a name"):
        exposed_name("")
    with pytest.raises(TypeError, match="is a str"):
        exposed_name(3)  # type: ignore[arg-type]


def test_long_name_is_refused() -> None:
    assert exposed_name("a" * MAX_NAME_CHARS)
    with pytest.raises(ValueError, match="1024 characters"):
        exposed_name("a" * MAX_NAME_CHARS, "b")


@pytest.mark.parametrize("name", ["", "1a", "a-b", "a b", "a\n", "größe"])
def test_wrong_name_of_a_metric_is_refused(name: str) -> None:
    assert checked_metric_name("a:b_1") == "a:b_1"
    with pytest.raises(ValueError, match="name of a metric"):
        checked_metric_name(name)


@pytest.mark.parametrize(
    "names", [(), ("a", "a"), ("1a",), ("a:b",), ("__a",), ("le",), ("quantile",), ("a\n",)]
)
def test_wrong_names_of_labels_are_refused(names: tuple[str, ...]) -> None:
    assert checked_label_names(("a", "_b")) == ("a", "_b")
    with pytest.raises(ValueError, match="label"):
        checked_label_names(names)


def test_name_of_a_label_is_a_str() -> None:
    with pytest.raises(TypeError, match="not int"):
        checked_label_names((1,))  # type: ignore[arg-type]
