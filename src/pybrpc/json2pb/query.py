"""Query strings to messages: `name=value&tag=a&tag=b&user.id=3`. Not in bRPC.

Names are those of JSON; dots lead into messages. Values are converted strictly: any that its field
can't have is an error, and so is a second value for a field that is not repeated. Names that no
field has are ignored. Maps, and messages in repeated fields, can't be given.
"""

from __future__ import annotations

import math
import re
from typing import Any, NamedTuple, TypeVar
from urllib.parse import unquote_to_bytes

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from pybrpc.json2pb import schema
from pybrpc.json2pb.errors import DepthError, InvalidFieldError, InvalidInputError, shown
from pybrpc.json2pb.json_values import JsonText, utf8_of
from pybrpc.json2pb.names import decode_name
from pybrpc.json2pb.options import DEFAULT, JsonOptions
from pybrpc.json2pb.required import check_required
from pybrpc.json2pb.scalars import Mismatch, Scalar, decode_base64, scalar_for
from pybrpc.json2pb.schema import INTEGER_TYPES, AnyDescriptor, AnyField

M = TypeVar("M", bound=Message)

_INTEGER = re.compile("-?0*[0-9]{1,20}")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,400})(?:\.[0-9]{1,400})?(?:[eE][+-]?[0-9]{1,4})?")
_URL_SAFE = str.maketrans("-_", "+/")


def query_to_message(
    query: JsonText,
    message_class: type[M],
    options: JsonOptions = DEFAULT,
    *,
    is_partial: bool = False,
) -> M:
    """The message that a query string describes, without its `?`. Time is linear in its length.

    `+` is a blank, `%dd` a byte of UTF-8. Of the options, pb_bytes_to_base64 (either alphabet) and
    the depth count. With `is_partial` required fields may be missing. ConversionError if there is
    no message.
    """
    message = message_class()
    plan = _PLANS.plan_for(message_class.DESCRIPTOR, options)
    given: set[str] = set()
    for pair in utf8_of(query).split(b"&"):
        raw_name, _, raw_value = pair.partition(b"=")
        if not raw_name:
            continue
        name = _unquoted(raw_name, query)
        found = _find(message, plan, name, options)
        if found is not None:
            _set(*found, name, _unquoted(raw_value, query), given)
    if not is_partial:
        check_required(message)
    return message


def set_field(message: Message, name: str, text: str, options: JsonOptions = DEFAULT) -> None:
    """Set the field `name` of `message`, which may lead into messages, to what `text` describes.
    To a repeated field it is added. ConversionError if there is no such field, or no such value."""
    plan = _PLANS.plan_for(message.DESCRIPTOR, options)
    found = _find(message, plan, name, options)
    if found is None:
        text = f"{message.DESCRIPTOR.full_name} has no field `{shown(name)}'"
        raise InvalidFieldError(text, shown(name))
    _set(*found, name, text, set())


def _unquoted(raw: bytes, query: JsonText) -> str:
    try:
        return unquote_to_bytes(raw.replace(b"+", b" ")).decode()
    except UnicodeDecodeError:
        offset = utf8_of(query).find(raw)
        raise InvalidInputError("Invalid query string: no UTF-8", offset) from None


class _Entry(NamedTuple):
    field: AnyField
    scalar: Scalar | None
    is_repeated: bool


class _QueryPlan:
    """The fields of one message type by their names in a query string."""

    def __init__(self, descriptor: AnyDescriptor, options: JsonOptions) -> None:
        self.entries = {
            decode_name(field.name): _Entry(
                field,
                None if field.message_type is not None else scalar_for(field, options),
                schema.is_repeated(field),
            )
            for field in descriptor.fields
        }
        self.options = options


_PLANS = schema.PlanCache(_QueryPlan)


def _find(
    message: Any, plan: _QueryPlan, name: str, options: JsonOptions
) -> tuple[Any, _Entry, JsonOptions] | None:
    """The message to set, and the field in it. None if there is no such field."""
    steps = [name] if name in plan.entries else name.split(".")
    if len(steps) > options.json2pb_max_recursion_depth + 1:
        raise DepthError("Exceeded maximum recursion depth", shown(name))
    types = []
    for step in steps[:-1]:
        entry = plan.entries.get(step)
        if entry is None or entry.scalar is not None:
            return None
        if entry.is_repeated:
            raise _not_settable(entry, name)
        types.append(entry.field.name)
        plan = _PLANS.plan_for(entry.field.message_type, options)
    entry = plan.entries.get(steps[-1])
    if entry is None:
        return None
    if entry.scalar is None:
        raise _not_settable(entry, name)
    for field_name in types:
        message = getattr(message, field_name)
    return message, entry, options


def _not_settable(entry: _Entry, name: str) -> InvalidFieldError:
    text = f"Field `{entry.field.full_name}' can't be set by a query string"
    return InvalidFieldError(text, shown(name))


def _set(
    message: Any, entry: _Entry, options: JsonOptions, name: str, text: str, given: set[str]
) -> None:
    field, scalar, is_repeated = entry
    assert scalar is not None
    try:
        value = _value_of(text, field, scalar, options)
    except Mismatch as error:
        text = (
            f"Invalid value `\"{shown(text)}\"' for field `{field.full_name}' which SHOULD be "
            f"{error.wanted}"
        )
        raise InvalidFieldError(text, shown(name)) from None
    if is_repeated:
        getattr(message, field.name).append(value)
        return
    if name in given:
        text = f"More than one value for field `{field.full_name}'"
        raise InvalidFieldError(text, shown(name))
    given.add(name)
    setattr(message, field.name, value)


def _value_of(text: str, field: AnyField, scalar: Scalar, options: JsonOptions) -> Any:
    kind = field.cpp_type
    if kind in INTEGER_TYPES or (kind == FieldDescriptor.CPPTYPE_ENUM and _INTEGER.fullmatch(text)):
        return scalar.convert(int(text) if _INTEGER.fullmatch(text) else None)
    if kind == FieldDescriptor.CPPTYPE_BOOL:
        return scalar.convert({"true": True, "false": False}.get(text))
    if kind in (FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE):
        if not _NUMBER.fullmatch(text):
            return scalar.convert(text)
        if math.isinf(float(text)):
            raise Mismatch(scalar.wanted)
        return float(text)
    if field.type == FieldDescriptor.TYPE_BYTES and options.pb_bytes_to_base64:
        data = decode_base64(text.translate(_URL_SAFE))
        if data is None:
            raise Mismatch("base64")
        return data
    return scalar.convert(text)
