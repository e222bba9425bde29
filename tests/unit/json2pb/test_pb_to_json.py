"""Messages to JSON: order, options, numbers, what can't be printed."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf import descriptor_pb2

from pybrpc.json2pb import (
    DepthError,
    InvalidFieldError,
    JsonOptions,
    MissingFieldError,
    json_to_message,
    message_to_json,
)
from tests.protos.json_messages import addressbook, contents, maps, rich, rich3
from tests.protos.tables import make_messages

Rich: Any = rich.Rich
Rich3: Any = rich3.Rich
NO_MAPS = make_messages(
    "plain",
    {
        "M": """
            optional int32 b = 2
            optional string a = 1 [x]
            repeated int32 c = 3
            optional M m = 4
            optional Kind k = 5 [TWO]
            oneof one: int32 d = 6
            oneof one: string e = 7
        """,
        "Old": "optional int32 a = 1\nextensions 100 to 110",
        "Texts": "repeated string text = 1",
        "Entry": "optional string key = 1\noptional Texts value = 2",
        "Entries": "repeated Entry entry = 1",
        "Bytes": "optional bytes data = 1",
    },
    enums={"Kind": "ONE = 1, TWO = 2, SECOND = 2"},
)


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0.0, "0.0"),
        (-0.0, "-0.0"),
        (2.0, "2.0"),
        (-345.67, "-345.67"),
        (1e15, "1000000000000000.0"),
        (1e16, "10000000000000000.0"),
        (-1.5e20, "-150000000000000000000.0"),
        (123456789012345680000.0, "123456789012345680000.0"),
        (1e21, "1e21"),
        (1.5e21, "1.5e21"),
        (-1.25e300, "-1.25e300"),
        (0.0001, "0.0001"),
        (1.5e-5, "0.000015"),
        (1e-6, "0.000001"),
        (1e-7, "1e-7"),
        (-1.5e-7, "-1.5e-7"),
        (5e-324, "5e-324"),
        (float("nan"), '"NaN"'),
        (float("inf"), '"Infinity"'),
        (float("-inf"), '"-Infinity"'),
    ],
)
def test_numbers_are_printed_as_rapidjson_does(number: float, text: str) -> None:
    made = make_messages("number", {"N": "optional double n = 1\nrepeated double l = 2"})
    assert message_to_json(made.N(n=number, l=[number])).decode() == f'{{"n":{text},"l":[{text}]}}'


def test_fields_are_printed_as_declared_and_only_if_set() -> None:
    message = NO_MAPS.M(a="1", b=2, c=[3, -4], d=0)
    assert message_to_json(message) == b'{"b":2,"a":"1","c":[3,-4],"d":0}'
    assert message_to_json(NO_MAPS.M(m={})) == b'{"m":{}}'


def test_unset_fields_are_printed_if_asked_for() -> None:
    always = JsonOptions(always_print_primitive_fields=True)
    assert message_to_json(NO_MAPS.M(), always) == b'{"b":0,"a":"x","k":"TWO"}'
    arrays = JsonOptions(jsonify_empty_array=True)
    assert message_to_json(NO_MAPS.M(a=""), arrays) == b'{"a":"","c":[]}'
    both = JsonOptions(always_print_primitive_fields=True, jsonify_empty_array=True)
    assert message_to_json(NO_MAPS.M(m={"b": 1}), both) == (
        b'{"b":0,"a":"x","c":[],"m":{"b":1,"a":"x","c":[],"k":"TWO"},"k":"TWO"}'
    )
    text = message_to_json(Rich3(), both).decode()
    assert '"i_int64":0' in text
    assert '"int_texts":[]' in text
    assert "chosen" not in text


def test_map_of_text_keys_is_printed_even_if_empty_and_last() -> None:
    assert message_to_json(maps.AddressIntMapStd(addr="a")) == b'{"addr":"a","numbers":{}}'
    assert message_to_json(maps.AddressIntMap(addr="a")) == b'{"addr":"a","numbers":{}}'
    made = make_messages("m", {"M": "map<string, int32> m = 1\noptional int32 a = 2"})
    assert message_to_json(made.M(a=1, m={'"': 2})) == b'{"a":1,"m":{"\\"":2}}'


def test_maps_of_other_keys_are_arrays_of_entries() -> None:
    message = Rich3(int_texts={-1: "a"}, bool_doubles={True: 1})
    text = message_to_json(message).decode()
    assert '"int_texts":[{"key":-1,"value":"a"}]' in text
    assert '"bool_doubles":[{"key":true,"value":1.0}]' in text


def test_entry_without_a_value_has_the_default() -> None:
    message = NO_MAPS.Entries()
    message.entry.add(key="a")
    assert message_to_json(message) == b'{"entry":{"a":{}}}'


def test_single_repeated_field_may_be_an_array() -> None:
    options = JsonOptions(single_repeated_to_array=True)
    assert (
        message_to_json(NO_MAPS.Texts(text=["a", "\u00e9"]), options) == '["a","\u00e9"]'.encode()
    )
    assert message_to_json(NO_MAPS.Texts(), options) == b"[]"
    assert message_to_json(NO_MAPS.Entries(), options) == b'{"entry":{}}'
    assert message_to_json(addressbook.Person_PhoneNumber(number="1"), options) == b'{"number":"1"}'


def test_enum_without_a_name_is_a_number() -> None:
    message = Rich3(i_enum=77, r_enum=[0, 77])
    text = message_to_json(message)
    assert b'"i_enum":77' in text
    assert b'"r_enum":["NONE",77]' in text
    assert message_to_json(NO_MAPS.M(k=2)) == b'{"k":"TWO"}'
    assert message_to_json(NO_MAPS.M(k=2), JsonOptions(pb_enum_as_number=True)) == b'{"k":2}'


def test_escapes_are_those_of_rapidjson() -> None:
    message = NO_MAPS.M(a='\x00\x1f\x7f"\\/\b\f\n\r\t\\u001f\u2028')
    assert message_to_json(message) == (
        b'{"a":"\\u0000\\u001F\x7f\\"\\\\/\\b\\f\\n\\r\\t\\\\u001f' + "\u2028".encode() + b'"}'
    )


def test_bytes_without_base64_must_be_utf8() -> None:
    options = JsonOptions(pb_bytes_to_base64=False)
    assert message_to_json(NO_MAPS.Bytes(data=b"\xc3\xa9"), options) == '{"data":"\u00e9"}'.encode()
    with pytest.raises(InvalidFieldError, match="UTF-8") as raised:
        message_to_json(NO_MAPS.Bytes(data=b"\xff"), options)
    assert raised.value.path == "data"


def test_text_that_is_no_utf8_is_refused() -> None:
    """A peer may send that in proto2, where parsers don't check it."""
    raw = NO_MAPS.Bytes(data=b"\xff").SerializeToString()
    message = NO_MAPS.Texts()
    try:
        message.MergeFromString(raw)
    except Exception:  # some runtimes refuse it at once
        return
    with pytest.raises(InvalidFieldError, match="UTF-8"):
        message_to_json(message)


