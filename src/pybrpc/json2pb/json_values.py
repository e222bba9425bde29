"""JSON text to Python values: by orjson where it is installed, else by the standard library, with
the same result.

Beside what RFC 8259 refuses, these are invalid: NaN and Infinity, numbers that no double can hold,
halves of surrogate pairs, bytes that are no UTF-8, and a byte order mark. Of equal keys in an
object the last one counts. An integer that fits neither int64 nor uint64 is a float. Texts of
errors are those of rapidjson, which bRPC uses.
"""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Callable
from typing import Any, TypeAlias

from pybrpc.json2pb.errors import InvalidInputError

JsonText: TypeAlias = bytes | bytearray | memoryview | str


def _find_orjson() -> Callable[[bytes], Any] | None:
    """orjson's parser, if it is installed, and not so old that it takes 1e400 for infinity."""
    try:
        import orjson
    except ImportError:
        return None
    try:
        orjson.loads(b"1e400")
    except ValueError:
        return orjson.loads
    return None


orjson_loads = _find_orjson()

INVALID = "Invalid json: "
TOO_BIG = "Number too big to be stored in double."
BAD_SURROGATES = "The surrogate pair in string is invalid."
BAD_ENCODING = "Invalid encoding in string."
IS_EMPTY = "The document is empty."

INT64_MIN, UINT64_MAX = -(2**63), 2**64 - 1
_LONG_NUMBER = 300
"""Digits; any shorter integer is a finite double, and quickly converted."""

_SPACES = " \t\n\r"
_DIGITS_TO_ONES = bytes(0x31 if 0x30 <= byte <= 0x39 else byte for byte in range(256))
_LONG_RUN = b"1" * _LONG_NUMBER
_OTHER_THAN_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")
_BRACKETS_TO_STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")
_ESCAPE = re.compile(rb"\\.", re.DOTALL)
_SURROGATE_ESCAPE = re.compile(r"\\(?:u(d[89a-f][0-9a-f]{2})|.)", re.IGNORECASE | re.DOTALL)


class _BadNumber(Exception):
    """A number that JSON does not have, with bRPC's text."""


