"""Messages to JSON, by bRPC's rules, byte for byte as bRPC prints them (json2pb/pb_to_json.cpp).

Extensions come first, then fields as declared, then maps. Numbers are printed as rapidjson does. A
map with string keys is printed even if it is empty; other fields only if they are set.

Different from bRPC: NaN and infinities, which it prints as they are, are strings here, which it
reads; an enum value without a name is its number; always_print_primitive_fields prints neither
messages, which bRPC can't do if their type is recursive, nor members of a oneof, which would be set
when the JSON is read.
"""

from __future__ import annotations

import binascii
import math
import re
from collections.abc import Callable, Mapping
from json import encoder
from typing import Any, NamedTuple, TypeAlias

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from pybrpc.json2pb import schema
from pybrpc.json2pb.errors import (
    ConversionError,
    DepthError,
    InvalidFieldError,
    MissingFieldError,
    shown,
)
from pybrpc.json2pb.names import decode_name
from pybrpc.json2pb.options import DEFAULT, JsonOptions
from pybrpc.json2pb.paths import join
from pybrpc.json2pb.schema import (
    ENTRY_KEY,
    ENTRY_VALUE,
    INTEGER_TYPES,
    AnyDescriptor,
    AnyField,
)

TOO_DEEP = "Exceeded maximum recursion depth"

Write: TypeAlias = Callable[[Any, int], str]
"""The JSON text of the value of a field; the number is the depth of the message."""
WriteScalar: TypeAlias = Callable[[Any], str]

_quote: Callable[[str], str] = encoder.encode_basestring
_CONTROL_ESCAPE = re.compile(r"\\(?:u(00[0-9a-f]{2})|.)")
_MOST_DIGITS = 21
"""Digits before the point that rapidjson prints without an exponent."""
_MOST_ZEROS = 6
"""Zeros after "0." that rapidjson prints without an exponent, and one more."""


def message_to_json(message: Message, options: JsonOptions = DEFAULT) -> bytes:
    """`message` as JSON, in UTF-8. Time and memory are linear in the size of the message.

    ConversionError if a required field is missing, messages are nested too deeply, or text is no
    UTF-8.
    """
    return write_plan_for(message, options).to_json(message)


def write_plan_for(message: Message, options: JsonOptions) -> WritePlan:
    """The plan by which messages of the type of `message` become JSON, for users of many."""
    return _PLANS.plan_for(message.DESCRIPTOR, options)


def _in_capitals(escape: re.Match[str]) -> str:
    """rapidjson writes \\u001A, Python \\u001a."""
    return f"\\u{escape[1].upper()}" if escape[1] else escape[0]


class _Column(NamedTuple):
    """One field in a plan.

    place   in the output
    prefix  its quoted key, with the colon; "" for a map that is written after all others
    write_scalar, write  the first is None, or used instead of the second, which is slower
    """

    place: int
    prefix: str
    write_scalar: WriteScalar | None
    write: Write
    is_required: bool
    name: str


