"""JSON text: both parsers accept the same, with the same values; nesting is measured."""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from pybrpc.json2pb import InvalidInputError, json_values
from pybrpc.json2pb.json_values import is_nested_deeper, load_by_standard_library, load_json

BOTH = [load_json, load_by_standard_library]
VALID = {
    "-0": 0,
    "-0.0": -0.0,
    "1E+2": 100.0,
    str(2**64 - 1): 2**64 - 1,
    str(-(2**63)): -(2**63),
    '{"a":1,"a":2}': {"a": 2},
    '"\\ud83d\\ude00"': "\U0001f600",
    '"\\\\ud800"': "\\ud800",
    '"\x7f\u2028"': "\x7f\u2028",
    " [1 , null,true]\t\r\n": [1, None, True],
    "0." + "1" * 400: float("0." + "1" * 20),
    "[" * 150 + "]" * 150: None,
}
INVALID = {
    "": "The document is empty.",
    " \n": "The document is empty.",
    "{} 1": "The document root must not follow by other values.",
    "{1:2}": "Missing a name for object member.",
    '{"a":1,}': "Missing a name for object member.",
    '{"a" 1}': "Missing a colon after a name of object member.",
    '{"a":1 2}': "Missing a comma or '}' after an object member.",
    '{"a":[1 2]}': "Missing a comma or ']' after an array element.",
    '{"a":["]",{}  "b"]}': "Missing a comma or ']' after an array element.",
    '"abc': "Missing a closing quotation mark in string.",
    '"a\x01"': "Invalid escape character in string.",
    '"a\\x"': "Invalid escape character in string.",
    '"\\uzzzz"': "Incorrect hex digit after \\u escape in string.",
    '"\\ud800"': "The surrogate pair in string is invalid.",
    '"\\udc00"': "The surrogate pair in string is invalid.",
    '"\\ud800\\ud800"': "The surrogate pair in string is invalid.",
    '"\\ud800a\\udc00"': "The surrogate pair in string is invalid.",
    '"\\ud800\\n"': "The surrogate pair in string is invalid.",
    '{"\\ud800":1}': "The surrogate pair in string is invalid.",
    "1e400": "Number too big to be stored in double.",
    "-1e400": "Number too big to be stored in double.",
    "9" * 400: "Number too big to be stored in double.",
    "9" * 5000: "Number too big to be stored in double.",
    "NaN": "Invalid value.",
    "[Infinity]": "Invalid value.",
    "[-Infinity]": "Invalid value.",
    "\ufeff{}": "Invalid value.",
    "[1,]": "Invalid value.",
    "+1": "Invalid value.",
    "\xa0{}": "Invalid value.",
}


@pytest.fixture(params=["orjson", "json"])
def load(request: pytest.FixtureRequest) -> Any:
    if request.param == "orjson" and json_values.orjson_loads is None:
        pytest.skip("orjson is not installed")
    return load_json if request.param == "orjson" else load_by_standard_library


@pytest.mark.parametrize("text", VALID)
def test_valid_text_has_its_value(load: Any, text: str) -> None:
    found = load(text.encode())
    if VALID[text] is not None:
        assert found == VALID[text]
        assert str(found) == str(VALID[text])


@pytest.mark.parametrize("text", INVALID, ids=lambda text: repr(text)[:30])
def test_invalid_text_is_refused_with_the_text_of_rapidjson(load: Any, text: str) -> None:
    with pytest.raises(InvalidInputError) as raised:
        load(text.encode())
    assert str(raised.value) == f"Invalid json: {INVALID[text]}"


@pytest.mark.parametrize("raw", [b"\xff", b'"\xff"', b'"\xed\xa0\x80"', b'"\xc0\x80"'])
def test_bytes_that_are_no_utf8_are_refused(load: Any, raw: bytes) -> None:
    with pytest.raises(InvalidInputError, match=r"Invalid encoding in string\."):
        load(raw)


@pytest.mark.parametrize("number", [2**64, -(2**63) - 1, 10**200])
def test_integer_beyond_64_bits_equals_its_double(load: Any, number: int) -> None:
    assert float(load(str(number).encode())) == float(number)


def test_integer_of_many_digits_is_converted_once_it_is_known_to_fit(load: Any) -> None:
    assert load(b"1" + b"0" * 305) == 1e305
    assert load(b"[" + b"1" * 299 + b"]")[0] == int("1" * 299) or math.isfinite(load(b"1" * 299))


def test_offset_is_in_bytes() -> None:
    with pytest.raises(InvalidInputError) as raised:
        load_json('["\u00e9", x]'.encode())
    assert raised.value.offset == len('["\u00e9", '.encode())


def test_text_that_utf8_can_not_hold_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="Invalid encoding") as raised:
        json_values.utf8_of("\u00e9\ud800")
    assert raised.value.offset == 2
    assert json_values.utf8_of(memoryview(b"1")) == json_values.utf8_of(bytearray(b"1")) == b"1"
    with pytest.raises(TypeError, match="str or bytes, not int"):
        json_values.utf8_of(1)  # type: ignore[arg-type]


def pieces() -> Iterator[tuple[str, int]]:
    yield "[" * 5 + "]" * 5, 5
    yield '{"a":[{"b":[1]}],"c":{}}', 4
    yield '["[[[[[[","\\"[[[[[","\\\\",[]]', 2
    yield '["\\\\\\"[[[",{"]]":[]}]', 3
    yield "1", 0
    yield '"[["', 0
    yield "[],[[]],[[[]]]", 3


@pytest.mark.parametrize(("text", "levels"), list(pieces()))
def test_nesting_is_counted_outside_of_strings(text: str, levels: int) -> None:
    assert not is_nested_deeper(text.encode(), levels)
    if levels:
        assert is_nested_deeper(text.encode(), levels - 1)


@pytest.mark.parametrize("unit", ['"a",', "[],", "[1,", '{"a":', '"\\\\",', "1" * 299 + ","])
def test_time_is_linear_in_the_length(unit: str) -> None:
    """By the number of steps of the interpreter: none of them depends on the length."""
    assert steps_of(unit, 3000) < 4 * steps_of(unit, 1000) + 500


def steps_of(unit: str, count: int) -> int:
    steps = itertools.count()
    raw = b"[" + unit.encode() * count + b"1]"
    before = sys.getprofile()
    sys.setprofile(lambda *_: next(steps))
    try:
        if not is_nested_deeper(raw, 100):
            load_by_standard_library(raw)
    finally:
        sys.setprofile(before)
    return next(steps)