@pytest.mark.parametrize(
    ("values", "path"),
    [
        ({"inner": [{"id": 1}, {}]}, "inner[1].id"),
        ({"inner": [{"id": 1, "next": {"id": 2, "next": {}}}]}, "inner[0].next.next.id"),
    ],
)
def test_missing_field_is_named_with_its_path(values: Any, path: str) -> None:
    with pytest.raises(
        MissingFieldError, match=r"Missing required field: rich\.Inner\.id"
    ) as raised:
        message_to_json(Rich(**values))
    assert raised.value.path == path


def test_missing_field_in_a_map_is_named_with_its_path() -> None:
    message = Rich()
    message.text_messages["a"].inner.add()
    with pytest.raises(MissingFieldError) as raised:
        message_to_json(message)
    assert raised.value.path == "text_messages['a'].inner[0].id"
    message = Rich()
    message.uint_messages[7].inner.add()
    with pytest.raises(MissingFieldError) as raised:
        message_to_json(message)
    assert raised.value.path == "uint_messages[7].inner[0].id"


def test_extension_that_is_younger_than_the_plan_is_printed() -> None:
    message = NO_MAPS.Old(a=1)
    assert message_to_json(message) == b'{"a":1}'
    file = descriptor_pb2.FileDescriptorProto(
        name="new.proto", package="plain", dependency=["plain.proto"]
    )
    file.extension.add(name="x", number=100, type=5, label=1, extendee=".plain.Old")
    NO_MAPS.pool.Add(file)
    message.Extensions[NO_MAPS.pool.FindExtensionByName("plain.x")] = 2
    assert message_to_json(message) == b'{"x":2,"a":1}'


def test_depth_is_bounded() -> None:
    options = JsonOptions(json2pb_max_recursion_depth=1)
    message = contents.RecursiveMessage(child={"data": "a"})
    assert message_to_json(message, options) == b'{"child":{"data":"a"}}'
    message.child.child.data = "b"
    with pytest.raises(DepthError, match=r"^Exceeded maximum recursion depth$"):
        message_to_json(message, options)
    nested = Rich3()
    nested.text_messages["a"].o_bool = True
    with pytest.raises(DepthError):
        message_to_json(nested, options)


@pytest.mark.python_only
def test_stack_that_is_almost_full_is_a_depth_error() -> None:
    """Compiled code takes no part of that stack, and its depth is bounded."""
    message = current = contents.RecursiveMessage()
    for _ in range(100):
        current = current.child
    current.data = "a"

    def call(levels: int) -> Any:
        return call(levels - 1) if levels else message_to_json(message)

    failed = 0
    for levels in range(500, 960, 20):
        try:
            call(levels)
        except DepthError:
            failed += 1
        except RecursionError:
            break
    assert failed


def test_group_has_the_name_of_its_field() -> None:
    message = Rich(grouped={"a": 1})
    assert b'"grouped":{"a":1}' in message_to_json(message)
    assert json_to_message('{"grouped":{"a":1}}', Rich) == message