class WritePlan:
    """How messages of one type are written."""

    __slots__ = (
        "_columns",
        "_descriptor",
        "_maps",
        "_max_depth",
        "_newer",
        "_no_texts",
        "_options",
        "_plain_columns",
        "_required",
        "_required_count",
        "_single",
        "_unset",
    )

    def __init__(self, descriptor: AnyDescriptor, options: JsonOptions) -> None:
        self._descriptor = descriptor
        self._options = options
        self._max_depth = options.json2pb_max_recursion_depth
        self._newer: WritePlan | None = None
        fields = schema.fields_of(self._descriptor)
        maps = [field for field in fields if schema.has_string_keys(field)]
        others = [field for field in fields if field not in maps]
        columns = {field: _column_for(field, at, options) for at, field in enumerate(others)}
        columns.update(
            (field, _Column(len(others), "", None, _no_text, False, "")) for field in maps
        )
        in_order = sorted(others, key=lambda field: field.number) == others
        is_single = len(fields) == 1 and not maps and schema.is_repeated(fields[0])
        self._single = fields[0] if is_single else None
        self._unset = [field for field in others if self._is_printed_unset(field)]
        self._required = [field for field in others if schema.is_required(field)]
        self._required_count = len(self._required)
        self._maps = tuple(_map_column(field, options) for field in maps)
        # The last slot is for the texts of maps here, which are not used.
        self._no_texts = [] if in_order and not self._unset else [""] * (len(others) + 1)
        self._columns = columns
        # Compiled code takes just a tuple apart without an iterator, not a subclass.
        self._plain_columns: dict[AnyField, Any] = {
            field: tuple(column) for field, column in columns.items()
        }

    def _is_printed_unset(self, field: AnyField) -> bool:
        if schema.is_repeated(field):
            return self._options.jsonify_empty_array
        oneof = field.containing_oneof
        is_free = oneof is None or len(oneof.fields) == 1  # as those that are just `optional`
        is_scalar = field.message_type is None
        return self._options.always_print_primitive_fields and is_scalar and is_free

    def to_json(self, message: Any) -> bytes:
        """The JSON of `message`, which has the type of the plan, as `message_to_json` says."""
        try:
            text = self.write_root(message)
        except RecursionError:
            raise DepthError(TOO_DEEP) from None
        except (TypeError, UnicodeDecodeError) as error:
            # The runtimes of protobuf differ: upb shows such text as bytes, which can't be quoted.
            raise InvalidFieldError("a string of the message is no UTF-8") from error
        if "\\u00" in text:
            text = _CONTROL_ESCAPE.sub(_in_capitals, text)
        return text.encode()

    def write_root(self, message: Any) -> str:
        if self._options.single_repeated_to_array and self._single is not None:
            field = self._single
            return self._columns[field].write(_value_of(message, field), 0)
        return self.write(message, 0)

    def write(self, message: Any, depth: int) -> str:
        """The JSON of `message`, which is `depth` levels below the root."""
        if depth > self._max_depth:
            raise DepthError(TOO_DEEP)
        columns = self._plain_columns
        texts: list[str] = []
        slots = self._no_texts.copy()  # empty if fields are printed as ListFields has them
        required = 0
        name = ""
        try:
            for field, value in message.ListFields():
                column = columns.get(field)
                if column is None:
                    return self._write_by_newer(message, depth)
                place, prefix, write_scalar, write, is_required, name = column
                if write_scalar is not None:
                    text = prefix + write_scalar(value)
                else:
                    text = prefix + write(value, depth)
                if slots:
                    slots[place] = text
                elif prefix:
                    texts.append(text)
                required += is_required
            name = ""
            if required != self._required_count:
                self._raise_missing(message)
            if slots:
                texts = self._in_order(message, slots)
            for column in self._maps:
                name = column.name
                texts.append(column.prefix + column.write(message, depth))
        except ConversionError as error:
            error.path = join(name, error.path)
            raise
        return "{" + ",".join(texts) + "}"

    def _write_by_newer(self, message: Any, depth: int) -> str:
        """`write`, by a plan that knows extensions that are younger than this one."""
        newer = self._newer
        fields = [field for field, _ in message.ListFields()]
        if newer is None or any(field not in newer._columns for field in fields):
            newer = WritePlan(self._descriptor, self._options)
            for field in fields:
                newer._columns[field]  # KeyError if its pool does not know it
            self._newer = newer
        return newer.write(message, depth)

    def _raise_missing(self, message: Any) -> None:
        present = {field for field, _ in message.ListFields()}
        for field in self._required:
            if field not in present:
                text = f"Missing required field: {field.full_name}"
                raise MissingFieldError(text, field.name)

    def _in_order(self, message: Any, slots: list[str]) -> list[str]:
        """The texts of fields by their places, with those of fields that are printed unset."""
        for field in self._unset:
            column = self._columns[field]
            if not slots[column.place]:
                text = column.write(_value_of(message, field), 0)
                slots[column.place] = column.prefix + text
        return list(filter(None, slots[:-1]))


_PLANS = schema.PlanCache(WritePlan)


def _value_of(message: Any, field: AnyField) -> Any:
    return message.Extensions[field] if field.is_extension else getattr(message, field.name)


def _prefix_for(field: AnyField) -> str:
    return f"{_quote(decode_name(field.name))}:"


def _column_for(field: AnyField, index: int, options: JsonOptions) -> _Column:
    write_scalar = None
    if schema.is_real_map(field):
        write = _map_as_array(field, options)
    elif schema.is_repeated(field):
        write = _array(field, options)
    else:
        write = _single(field, options)
        write_scalar = _scalar(field, options) if field.message_type is None else None
    is_required = schema.is_required(field)
    return _Column(index, _prefix_for(field), write_scalar, write, is_required, field.name)


def _single(field: AnyField, options: JsonOptions) -> Write:
    """Writes one value, of a repeated field one item."""
    nested = field.message_type
    if nested is not None:
        return _message(nested, options)
    write_scalar = _scalar(field, options)
    return lambda value, _: write_scalar(value)


def _scalar(field: AnyField, options: JsonOptions) -> WriteScalar:
    if field.cpp_type == FieldDescriptor.CPPTYPE_ENUM:
        return _enum(field, options)
    if field.type == FieldDescriptor.TYPE_BYTES:
        return _base64 if options.pb_bytes_to_base64 else _utf8
    return _WRITERS.get(field.cpp_type, repr)


def _message(descriptor: AnyDescriptor, options: JsonOptions) -> Write:
    """Its plan is made when it is first needed: types may be recursive."""
    write_message: Write | None = None

    def write(value: Any, depth: int) -> str:
        nonlocal write_message
        if write_message is None:
            write_message = _PLANS.plan_for(descriptor, options).write
        return write_message(value, depth + 1)

    return write


