"""Messages to JSON and back give the same messages, whatever they hold, with either parser."""

from __future__ import annotations

import base64
import json
import math
import random
import struct
from typing import Any
from urllib.parse import urlencode

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
from tests.protos.json_messages import rich, rich3

Rich2: Any = rich.Rich
Rich3: Any = rich3.Rich

SEEDS = st.integers(0, 2**64 - 1)
"""Messages are drawn from a seed: strategies for so many fields take too long."""
TEXTS = ("", "a", "é", "\U0001f600", '"\\/', "\x00\x1f\x7f", "\u2028", "x" * 40, "null", "1")
NUMBERS = (0.0, -0.0, 1.5, 1e16, 1e21, 1e22, 1e-5, 1e-6, 1e-7, 5e-324, -1.7e308, math.inf, math.nan)


class Drawn:
    """Any values, from a seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def chance(self, percent: int) -> bool:
        return self._random.randrange(100) < percent

    def integer(self, bits: int, is_signed: bool) -> int:
        value = self._random.getrandbits(self._random.randint(0, bits))
        return value - 2 ** (bits - 1) if is_signed and value else value

    def value(self, kind: str) -> Any:
        if "int" in kind or "fixed" in kind:
            is_signed = kind[0] in "is"
            low = self.integer(64 if "64" in kind else 32, is_signed)
            return low
        if kind == "double":
            return self._random.choice((*NUMBERS, self._random.gauss(0, 1e9)))
        if kind == "float":
            number = self._random.choice(NUMBERS)
            return struct.unpack("f", struct.pack("f", number))[0] if abs(number) < 3e38 else 0.1
        if kind == "bool":
            return self.chance(50)
        if kind == "bytes":
            return self._random.randbytes(self._random.randrange(5))
        if kind == "enum":
            return self._random.choice((0, 1, -3))
        return self._random.choice(TEXTS)

    def message(self, message_class: Any, depth: int = 0) -> Any:
        message = message_class()
        percent = self._random.choice((5, 20, 90))
        for field in message_class.DESCRIPTOR.fields:
            if self.chance(percent) and (field.message_type is None or depth < 3):
                self._set(message, field.name, message_class, depth)
        if message_class is Rich2:
            self._extend(message)
        return message

    def _set(self, message: Any, name: str, message_class: Any, depth: int) -> None:
        label, _, kind = name.partition("_")
        if kind in KINDS and label in ("o", "i"):
            setattr(message, name, self.value(kind))
        elif kind in KINDS and label == "r":
            getattr(message, name).extend(self.value(kind) for _ in range(self.integer(3, False)))
        elif name in ("o_message", "chosen_message", "i_message"):
            getattr(message, name).CopyFrom(self.message(message_class, depth + 1))
        elif name == "r_message":
            message.r_message.append(self.message(message_class, depth + 1))
        elif name in ("text_messages", "uint_messages"):
            key = self.value("string" if name[0] == "t" else "uint64")
            getattr(message, name)[key].CopyFrom(self.message(message_class, depth + 1))
        elif name in MAPS:
            key, value = MAPS[name]
            for _ in range(self.integer(2, False)):
                getattr(message, name)[self.value(key)] = self.value(value)
        elif name in ODD:
            setattr(message, name, self.value(ODD[name]))

    def _extend(self, message: Any) -> None:
        if self.chance(20):
            message.Extensions[extension("extra_text")] = self.value("string")
            message.Extensions[extension("extra_bytes")] = self.value("bytes")
            message.Extensions[extension("extra_enum")] = self.value("enum")
            message.Extensions[extension("extra_message")].id = self.value("int32")
            message.Extensions[extension("extra_messages")].add(id=1).next.id = self.value("int32")
            message.Extensions[extension("extra_ints")].extend([self.value("int64")])
            message.grouped.a = self.value("int32")
            message.inner.add(id=self.value("int32"))


KINDS = {
    "double", "float", "int32", "sint32", "sfixed32", "int64", "sint64", "sfixed64", "uint32",
    "fixed32", "uint64", "fixed64", "bool", "string", "bytes", "enum",
}  # fmt: skip
MAPS = {
    "text_ints": ("string", "int64"),
    "text_bytes": ("string", "bytes"),
    "text_enums": ("string", "enum"),
    "int_texts": ("int32", "string"),
    "bool_doubles": ("bool", "double"),
}
ODD = {
    "from": "string",
    "self": "string",
    "odd_Z045_name": "string",
    "chosen_text": "string",
    "chosen_int": "int64",
}


def extension(name: str) -> Any:
    return rich.pool.FindExtensionByName(f"rich.{name}")


def message_of(seed: int) -> Any:
    return Drawn(seed).message(Rich2 if seed % 2 else Rich3)


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
@given(seed=SEEDS)
def test_json_of_a_message_is_read_as_that_message(options: JsonOptions, seed: int) -> None:
    message = message_of(seed)
    found = message_to_json(message, options)
    assert same(json_to_message(found, type(message), options), message)


@given(SEEDS)
def test_json_of_a_message_is_json(seed: int) -> None:
    message = message_of(seed)
    value = json.loads(message_to_json(message))
    assert same(json_to_message(json.dumps(value), type(message)), message)


@given(SEEDS)
def test_proto_json_and_text_of_a_message_are_read_as_that_message(seed: int) -> None:
    message = Drawn(seed).message(Rich3)
    assert same(proto_json_to_message(message_to_proto_json(message), Rich3), message)
    assert same(text_to_message(message_to_text(message), Rich3), message)
    expected = json_format.MessageToDict(message)
    assert json.dumps(json.loads(message_to_proto_json(message))) == json.dumps(expected)


json_like = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
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


@given(SEEDS)
def test_query_string_of_scalars_gives_them(seed: int) -> None:
    drawn, expected = Drawn(seed), Rich3()
    pairs: list[tuple[str, str]] = []
    for field in Rich3.DESCRIPTOR.fields:
        label, _, kind = field.name.partition("_")
        if kind not in KINDS or label not in "ior" or not drawn.chance(30):
            continue
        for _ in range(2 if label == "r" else 1):
            value = drawn.value(kind)
            pairs.append((field.name, as_text(kind, value)))
            if label == "r":
                getattr(expected, field.name).append(value)
            else:
                setattr(expected, field.name, value)
    assert same(query_to_message(urlencode(pairs), Rich3), expected)


def as_text(kind: str, value: Any) -> str:
    if kind == "bytes":
        return base64.b64encode(value).decode()
    if kind in ("double", "float") and not math.isfinite(value):
        return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"
    return str(value).lower() if kind == "bool" else str(value)
