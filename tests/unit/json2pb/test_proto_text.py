"""The text format of protobuf."""

from __future__ import annotations

from typing import Any

import pytest

from pybrpc.json2pb import (
    ConversionError,
    DepthError,
    InvalidInputError,
    MissingFieldError,
    message_to_text,
    text_to_message,
)
from tests.protos.json_messages import addressbook, contents, rich3

Rich3: Any = rich3.Rich


def test_text_is_read_and_written() -> None:
    message = Rich3(o_int32=1, o_string="\u00e9", r_int32=[1, 2])
    assert (
        message_to_text(message)
        == 'o_int32: 1\no_string: "\u00e9"\nr_int32: 1\nr_int32: 2\n'.encode()
    )
    assert text_to_message(message_to_text(message), Rich3) == message
    assert text_to_message("o_int32: 1 # comment", Rich3) == Rich3(o_int32=1)


@pytest.mark.parametrize(
    "text",
    ["o_int32", "unknown: 1", 'o_int32: "a"', "o_message {", "o_int32: 1 o_int32: 2", "\x00"],
)
def test_invalid_text_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError, match="Invalid text: "):
        text_to_message(text, Rich3)


@pytest.mark.parametrize("data", [b"\xff", "\ud800"])
def test_text_that_is_no_utf8_is_refused(data: Any) -> None:
    with pytest.raises(InvalidInputError):
        text_to_message(data, Rich3)


def test_required_fields_are_required() -> None:
    with pytest.raises(MissingFieldError):
        text_to_message('name: "a"', addressbook.Person)
    with pytest.raises(MissingFieldError):
        message_to_text(addressbook.Person(name="a"))


def test_depth_is_bounded() -> None:
    with pytest.raises(DepthError):
        text_to_message("child {" * 100_000, contents.RecursiveMessage)
    text_to_message("child {" * 100 + "}" * 100, contents.RecursiveMessage)
    with pytest.raises(DepthError):
        text_to_message("child {" * 101 + "}" * 101, contents.RecursiveMessage)
    message = current = contents.RecursiveMessage()
    for _ in range(101):
        current = current.child
    current.data = "a"
    with pytest.raises(ConversionError):
        message_to_text(message)
