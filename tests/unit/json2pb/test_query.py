"""Query strings to messages."""

from __future__ import annotations

import itertools
import sys
from typing import Any

import pytest

from pybrpc.json2pb import (
    ConversionError,
    DepthError,
    InvalidFieldError,
    InvalidInputError,
    JsonOptions,
    MissingFieldError,
    query_to_message,
)
from tests.protos.json_messages import addressbook, contents, rich, rich3

Rich: Any = rich.Rich
Rich3: Any = rich3.Rich


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", {}),
        ("&&o_int32=1&", {"o_int32": 1}),
        ("o_string=a+b%20c%2B%C3%A9&o_bool=true", {"o_string": "a b c+\u00e9", "o_bool": True}),
        ("o_string", {"o_string": ""}),
        ("o_string=a=b", {"o_string": "a=b"}),
        ("r_int32=1&r_int32=-2", {"r_int32": [1, -2]}),
        ("o_message.o_message.o_int64=5", {"o_message": {"o_message": {"o_int64": 5}}}),
        (
            "o_message.o_bool=false&o_message.o_int32=1",
            {"o_message": {"o_bool": False, "o_int32": 1}},
        ),
        ("o_enum=MINUS&r_enum=1&r_enum=-3", {"o_enum": -3, "r_enum": [1, -3]}),
        ("o_double=1e3&o_float=-Infinity", {"o_double": 1000.0, "o_float": float("-inf")}),
        ("o_bytes=AAE%3D&r_bytes=_-8%3D", {"o_bytes": b"\x00\x01", "r_bytes": [b"\xff\xef"]}),
        ("odd-name=x", {"odd_Z045_name": "x"}),
        (f"o_uint64={2**64 - 1}&o_int64=-{2**63}", {"o_uint64": 2**64 - 1, "o_int64": -(2**63)}),
        ("unknown=1&o_message.unknown=2&o_int32.x=3&unknown.a.b=4&.=5&..=6", {}),
        ("chosen_text=a&chosen_int=2", {"chosen_int": 2}),
        ("%zz=1&o_string=%zz", {"o_string": "%zz"}),
    ],
)
@pytest.mark.parametrize("message_class", [Rich, Rich3])
def test_query_gives_the_message(query: str, expected: dict[str, Any], message_class: Any) -> None:
    assert query_to_message(query, message_class) == message_class(**expected)
    assert query_to_message(query.encode(), message_class) == message_class(**expected)


@pytest.mark.parametrize(
    "pair",
    [
        "o_int32=", "o_int32=1.0", "o_int32=+1", "o_int32=0x1", "o_int32= 1", "o_int32=2147483648",
        "o_uint32=-1", "o_int64=9223372036854775808", "o_bool=1", "o_bool=True", "o_double=",
        "o_double=1e400", "o_double=1_0", "o_double=.5", "o_double=inf", "o_enum=TWO", "o_enum=5",
        "o_enum=", "o_bytes=A", "o_bytes=%FF", f"o_uint64={'9' * 10000}", f"o_double={'9' * 10000}",
        "o_int32=\u0661",
    ],
)  # fmt: skip
def test_value_of_the_wrong_type_is_refused(pair: str) -> None:
    with pytest.raises(ConversionError) as raised:
        query_to_message(pair, Rich)
    assert len(str(raised.value)) < 500


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("o_int32=x", "Invalid value `\"x\"' for field `rich.Rich.o_int32' which SHOULD be INT32"),
        ("o_int32=1&o_int32=1", "More than one value for field `rich.Rich.o_int32'"),
        ("o_message=1", "Field `rich.Rich.o_message' can't be set by a query string"),
        ("r_message.o_int32=1", "Field `rich.Rich.r_message' can't be set by a query string"),
        ("text_ints.a=1", "Field `rich.Rich.text_ints' can't be set by a query string"),
    ],
)
def test_error_names_the_field(query: str, text: str) -> None:
    with pytest.raises(InvalidFieldError) as raised:
        query_to_message(query, Rich)
    assert str(raised.value) == text
    assert raised.value.path == query.partition("=")[0]


def test_required_fields_are_required() -> None:
    with pytest.raises(MissingFieldError, match=r"^Missing required field: addressbook.Person.id$"):
        query_to_message("name=a", addressbook.Person)
    assert query_to_message("name=a&id=1&datadouble=2", addressbook.Person).id == 1


def test_bytes_without_base64_are_text() -> None:
    options = JsonOptions(pb_bytes_to_base64=False)
    assert query_to_message("o_bytes=%C3%A9", Rich, options).o_bytes == b"\xc3\xa9"


def test_query_that_is_no_utf8_is_refused() -> None:
    for query in ("o_string=%FF", "%FF=1", b"o_string=\xff"):
        with pytest.raises(InvalidInputError, match="UTF-8"):
            query_to_message(query, Rich)


def test_depth_is_bounded() -> None:
    message = query_to_message("child." * 100 + "data=x", contents.RecursiveMessage)
    assert message.child.child.HasField("child")
    with pytest.raises(DepthError):
        query_to_message("child." * 101 + "data=x", contents.RecursiveMessage)


def test_time_is_linear_in_the_length() -> None:
    assert steps_of(3000) < 4 * steps_of(1000)


def steps_of(count: int) -> int:
    steps = itertools.count()
    before = sys.getprofile()
    sys.setprofile(lambda *_: next(steps))
    try:
        query_to_message("r_int32=1&x.y=2&o_message.r_string=a&" * count, Rich)
    finally:
        sys.setprofile(before)
    return next(steps)
