"""StreamOptions: what is refused, and what is said of it."""

from __future__ import annotations

from typing import Any

import pytest

from pybrpc.rpc.stream_options import DEFAULT_OPTIONS, StreamOptions


def nothing(*arguments: object) -> None:
    """A function for the options."""


def test_defaults_are_those_of_brpc() -> None:
    options = StreamOptions()
    assert options == DEFAULT_OPTIONS
    assert (options.max_buf_size, options.min_buf_size) == (2 << 20, 1 << 20)
    assert options.messages_in_batch == 128
    assert options.functions == ()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_unread_bytes", 0),
        ("max_message_size", 0),
        ("max_segment_size", 0),
        ("max_segment_size", 2**30 + 1),
        ("messages_in_batch", 0),
        ("idle_timeout", 0),
        ("idle_timeout", -1),
        ("idle_timeout", float("nan")),
        ("lifetime", float("inf")),
        ("lifetime", "5"),
        ("lifetime", True),
        ("max_buf_size", 2**63),
    ],
)
def test_numbers_out_of_range(name: str, value: Any) -> None:
    with pytest.raises((ValueError, TypeError), match=name):
        StreamOptions(**{name: value})


@pytest.mark.parametrize("name", ["max_buf_size", "min_buf_size", "max_unread_bytes"])
def test_no_numbers(name: str) -> None:
    values: list[Any] = ["1", 1.5, None, True]
    for value in values:
        with pytest.raises((ValueError, TypeError), match=name):
            StreamOptions(**{name: value})


@pytest.mark.parametrize("value", [-(2**40), -1, 0, 1])
def test_windows_may_be_of_no_limit(value: int) -> None:
    options = StreamOptions(max_buf_size=value, min_buf_size=value)
    assert (options.max_buf_size, options.min_buf_size) == (value, value)


@pytest.mark.parametrize("name", ["on_messages", "on_closed", "on_idle_timeout"])
def test_what_is_no_function(name: str) -> None:
    fields: dict[str, Any] = {name: 5, "idle_timeout": 1}
    with pytest.raises(TypeError, match=f"{name} must be a function"):
        StreamOptions(**fields)


def test_functions() -> None:
    options = StreamOptions(on_closed=nothing, on_messages=nothing)
    assert options.functions == (nothing, nothing)
    with pytest.raises(ValueError, match="needs idle_timeout"):
        StreamOptions(on_idle_timeout=nothing)
