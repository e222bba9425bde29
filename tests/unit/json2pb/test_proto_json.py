"""Protobuf's own JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.protobuf import any_pb2, duration_pb2

from pybrpc.json2pb import (
    ConversionError,
    DepthError,
    InvalidInputError,
    MissingFieldError,
    message_to_proto_json,
    proto_json_to_message,
)
from tests.protos.json_messages import addressbook, contents, rich3

Rich3: Any = rich3.Rich


def test_names_and_integers_have_protobufs_form() -> None:
    message = Rich3(o_int64=5, text_ints={"a": 1})
    assert json.loads(message_to_proto_json(message)) == {"oInt64": "5", "textInts": {"a": "1"}}
    assert b"\n" not in message_to_proto_json(message)
    assert proto_json_to_message('{"oInt64":"5","o_int32":2,"unknown":1}', Rich3) == Rich3(
        o_int64=5, o_int32=2
    )


def test_well_known_types_have_their_forms() -> None:
    assert proto_json_to_message('"3s"', duration_pb2.Duration).seconds == 3
    assert message_to_proto_json(duration_pb2.Duration(seconds=3)) == b'"3s"'


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "[]", "1", '{"o_int32":"x"}', '{"o_int32":1,"o_int32":2}', '{"r_int32":1}',
        '{"o_double":1e400}', '{"o_string":"\\ud800"}', '{"o_int32":' + "9" * 5000 + "}",
        b"\xff", '{"o_int32":NaN}', "\ud800",
    ],
)  # fmt: skip
def test_invalid_text_is_refused(text: Any) -> None:
    with pytest.raises(ConversionError) as raised:
        proto_json_to_message(text, Rich3)
    assert 0 < len(str(raised.value)) < 300


def test_any_of_an_unknown_type_is_refused() -> None:
    with pytest.raises(ConversionError):
        proto_json_to_message('{"@type":"type.googleapis.com/none.X"}', any_pb2.Any)
    with pytest.raises(ConversionError):
        message_to_proto_json(any_pb2.Any(type_url="type.googleapis.com/none.X", value=b"\xff"))


def test_required_fields_are_required() -> None:
    with pytest.raises(MissingFieldError, match=r"addressbook\.Person\.id"):
        proto_json_to_message('{"name":"a"}', addressbook.Person)
    with pytest.raises(MissingFieldError):
        message_to_proto_json(addressbook.Person(name="a"))


def test_depth_is_bounded() -> None:
    for levels in (150, 100_000):
        text = '{"child":' * levels + "{}" + "}" * levels
        with pytest.raises(ConversionError):
            proto_json_to_message(text, contents.RecursiveMessage)
    text = '{"unknown":' + "[" * 5000 + "]" * 5000 + "}"
    with pytest.raises(DepthError):
        proto_json_to_message(text, Rich3)


def test_no_utf8_is_an_input_error() -> None:
    with pytest.raises(InvalidInputError):
        proto_json_to_message(b"\xff", Rich3)
