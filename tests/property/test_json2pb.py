"""Messages to JSON and back give the same messages, whatever they hold, and whoever parses them."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st

from pybrpc.json2pb import (
    ConversionError,
    JsonOptions,
    json_to_message,
    json_values,
    message_to_json,
    message_to_proto_json,
    message_to_text,
    proto_json_to_message,
    query_to_message,
    text_to_message,
)
from tests.property.strategies import int32, int64
from tests.protos.json_messages import rich, rich3

Rich2: Any = rich.Rich
Rich3: Any = rich3.Rich

uint32 = st.integers(0, 2**32 - 1)
uint64 = st.integers(0, 2**64 - 1)
text = st.text(max_size=8)
data = st.binary(max_size=8)
VALUES = {
    "double": st.floats(),
    "float": st.floats(width=32),
    **dict.fromkeys(("int32", "sint32", "sfixed32"), int32),
    **dict.fromkeys(("int64", "sint64", "sfixed64"), int64),
    **dict.fromkeys(("uint32", "fixed32"), uint32),
    **dict.fromkeys(("uint64", "fixed64"), uint64),
    "bool": st.booleans(),
    "string": text,
    "bytes": data,
    "enum": st.sampled_from([0, 1, -3]),
}
MAPS = {
    "text_ints": st.dictionaries(text, int64, max_size=3),
    "text_bytes": st.dictionaries(text, data, max_size=3),
    "text_enums": st.dictionaries(text, VALUES["enum"], max_size=3),
    "int_texts": st.dictionaries(int32, text, max_size=3),
    "bool_doubles": st.dictionaries(st.booleans(), st.floats(allow_nan=False), max_size=2),
}
ODD = {"from": text, "self": text, "odd_Z045_name": text}
CHOICES = [{"chosen_text": text}, {"chosen_int": int64}]


def values_of(message_class: Any) -> st.SearchStrategy[dict[str, Any]]:
    """Values for some of the scalar fields and maps of a message."""
    fields: dict[str, st.SearchStrategy[Any]] = {**MAPS, **ODD}
    for name in message_class.DESCRIPTOR.fields_by_name:
        label, _, kind = name.partition("_")
        if kind in VALUES and label in ("o", "i"):
            fields[name] = VALUES[kind]
        elif kind in VALUES and label == "r":
            fields[name] = st.lists(VALUES[kind], max_size=4)
    some = st.fixed_dictionaries({}, optional=fields)
    choice = st.one_of(st.just({}), *(st.fixed_dictionaries(one) for one in CHOICES))
    return st.builds(lambda a, b: {**a, **b}, some, choice)


def messages_of(message_class: Any) -> st.SearchStrategy[Any]:
    values = values_of(message_class)
    return st.recursive(
        values,
        lambda inner: st.builds(
            lambda own, parts: {**own, **parts},
            values,
            st.fixed_dictionaries(
                {},
                optional={
                    "o_message": inner,
                    "r_message": st.lists(inner, max_size=2),
                    "text_messages": st.dictionaries(text, inner, max_size=2),
                    "uint_messages": st.dictionaries(uint64, inner, max_size=2),
                    "chosen_message": inner,
                },
            ),
        ),
        max_leaves=4,
    ).map(lambda values: built(message_class, values))


def built(message_class: Any, values: dict[str, Any]) -> Any:
    message = message_class()
    for name, value in values.items():
        fill(message, message_class, name, value)
    return message


def fill(message: Any, message_class: Any, name: str, value: Any) -> None:
    if name in ("o_message", "chosen_message"):
        getattr(message, name).CopyFrom(built(message_class, value))
    elif name == "r_message":
        message.r_message.extend(built(message_class, one) for one in value)
    elif name in ("text_messages", "uint_messages"):
        for key, one in value.items():
            getattr(message, name)[key].CopyFrom(built(message_class, one))
    elif isinstance(value, dict):
        getattr(message, name).update(value)
    elif isinstance(value, list):
        getattr(message, name).extend(value)
    else:
        setattr(message, name, value)


def extension(name: str) -> Any:
    return rich.pool.FindExtensionByName(f"rich.{name}")


@st.composite
def extended(draw: Callable[[Any], Any]) -> Any:
    """Messages with extensions and groups too."""
    message = draw(messages_of(Rich2))
    if draw(st.booleans()):
        message.Extensions[extension("extra_text")] = draw(text)
        message.Extensions[extension("extra_bytes")] = draw(data)
        message.Extensions[extension("extra_enum")] = draw(VALUES["enum"])
        message.Extensions[extension("extra_message")].id = draw(int32)
        message.Extensions[extension("extra_messages")].add(id=draw(int32)).next.id = 3
        message.grouped.a = draw(int32)
    message.Extensions[extension("extra_ints")].extend(draw(st.lists(int64, max_size=3)))
    message.inner.extend(rich.Inner(id=one) for one in draw(st.lists(int32, max_size=2)))
    return message


def same(one: Any, other: Any) -> bool:
    """Equal, where NaN equals NaN; by their bytes, which are deterministic."""
    first, second = (message.SerializeToString(deterministic=True) for message in (one, other))
    return bool(first == second)


each_kind = pytest.mark.parametrize(
    "options",
    [JsonOptions(), JsonOptions(pb_enum_as_number=True, jsonify_empty_array=True)],
    ids=["default", "options"],
)


@each_kind
@given(message=extended() | messages_of(Rich3))
def test_json_of_a_message_is_read_as_that_message(options: JsonOptions, message: Any) -> None:
    found = message_to_json(message, options)
    assert same(json_to_message(found, type(message), options), message)


@given(extended() | messages_of(Rich3))
def test_json_of_a_message_is_valid_and_has_no_blanks(message: Any) -> None:
    found = message_to_json(message).decode()
    value = json.loads(found)
    assert len(json.dumps(value, ensure_ascii=False, separators=(",", ":"))) >= 2
    assert same(json_to_message(json.dumps(value), type(message)), message)


@given(messages_of(Rich3))
def test_proto_json_and_text_of_a_message_are_read_as_that_message(message: Any) -> None:
    assert same(proto_json_to_message(message_to_proto_json(message), Rich3), message)
    assert same(text_to_message(message_to_text(message), Rich3), message)
    expected = json_format.MessageToDict(message)
    assert json.dumps(json.loads(message_to_proto_json(message))) == json.dumps(expected)


json_like = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | text,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(sorted(Rich2.DESCRIPTOR.fields_by_name)), inner, max_size=4
        )
    ),
    max_leaves=12,
)


def outcome(raw: bytes, message_class: Any) -> object:
    try:
        skipped: list[Any] = []
        found = json_to_message(raw, message_class, skipped=skipped)
    except ConversionError as error:
        return type(error), str(error), error.path
    return found.SerializeToString(deterministic=True), skipped


@pytest.mark.skipif(json_values.orjson_loads is None, reason="orjson is not installed")
@given(json_like.map(json.dumps).map(str.encode) | st.binary(max_size=20))
def test_both_parsers_give_the_same_message_or_error(raw: bytes) -> None:
    found = json_values.orjson_loads
    for message_class in (Rich2, Rich3):
        with_orjson = outcome(raw, message_class)
        json_values.orjson_loads = None
        try:
            assert outcome(raw, message_class) == with_orjson
        finally:
            json_values.orjson_loads = found


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_are_printed_shortest_and_exact(number: float) -> None:
    printed = message_to_json(Rich3(o_double=number))[len('{"o_double":') :].split(b",")[0]
    assert float(printed) == number
    assert math.copysign(1, float(printed)) == math.copysign(1, number)
    assert len(printed) <= len(repr(number)) + 6


@given(values_of(Rich3))
def test_query_string_of_scalars_gives_them(values: dict[str, Any]) -> None:
    from urllib.parse import urlencode

    expected = Rich3()
    pairs: list[tuple[str, str]] = []
    for name, value in values.items():
        if isinstance(value, dict):
            continue
        fill(expected, Rich3, name, value)
        for one in value if isinstance(value, list) else [value]:
            pairs.append((name.replace("_Z045_", "-"), as_text(name, one)))
    assert same(query_to_message(urlencode(pairs), Rich3), expected)


def as_text(name: str, value: Any) -> str:
    only = json.loads(message_to_json(Rich3(**{name: [value] if name[0] == "r" else value})))
    (found,) = (one for key, one in only.items() if not isinstance(one, dict)) if only else (value,)
    found = found[0] if isinstance(found, list) else found
    if isinstance(found, bool):
        return "true" if found else "false"
    return found if isinstance(found, str) else json.dumps(found)