def _no_text(value: Any, _: int) -> str:
    return ""


def _base64(value: bytes) -> str:
    return f'"{binascii.b2a_base64(value, newline=False).decode()}"'


def _utf8(value: bytes) -> str:
    try:
        return _quote(value.decode())
    except UnicodeDecodeError:
        raise InvalidFieldError("bytes that are no UTF-8 need pb_bytes_to_base64") from None


def _double(value: float) -> str:
    """The shortest text that is read as this number, in rapidjson's notation (internal/dtoa.h)."""
    text = repr(value)
    if "e" in text:
        return _without_exponent(text)
    if not math.isfinite(value):
        return '"NaN"' if value != value else '"Infinity"' if value > 0 else '"-Infinity"'
    return text


def _without_exponent(text: str) -> str:
    """A number in Python's notation with an exponent, which rapidjson needs less often."""
    mantissa, exponent = text.split("e")
    sign, mantissa = ("-", mantissa[1:]) if mantissa[0] == "-" else ("", mantissa)
    digits = mantissa.replace(".", "")
    before_point = int(exponent) + 1
    if len(digits) <= before_point <= _MOST_DIGITS:
        return f"{sign}{digits.ljust(before_point, '0')}.0"
    if 0 < before_point <= _MOST_DIGITS:
        return f"{sign}{digits[:before_point]}.{digits[before_point:]}"
    if -_MOST_ZEROS < before_point <= 0:
        return f"{sign}0.{'0' * -before_point}{digits}"
    return f"{sign}{mantissa}e{int(exponent)}"


_WRITERS: Mapping[int, WriteScalar] = {
    FieldDescriptor.CPPTYPE_BOOL: ("false", "true").__getitem__,
    FieldDescriptor.CPPTYPE_STRING: _quote,
    FieldDescriptor.CPPTYPE_FLOAT: _double,
    FieldDescriptor.CPPTYPE_DOUBLE: _double,
}


class _EnumNames(dict[int, str]):
    """Quoted names by numbers; a number without a name has itself."""

    def __missing__(self, number: int) -> str:
        return str(number)


def _enum(field: AnyField, options: JsonOptions) -> WriteScalar:
    names = _EnumNames()
    if not options.pb_enum_as_number:
        for value in field.enum_type.values:
            names.setdefault(value.number, _quote(value.name))
    return names.__getitem__


def _array(field: AnyField, options: JsonOptions) -> Write:
    write_item = _single(field, options)
    if field.cpp_type in INTEGER_TYPES:
        return lambda items, _: str(list(items)).replace(" ", "")

    def write(items: Any, depth: int) -> str:
        texts: list[str] = []
        try:
            for item in items:
                texts.append(write_item(item, depth))
        except ConversionError as error:
            error.path = join(f"[{len(texts)}]", error.path)
            raise
        return "[" + ",".join(texts) + "]"

    return write


def _map_as_array(field: AnyField, options: JsonOptions) -> Write:
    """For map<...> whose keys are no text: an array of {"key": ..., "value": ...}."""
    entry = field.message_type.fields_by_name
    write_key, write_value = _single(entry[ENTRY_KEY], options), _map_value(entry, options)

    def write(items: Any, depth: int) -> str:
        texts: list[str] = []
        for key, value in items.items():
            try:
                text = write_value(value, depth)
            except ConversionError as error:
                error.path = join(f"[{key!r}]", error.path)
                raise
            texts.append(f'{{"key":{write_key(key, depth)},"value":{text}}}')
        return "[" + ",".join(texts) + "]"

    return write


def _map_value(entry: Mapping[str, FieldDescriptor], options: JsonOptions) -> Write:
    """Writes the value of an entry, which is one level further down."""
    write = _array if schema.is_repeated(entry[ENTRY_VALUE]) else _single
    write_value = write(entry[ENTRY_VALUE], options)
    return lambda value, depth: write_value(value, depth + 1)


def _map_column(field: AnyField, options: JsonOptions) -> _Column:
    """A map with string keys; the value that `write` gets is the message."""
    write_value = _map_value(field.message_type.fields_by_name, options)
    is_real = schema.is_real_map(field)

    def write(message: Any, depth: int) -> str:
        items = _value_of(message, field)
        pairs = items.items() if is_real else [(one.key, one.value) for one in items]
        texts: list[str] = []
        for key, value in pairs:
            try:
                texts.append(f"{_quote(key)}:{write_value(value, depth)}")
            except ConversionError as error:
                error.path = join(f"[{shown(repr(key))}]", error.path)
                raise
        return "{" + ",".join(texts) + "}"

    return _Column(0, _prefix_for(field), None, write, False, field.name)
