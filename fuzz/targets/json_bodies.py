"""JSON, query strings and text from peers: a message or a typed error, the same of both parsers,
and what is printed is read as the same message."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from fuzz.fuzz_target import FuzzTarget, assert_says
from fuzz.parameters import Parameters
from pybrpc.json2pb import (
    ConversionError,
    JsonOptions,
    SkippedValue,
    json_to_message,
    message_to_json,
    proto_json_to_message,
    query_to_message,
    text_to_message,
)
from pybrpc.json2pb.errors import MAX_WARNINGS
from pybrpc.json2pb.json_values import is_nested_deeper, load_by_standard_library, load_json
from tests.protos.json_messages import addressbook, contents, maps, rich, rich3

CLASSES: tuple[Any, ...] = (
    rich.Rich,
    rich3.Rich,
    addressbook.AddressBook,
    contents.JsonContextBody,
    contents.RecursiveMessage,
    maps.AddressComplex,
)
OPTIONS = (
    JsonOptions(),
    JsonOptions(
        array_to_single_repeated=True, single_repeated_to_array=True, pb_enum_as_number=True
    ),
    JsonOptions(jsonify_empty_array=True, json2pb_max_recursion_depth=3),
)


def check(data: bytes) -> None:
    given = Parameters(data)
    message_class, options = given.one_of(CLASSES), given.one_of(OPTIONS)
    kind = given.number() % 4
    text = given.rest()
    if kind == 0:
        _check_others(text, message_class)
        return
    _check_parsers(text)
    skipped: list[SkippedValue] = []
    try:
        message = json_to_message(text, message_class, options, skipped)
    except ConversionError as error:
        assert_says(error)
        _check_bounded(error.skipped)
        return
    _check_bounded(skipped)
    _check_printed(message, options)


def _check_bounded(skipped: Sequence[SkippedValue]) -> None:
    assert len(skipped) <= MAX_WARNINGS
    assert all(one.path and len(one.text) < 1000 for one in skipped)


def _check_parsers(text: bytes) -> None:
    if not is_nested_deeper(text, 200):
        assert _outcome(load_json, text) == _outcome(load_by_standard_library, text)


def _outcome(load: Callable[[bytes], Any], text: bytes) -> str:
    """As JSON: an integer that no 64 bits hold is a float to one of the two."""
    try:
        return json.dumps(_with_floats(load(text)))
    except ConversionError as error:
        return str(error)


def _with_floats(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_floats(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_floats(item) for item in value]
    is_big = type(value) is int and not -(2**63) <= value < 2**64
    return float(value) if is_big else value


def _check_printed(message: Any, options: JsonOptions) -> None:
    try:
        printed = message_to_json(message, options)
    except ConversionError as error:
        assert_says(error)
        return
    again = json_to_message(printed, type(message), options)
    assert _bytes_of(again) == _bytes_of(message)


def _bytes_of(message: Any) -> bytes:
    packed: bytes = message.SerializeToString(deterministic=True)
    return packed


def _check_others(text: bytes, message_class: Any) -> None:
    for convert in (query_to_message, proto_json_to_message, text_to_message):
        try:
            convert(text, message_class)
        except ConversionError as error:
            assert_says(error)


def seeds() -> Iterator[bytes]:
    person = b'{"name":"a","id":1,"datadouble":1.5,"phone":[{"number":"1","type":"HOME"}]}'
    for options in range(len(OPTIONS)):
        yield bytes([0, options, 1]) + b'{"o_int32":1,"r_string":["a"],"text_ints":{"k":"2"}}'
        yield bytes([0, options, 1]) + b'{"extra_ints":[1],"o_bytes":"AAE=","o_enum":"ONE"}'
        yield bytes([1, options, 1]) + b'{"uint_messages":[{"key":1,"value":{"o_bool":true}}]}'
        yield bytes([2, options, 1]) + b'{"person":[' + person + b"]}"
        yield bytes([2, options, 1]) + b"[" + person + b"]"
        yield bytes([3, options, 1]) + b'{"judge":false,"spur":"NaN","data":[1,2],"type":"9"}'
        yield bytes([4, options, 1]) + b'{"child":{"child":{"data":"\\ud83d\\ude00"}}}'
        yield bytes([5, options, 1]) + b'{"addr":"a","friends":{"J":[{"school":"S","year":1}]}}'
    yield bytes([0, 0, 0]) + b"o_int32=1&r_string=%C3%A9&o_message.o_bool=true"
    yield bytes([1, 0, 0]) + b'{"oInt64":"1","textInts":{"a":"1"}}'
    yield bytes([1, 0, 0]) + b'o_message { o_int32: 1 } r_string: "a"'


TARGET = FuzzTarget(
    check,
    seeds,
    dictionary=(b'"o_message":', b'"r_message":[', b"1e400", b"\\ud800", b"18446744073709551616"),
    max_bytes=600,
)
