"""JSON to messages: what each kind of field takes, what is skipped, limits."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from google.protobuf import descriptor_pb2

from pybrpc.json2pb import (
    ConversionError,
    DepthError,
    InvalidFieldError,
    InvalidInputError,
    JsonOptions,
    MissingFieldError,
    SkippedValue,
    iter_json_messages,
    json_to_message,
)
from pybrpc.json2pb.errors import MAX_SHOWN, MAX_WARNINGS
from tests.protos.json_messages import addressbook, contents, maps, rich, rich3
from tests.protos.tables import make_messages

Rich: Any = rich.Rich
Rich3: Any = rich3.Rich


def skipped_by(text: str, message_class: Any = Rich) -> tuple[Any, list[SkippedValue]]:
    skipped: list[SkippedValue] = []
    return json_to_message(text, message_class, skipped=skipped), skipped


WRONG = {
    "int32": ('"1"', "1.0", "true", str(2**31), str(-(2**31) - 1), "[]", "{}", str(10**30)),
    "uint32": ("-1", str(2**32), '"1"'),
    "int64": ('"1.0"', '"0x1"', '" 1"', str(2**63), f'"{2**63}"', '""', "1.5", str(10**200)),
    "uint64": ('"-1"', "-1", str(2**64), f'"{"9" * 5000}"'),
    "bool": ("0", '"true"'),
    "float": ('"1"', "true", '"nano"', '"Infinit\u0131y"'),
    "double": ('"1e3"', "[]"),
    "string": ("1", "true", "{}"),
    "bytes": ("1",),
    "enum": ("2", '"TWO"', "1.0", "true", "99999999999"),
}
NAMES = {"bytes": "string", "enum": "enum", "string": "string", "bool": "BOOL"}


@pytest.mark.parametrize(("kind", "value"), [(k, v) for k, vs in WRONG.items() for v in vs])
def test_wrong_value_is_skipped_or_refused_in_a_list(kind: str, value: str) -> None:
    message, skipped = skipped_by(f'{{"o_{kind}":{value}}}')
    assert message == Rich()
    assert [one.path for one in skipped] == [f"o_{kind}"]
    assert f"for optional field `rich.Rich.o_{kind}' which SHOULD be " in skipped[0].text
    assert len(skipped[0].text) < MAX_SHOWN + 150
    with pytest.raises(InvalidFieldError) as raised:
        json_to_message(f'{{"r_{kind}":[{value}]}}', Rich)
    assert raised.value.path == f"r_{kind}[0]"
    assert "for field `rich.Rich.r_" in str(raised.value)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("int64", f'"{-(2**63)}"', -(2**63)),
        ("int64", '"+0007"', 7),
        ("uint64", f'"{2**64 - 1}"', 2**64 - 1),
        ("double", "3", 3.0),
        ("double", str(10**25), 1e25),
        ("float", "1e300", float("inf")),
        ("float", '"-INFINITY"', float("-inf")),
        ("enum", '"MINUS"', -3),
        ("enum", "-3", -3),
        ("bytes", '"AAE="', b"\x00\x01"),
        ("bytes", '""', b""),
    ],
)
def test_value_is_converted(name: str, value: str, expected: object) -> None:
    assert getattr(json_to_message(f'{{"o_{name}":{value}}}', Rich), f"o_{name}") == expected
    assert getattr(json_to_message(f'{{"r_{name}":[{value}]}}', Rich), f"r_{name}") == [expected]


@pytest.mark.parametrize(
    "text", ["AAE", "A===", "AA==AA==", "A-_=", "AA=\\n", "\u00e9\u00e9\u00e9\u00e9"]
)
@pytest.mark.parametrize("key", ["o_bytes", "r_bytes", "extra_bytes", "text_bytes"])
def test_bad_base64_is_refused(text: str, key: str) -> None:
    value = {"r_bytes": f'["{text}"]', "text_bytes": f'{{"k":"{text}"}}'}.get(key, f'"{text}"')
    with pytest.raises(InvalidFieldError, match=r"^Fail to decode base64 string=") as raised:
        json_to_message(f'{{"{key}":{value}}}', Rich)
    assert raised.value.path.startswith(key)


def test_text_of_bytes_without_base64() -> None:
    options = JsonOptions(pb_bytes_to_base64=False)
    assert json_to_message('{"o_bytes":"\u00e9"}', Rich, options).o_bytes == b"\xc3\xa9"
    with pytest.raises(InvalidFieldError):
        json_to_message('{"r_bytes":[1]}', Rich, options)


def test_null_is_absent_but_for_required_fields() -> None:
    assert json_to_message('{"o_int32":null,"r_int32":null,"o_message":null}', Rich) == Rich()
    with pytest.raises(MissingFieldError, match=r"^Missing required field: rich\.Inner\.id$"):
        json_to_message('{"inner":[{"id":null}]}', Rich)
    with pytest.raises(InvalidFieldError, match=r"^Invalid value `null' for field"):
        json_to_message('{"r_int32":[null]}', Rich)
    message = json_to_message('{"text_ints":{"a":null},"text_messages":{"b":null}}', Rich)
    assert dict(message.text_ints) == {"a": 0}
    assert list(message.text_messages) == ["b"]


def test_presence_of_empty_messages_and_defaults_is_kept() -> None:
    message = json_to_message('{"o_message":{"unknown":1},"o_int32":0}', Rich3)
    assert message.HasField("o_message")
    assert message.HasField("o_int32")


@pytest.mark.parametrize("value", ["1", '"a"', "[]", "true"])
def test_message_that_is_no_object_is_refused(value: str) -> None:
    for text, path in ((f'{{"o_message":{value}}}', "o_message"), (value, "")):
        with pytest.raises(
            InvalidFieldError, match=r"^The input is not a json object \[Rich\]$"
        ) as e:
            json_to_message(text, Rich)
        assert e.value.path == path
    with pytest.raises(InvalidFieldError, match="which SHOULD be message"):
        json_to_message(f'{{"r_message":[{value}]}}', Rich)


@pytest.mark.parametrize("name", ["text_ints", "int_texts", "r_int32", "r_message"])
def test_list_that_is_no_array_is_refused(name: str) -> None:
    with pytest.raises(
        InvalidFieldError, match=rf"^Invalid value for repeated field: rich.Rich.{name}$"
    ):
        json_to_message(f'{{"{name}":1}}', Rich)


def test_map_is_an_object_of_text_keys_or_an_array_of_entries() -> None:
    text = (
        '{"text_ints":{"a":1,"b":"2"},"int_texts":[{"key":-3,"value":"x"},{"value":"none"}],'
        '"uint_messages":[{"key":"7","value":{"o_int32":5}},{"key":7,"value":{"o_bool":true}}],'
        '"text_messages":[{"key":"k","value":{}}]}'
    )
    message = json_to_message(text, Rich)
    assert dict(message.text_ints) == {"a": 1, "b": 2}
    assert dict(message.int_texts) == {-3: "x", 0: "none"}
    assert message.uint_messages[7] == Rich(o_bool=True)
    assert list(message.text_messages) == ["k"]
    with pytest.raises(InvalidFieldError, match="repeated field"):
        json_to_message('{"int_texts":{"1":"x"}}', Rich)
    with pytest.raises(InvalidFieldError, match="message"):
        json_to_message('{"int_texts":[1]}', Rich)


def test_wrong_value_in_a_map_is_skipped_with_its_path() -> None:
    message, skipped = skipped_by('{"o_message":{"text_ints":{"a":[]},"int_texts":[{"key":"x"}]}}')
    assert dict(message.o_message.text_ints) == {"a": 0}
    assert [one.path for one in skipped] == ["o_message.text_ints['a']", "o_message.int_texts[0]"]
    with pytest.raises(InvalidFieldError) as raised:
        json_to_message('{"text_messages":{"a":{"r_message":[{},{"o_message":1}]}}}', Rich)
    assert raised.value.path == "text_messages['a'].r_message[1].o_message"


def test_entries_of_messages_need_their_required_value() -> None:
    with pytest.raises(MissingFieldError) as raised:
        json_to_message('{"addr":"a","numbers":{"tel":null}}', maps.AddressIntMap)
    assert raised.value.path == "numbers['tel'].value"


def test_error_tells_what_was_skipped_before() -> None:
    text = '{"name":1,"email":2,"id":3}'
    with pytest.raises(ConversionError) as raised:
        json_to_message(text, addressbook.Person)
    assert raised.value.skipped == ()
    with pytest.raises(ConversionError) as raised:
        json_to_message('{"name":"a","id":3,"email":2}', addressbook.Person)
    assert [one.path for one in raised.value.skipped] == ["email"]
    assert raised.value.reason == "Missing required field: addressbook.Person.datadouble"


def test_extensions_are_found_by_their_names() -> None:
    text = (
        '{"extra_text":"a","extra_ints":[1,"2"],"extra_message":{"id":1},'
        '"extra_messages":[{"id":2}],"extra_enum":"ONE","extra_bytes":"AA=="}'
    )
    message = json_to_message(text, Rich)
    find = rich.pool.FindExtensionByName
    assert message.Extensions[find("rich.extra_ints")] == [1, 2]
    assert message.Extensions[find("rich.extra_messages")][0].id == 2
    assert message.Extensions[find("rich.extra_enum")] == 1
    assert skipped_by('{"extra_text":1,"extra_enum":"x"}')[1] != []


def test_extension_that_is_younger_than_the_plan_is_found() -> None:
    made = make_messages("young", {"M": "extensions 100 to 110\noptional int32 a = 1"})
    assert json_to_message('{"x":1}', made.M) == made.M()
    file = descriptor_pb2.FileDescriptorProto(
        name="younger.proto", package="young", dependency=["young.proto"]
    )
    file.extension.add(name="x", number=100, type=5, label=1, extendee=".young.M")
    made.pool.Add(file)
    extension = made.pool.FindExtensionByName("young.x")
    assert json_to_message('{"x":1}', made.M).Extensions[extension] == 1


def test_array_may_stand_for_a_single_repeated_field() -> None:
    options = JsonOptions(array_to_single_repeated=True)
    message = json_to_message(
        '[{"name":"a","id":1,"datadouble":1}]', addressbook.AddressBook, options
    )
    assert message.person[0].name == "a"
    with pytest.raises(InvalidFieldError, match=r"the input json can't be array here \[Rich\]"):
        json_to_message("[]", Rich, options)
    with pytest.raises(InvalidFieldError, match="not a json object"):
        json_to_message("[]", addressbook.AddressBook)


def test_few_keys_of_a_large_message_are_read_in_the_order_of_the_fields() -> None:
    _, skipped = skipped_by('{"r_bool":[],"o_bool":1,"o_int32":"x","unknown":1}')
    assert [one.path for one in skipped] == ["o_int32", "o_bool"]
    fields = "\n".join(f"optional int32 f{i} = {i}" for i in range(1, 60))
    made = make_messages("large", {"Large": f"{fields}\nrequired int32 last = 99"})
    with pytest.raises(MissingFieldError):
        json_to_message('{"f1":1}', made.Large)
    assert json_to_message('{"f1":1,"last":2}', made.Large) == made.Large(f1=1, last=2)


def test_fields_with_equal_keys_get_the_same_value() -> None:
    fields = "\n".join(f"optional int32 f{i} = {i}" for i in range(1, 60))
    made = make_messages(
        "twice",
        {
            "M": f"{fields}\noptional int32 a_Z045_b = 98\n"
            "optional int32 a_Z045_Z = 97\noptional int32 _Z097__Z045_b = 99"
        },
    )
    message = json_to_message('{"a-b":5}', made.M)
    assert message == made.M(a_Z045_b=5, _Z097__Z045_b=5)


@pytest.mark.parametrize("depth", [1, 5, 100])
def test_depth_is_bounded(depth: int) -> None:
    options = JsonOptions(json2pb_max_recursion_depth=depth)
    ok = '{"child":' * depth + "{}" + "}" * depth
    json_to_message(ok, contents.RecursiveMessage, options)
    with pytest.raises(
        DepthError, match=r"^Exceeded maximum recursion depth \[RecursiveMessage\]$"
    ):
        json_to_message(f'{{"child":{ok}}}', contents.RecursiveMessage, options)


@pytest.mark.parametrize("key", ["unknown", "o_int32"])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_nesting_is_bounded_where_it_is_ignored_too(key: str, opening: str, closing: str) -> None:
    def text(levels: int) -> str:
        return f'{{"{key}":' + opening * levels + "1" + closing * levels + "}"

    json_to_message(text(201), Rich)
    for levels in (202, 1000, 200_000):
        with pytest.raises(DepthError):
            json_to_message(text(levels), Rich)


def test_lists_and_maps_may_be_nested_as_deeply_as_messages() -> None:
    for begin, end in (('{"r_message":[', "]}"), ('{"text_messages":{"a":', "}}")):
        depth = 100 if "r_" in begin else 50
        json_to_message(begin * depth + "{}" + end * depth, Rich)
        with pytest.raises(DepthError):
            json_to_message(begin * (depth + 1) + "{}" + end * (depth + 1), Rich)


@pytest.mark.python_only
def test_stack_that_is_almost_full_is_a_depth_error() -> None:
    """Compiled code takes no part of that stack, and its depth is bounded."""
    text = '{"child":' * 100 + "{}" + "}" * 100

    def call(levels: int) -> Any:
        return call(levels - 1) if levels else json_to_message(text, contents.RecursiveMessage)

    failed = 0
    for levels in range(500, 960, 20):
        try:
            call(levels)
        except DepthError:
            failed += 1
        except RecursionError:
            break
    assert failed


def test_skipped_values_are_bounded() -> None:
    item = '{"o_bool":1}'
    text = f'{{"r_message":[{",".join([item] * 1000)}]}}'
    message, skipped = skipped_by(text)
    assert len(message.r_message) == 1000
    assert len(skipped) == MAX_WARNINGS
    assert skipped[3].path == "r_message[3].o_bool"


def test_texts_of_errors_are_bounded() -> None:
    long = "x" * 100_000
    for text in (
        f'{{"r_int32":["{long}"]}}',
        f'{{"o_bytes":"{long}="}}',
        f'{{"text_messages":{{"{long}":1}}}}',
    ):
        with pytest.raises(InvalidFieldError) as raised:
            json_to_message(text, Rich)
        assert len(str(raised.value)) < 500
        assert len(raised.value.path) < 500


def test_several_messages_end_with_the_first_error() -> None:
    found = iter_json_messages(b'{"o_int32":1}\n{"r_int32":2}', Rich)
    assert next(found)[0].o_int32 == 1
    with pytest.raises(InvalidFieldError):
        next(found)
    deep = iter_json_messages("{} " + "[" * 100_000, Rich)
    assert next(deep)[1] == 2
    with pytest.raises(ConversionError):
        next(deep)
    with pytest.raises(InvalidInputError):
        next(iter_json_messages(b"\xff", Rich))
    assert list(iter_json_messages(" ", Rich)) == []


def test_threads_may_make_plans_at_once() -> None:
    made = make_messages("threads", {"M": "optional M next = 1\nrepeated int32 n = 2"})
    text = '{"next":{"next":{"n":[1,2,3]}}}'
    found: list[Any] = []
    threads = [
        threading.Thread(target=lambda: found.append(json_to_message(text, made.M)))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [one.next.next.n[:] for one in found] == [[1, 2, 3]] * 8