def _finite_float(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise _BadNumber(TOO_BIG)
    return value


def _int_or_float(text: str) -> int | float:
    return int(text) if len(text) < _LONG_NUMBER else _finite_float(text)


def _refuse(_: str) -> float:
    raise _BadNumber("Invalid value.")


_DECODER = json.JSONDecoder(parse_float=_finite_float, parse_constant=_refuse)
_DECODER_OF_LONG_NUMBERS = json.JSONDecoder(
    parse_float=_finite_float, parse_int=_int_or_float, parse_constant=_refuse
)


def utf8_of(data: JsonText) -> bytes:
    """`data` as bytes. TypeError if it is neither text nor bytes; InvalidInputError if it is text
    that no UTF-8 can hold."""
    if isinstance(data, bytes):
        return data
    if isinstance(data, bytearray | memoryview):
        return bytes(data)
    if not isinstance(data, str):
        raise TypeError(f"expected str or bytes, not {type(data).__name__}")
    try:
        return data.encode()
    except UnicodeEncodeError as error:
        offset = len(data[: error.start].encode())
        raise InvalidInputError(f"{INVALID}{BAD_ENCODING}", offset) from None


def load_json(data: bytes) -> Any:
    """The value of a whole JSON text. InvalidInputError if it is none.

    Recursion of the parsers is not bounded here, see `is_nested_deeper`.
    """
    if orjson_loads is not None:
        try:
            return orjson_loads(data)
        except ValueError:
            pass  # the slower parser below decides, and says where it is wrong
    return load_by_standard_library(data)


def load_by_standard_library(data: bytes) -> Any:
    """`load_json` without orjson."""
    text = JsonReader(data)
    value = text.read_value()
    if not text.is_at_end():
        raise text.error("The document root must not follow by other values.", text.position)
    return value


class JsonReader:
    """Reads JSON values that follow each other in one text."""

    __slots__ = ("_decoder", "position", "text")

    def __init__(self, data: bytes) -> None:
        try:
            self.text = data.decode()
        except UnicodeDecodeError as error:
            raise InvalidInputError(f"{INVALID}{BAD_ENCODING}", error.start) from None
        self.position = 0
        self._decoder = _DECODER_OF_LONG_NUMBERS if _has_long_number(data) else _DECODER

    def is_at_end(self) -> bool:
        """Whether only blanks are left; skips them."""
        text, position = self.text, self.position
        while position < len(text) and text[position] in _SPACES:
            position += 1
        self.position = position
        return position == len(text)

    def read_value(self) -> Any:
        """The next value. InvalidInputError if there is none, RecursionError if it is too deep."""
        if self.is_at_end():
            raise self.error(IS_EMPTY, self.position)
        start = self.position
        try:
            value, self.position = self._decoder.raw_decode(self.text, start)
        except json.JSONDecodeError as error:
            raise self.error(self._text_of_error(error), error.pos) from None
        except _BadNumber as error:
            raise self.error(str(error), start) from None
        _check_surrogates(self, start)
        return value

    def error(self, text: str, position: int) -> InvalidInputError:
        return InvalidInputError(f"{INVALID}{text}", len(self.text[:position].encode()))

    def _text_of_error(self, error: json.JSONDecodeError) -> str:
        """rapidjson's text for an error of the standard library."""
        for begins, text in _TEXTS.items():
            if error.msg.startswith(begins):
                return text
        if not error.msg.startswith("Expecting ',' delimiter"):
            return "Invalid value."
        if _bracket_around(self.text[: error.pos].encode()) == b"{":
            return "Missing a comma or '}' after an object member."
        return "Missing a comma or ']' after an array element."


_TEXTS = {
    "Expecting property name": "Missing a name for object member.",
    "Illegal trailing comma before end of object": "Missing a name for object member.",
    "Expecting ':' delimiter": "Missing a colon after a name of object member.",
    "Unterminated string": "Missing a closing quotation mark in string.",
    "Invalid control character": "Invalid escape character in string.",
    "Invalid \\escape": "Invalid escape character in string.",
    "Invalid \\uXXXX escape": "Incorrect hex digit after \\u escape in string.",
}


def _has_long_number(data: bytes) -> bool:
    """Whether there may be a number whose conversion takes more than linear time, or overflows."""
    if len(data) < _LONG_NUMBER:
        return False
    return _LONG_RUN in data.translate(_DIGITS_TO_ONES)


def _check_surrogates(reader: JsonReader, start: int) -> None:
    """InvalidInputError if an escape in the value between `start` and the position of the reader is
    half of a surrogate pair."""
    text = reader.text
    if text.find("\\u", start, reader.position) < 0:
        return
    high_ends_at = -1  # where the low half must follow
    for escape in _SURROGATE_ESCAPE.finditer(text, start, reader.position):
        is_low = escape[1] is not None and escape[1][1] in "cdefCDEF"
        if (high_ends_at >= 0) != is_low or (is_low and escape.start() != high_ends_at):
            raise reader.error(BAD_SURROGATES, escape.start())
        high_ends_at = -1 if is_low or escape[1] is None else escape.end()
    if high_ends_at >= 0:
        raise reader.error(BAD_SURROGATES, high_ends_at)


def is_nested_deeper(data: bytes, levels: int) -> bool:
    """Whether arrays and objects are nested in more than so many levels. Linear in time and memory.

    Of text that is no JSON the answer may be either, but it is True if a parser may recurse that
    deeply before it finds out.
    """
    if len(data) <= levels or data.count(b"[") + data.count(b"{") <= levels:
        return False
    steps = _structure(data).translate(_BRACKETS_TO_STEPS, _OTHER_THAN_BRACKETS)
    return max(itertools.accumulate(memoryview(steps).cast("b")), default=0) > levels


def _structure(raw: bytes) -> bytes:
    """`raw` without the contents of its strings."""
    if b"\\" in raw:
        raw = _ESCAPE.sub(b"", raw)
    return b"".join(raw.split(b'"')[::2])


def _bracket_around(raw: bytes) -> bytes:
    """The last bracket of `raw` that is not closed, or b""."""
    is_open: list[int] = []
    for bracket in _structure(raw).translate(None, _OTHER_THAN_BRACKETS):
        if bracket in b"[{":
            is_open.append(bracket)
        elif is_open:
            is_open.pop()
    return bytes(is_open[-1:])
