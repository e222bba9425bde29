"""Values of JSON for fields that are no messages (the conversions of json2pb/json_to_pb.cpp)."""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable
from typing import Any, TypeAlias

from google.protobuf.descriptor import FieldDescriptor

from pybrpc.json2pb.errors import InvalidFieldError, shown
from pybrpc.json2pb.json_values import INT64_MIN, UINT64_MAX
from pybrpc.json2pb.options import JsonOptions
from pybrpc.json2pb.schema import AnyField

Convert: TypeAlias = Callable[[Any], Any]
"""A JSON value to one for the field. Raises Mismatch, or InvalidFieldError."""

_FLOATS = {"nan": float("nan"), "infinity": float("inf"), "-infinity": float("-inf")}
_DECIMAL = re.compile("[+-]?0*[0-9]{1,20}")
"""Every int64 and uint64 has at most 20 digits."""


class Mismatch(Exception):
    """A value of the wrong type. `wanted` is the type, as bRPC's texts name it."""

    def __init__(self, wanted: str) -> None:
        super().__init__(wanted)
        self.wanted = wanted


class Scalar:
    """How values of one field are converted.

    exact    values of this type need no conversion: protobuf checks the range of an int
    convert  converts any value
    wanted   the type, as bRPC's texts name it
    """

    __slots__ = ("convert", "exact", "wanted")

    def __init__(self, wanted: str, exact: type | None, convert: Convert) -> None:
        self.wanted = wanted
        self.exact = exact
        self.convert = convert


def scalar_for(field: AnyField, options: JsonOptions) -> Scalar:
    """For a field that is no message; of a repeated one, how its items are converted."""
    if field.cpp_type in _INTEGERS:
        wanted, low, high, takes_text = _INTEGERS[field.cpp_type]
        return Scalar(wanted, int, _integer(wanted, low, high, takes_text))
    if field.cpp_type == FieldDescriptor.CPPTYPE_ENUM:
        return Scalar("enum", None, _enum(field.enum_type))
    if field.type == FieldDescriptor.TYPE_BYTES:
        convert = _base64(field) if options.pb_bytes_to_base64 else _utf8
        return Scalar("string", None, convert)
    wanted, exact, of_text = _OTHERS[field.cpp_type]
    return Scalar(wanted, exact, _number(wanted, of_text) if of_text else _only(wanted, exact))


_INTEGERS = {
    FieldDescriptor.CPPTYPE_INT32: ("INT32", -(2**31), 2**31 - 1, False),
    FieldDescriptor.CPPTYPE_UINT32: ("UINT32", 0, 2**32 - 1, False),
    FieldDescriptor.CPPTYPE_INT64: ("INT64", INT64_MIN, 2**63 - 1, True),
    FieldDescriptor.CPPTYPE_UINT64: ("UINT64", 0, UINT64_MAX, True),
}
# The last is the type that bRPC names if the value is text: typeid(double).name().
_OTHERS = {
    FieldDescriptor.CPPTYPE_BOOL: ("BOOL", bool, ""),
    FieldDescriptor.CPPTYPE_STRING: ("string", str, ""),
    FieldDescriptor.CPPTYPE_FLOAT: ("float", float, "f"),
    FieldDescriptor.CPPTYPE_DOUBLE: ("double", float, "d"),
}


def _only(wanted: str, exact: type) -> Convert:
    def convert(value: Any) -> Any:
        if type(value) is not exact:
            raise Mismatch(wanted)
        return value

    return convert


def _integer(wanted: str, low: int, high: int, takes_text: bool) -> Convert:
    def convert(value: Any) -> int:
        number = value
        if takes_text and type(value) is str and _DECIMAL.fullmatch(value):
            is_negative_unsigned = low == 0 and value[0] == "-"
            number = None if is_negative_unsigned else int(value)
        if type(number) is int and low <= number <= high:
            return number
        raise Mismatch(wanted)

    return convert


def _number(wanted: str, wanted_of_text: str) -> Convert:
    def convert(value: Any) -> float:
        if type(value) is float or type(value) is int:
            return float(value)
        if type(value) is str:
            if value.isascii() and value.lower() in _FLOATS:
                return _FLOATS[value.lower()]
            raise Mismatch(wanted_of_text)
        raise Mismatch(wanted)

    return convert


def _enum(enum: Any) -> Convert:
    values: dict[int | str, int] = {value.name: value.number for value in enum.values}
    values.update((value.number, value.number) for value in enum.values)

    def convert(value: Any) -> int:
        number = values.get(value) if type(value) is str or type(value) is int else None
        if number is None:
            raise Mismatch("enum")
        return number

    return convert


def decode_base64(text: str) -> bytes | None:
    """None if it is no base64: the length must be a multiple of 4, as bRPC wants it too."""
    if len(text) % 4:
        return None
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        return None


def _utf8(value: Any) -> bytes:
    if type(value) is not str:
        raise Mismatch("string")
    return value.encode()


def _base64(field: AnyField) -> Convert:
    message_name = field.containing_type.name

    def convert(value: Any) -> bytes:
        if type(value) is not str:
            raise Mismatch("string")
        data = decode_base64(value)
        if data is None:
            text = f"Fail to decode base64 string={shown(value)} [{message_name}]"
            raise InvalidFieldError(text)
        return data

    return convert


def value_text(value: Any) -> str:
    """A value of JSON as bRPC's texts show it; long ones are cut."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, dict):
        return "object"
    if isinstance(value, list):
        return "array"
    if isinstance(value, str):
        return f'"{shown(value)}"'
    if isinstance(value, int) and INT64_MIN <= value <= UINT64_MAX:
        return str(value)
    return shown(f"{float(value):f}")
