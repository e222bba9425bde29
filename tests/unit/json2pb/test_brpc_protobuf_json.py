"""bRPC's tests of json2pb, one for each of test/brpc_protobuf_json_unittest.cpp, with its texts.

Left out: the eight that measure speed. Those of zero-copy streams are about an IOBuf here.
"""

from __future__ import annotations

import math
from typing import Any

import pytest

from pybrpc.iobuf import IOBuf
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
    message_to_json,
    message_to_proto_json,
    proto_json_to_message,
)
from pybrpc.json2pb.names import decode_name, encode_name
from tests.protos.json_messages import addressbook, contents, escaped, maps

Body: Any = contents.JsonContextBody
Person: Any = addressbook.Person
NUMBERS = (
    '"data":-240000000,"data32":6,"data64":-1820000000,"datadouble":123.456,'
    '"datafloat":8.612299919128418,"datau32":60,"datau64":960,"databool":false,"databyte":"%s",'
    '"datafix32":1,"datafix64":666,"datasfix32":120,"datasfix64":-802,'
    '"datafloat_scientific":123456792.0,"datadouble_scientific":123456789.0'
)
DEPTH = 140_000


def fill(person: Any, data: bytes) -> None:
    person.id = 100
    person.data, person.data32, person.data64 = -240000000, 6, -1820000000
    person.datadouble, person.datafloat = 123.456, 8.6123
    person.datadouble_scientific = person.datafloat_scientific = 1.23456789e08
    person.datau32, person.datau64, person.databool, person.databyte = 60, 960, False, data
    person.datafix32, person.datafix64, person.datasfix32, person.datasfix64 = 1, 666, 120, -802


def book(name: str, data: bytes) -> Any:
    found = addressbook.AddressBook()
    person = found.person.add(name=name, email="welcome@baidu.com")
    person.phone.add(number="number123", type=1)
    fill(person, data)
    return found


CONTENT = (
    '{"content":[{"distance":1,"unknown_member":2,"ext":'
    '{"age":1666666666, "databyte":"d2VsY29tZQ==", "enumtype":1},"uid":"someone"},'
    '{"distance":10,"unknown_member":20,"ext":{"age":1666666660, "databyte":"d2VsY29tZTA=",'
    '"enumtype":2},"uid":"someone0"}], "judge":false,"spur":2'
)
CONTENT_OUT = (
    '"judge":false,"spur":2.0,"content":[{"uid":"someone","distance":1.0,"ext":{"age":1666666666,'
    '"databyte":"d2VsY29tZQ==","enumtype":"HOME"}},{"uid":"someone0","distance":10.0,"ext":'
    '{"age":1666666660,"databyte":"d2VsY29tZTA=","enumtype":"WORK"}}]}'
)


def test_json_to_pb_normal_case() -> None:
    message = json_to_message(CONTENT + ', "data":[1,2,3,4,5,6,7,8,9,10]}', Body)
    expected = '{"data":[1,2,3,4,5,6,7,8,9,10],' + CONTENT_OUT
    assert message_to_json(message).decode() == expected


def test_json_base64_string_to_pb_types_case() -> None:
    message = json_to_message(CONTENT + "}", Body)
    assert [one.ext.databyte for one in message.content] == [b"welcome", b"welcome0"]
    assert message_to_json(message).decode() == "{" + CONTENT_OUT


MAPS = (
    '{"addr":"baidu.com","numbers":{"tel":123456,"cell":654321},'
    '"contacts":{"email":"frank@baidu.com",               "office":"Shanghai"},'
    '"friends":{"John":[{"school":"SJTU","year":2007}]}}'
)


def test_json_to_pb_map_case() -> None:
    assert json_to_message(MAPS, maps.AddressNoMap).addr == "baidu.com"
    numbers = json_to_message(MAPS, maps.AddressIntMap)
    assert [(one.key, one.value) for one in numbers.numbers] == [("tel", 123456), ("cell", 654321)]
    contacts = json_to_message(MAPS, maps.AddressStringMap).contacts
    assert [(one.key, one.value) for one in contacts] == [
        ("email", "frank@baidu.com"),
        ("office", "Shanghai"),
    ]
    (friend,) = json_to_message(MAPS, maps.AddressComplex).friends
    assert (friend.key, friend.value[0].school, friend.value[0].year) == ("John", "SJTU", 2007)
    entries = '[{"key":"tel","value":123456},{"key":"cell","value":654321}]'
    old = f'{{"addr":"baidu.com","numbers":{entries}}}'
    assert json_to_message(old, maps.AddressIntMap) == numbers


ESCAPED = (
    '"judge":false,"spur":2.0,"@Content_Test%@":[{"uid*":"welcome","Distance_info_":1.0,'
    '"_ext%T_":{"Aa_ge(":1666666666,"databyte(std::string)":"d2VsY29tZQ==","enum--type":"HOME"}}]}'
)


def test_json_to_pb_encode_decode() -> None:
    text = (
        '{"@Content_Test%@":[{"Distance_info_":1,  "_ext%T_":{"Aa_ge(":1666666666, '
        '"databyte(std::string)":  "d2VsY29tZQ==", "enum--type":"HOME"},"uid*":"welcome"}], '
        '"judge":false, "spur":2, "data:array":[]}'
    )
    assert message_to_json(json_to_message(text, escaped.Body)).decode() == "{" + ESCAPED


EVERY_CHARACTER = "".join(map(chr, range(1, 256))) * 1024
"""bRPC has every byte instead, which is no UTF-8, and so no JSON."""


def test_json_to_pb_unicode_case() -> None:
    message = book(EVERY_CHARACTER, b"welcome to china")
    text = message_to_json(message)
    again = json_to_message(text, addressbook.AddressBook)
    assert (again, message_to_json(again)) == (message, text)
    buffer = IOBuf(text)
    assert json_to_message(bytes(buffer), addressbook.AddressBook) == message


@pytest.mark.parametrize(
    ("spur", "number"),
    [
        ("2.0e1", 20.0),
        ("-2", -2.0),
        ('"NaN"', math.nan),
        ('"Infinity"', math.inf),
        ('"-inFiNITY"', -math.inf),
    ],
)
def test_json_to_pb_edge_case(spur: str, number: float) -> None:
    text = f'{{"judge":false, "spur":{spur}, "data":[], "info":[],"content":[]}}'
    message = json_to_message(text, Body)
    assert message.spur == number or (math.isnan(number) and math.isnan(message.spur))
    assert json_to_message(message_to_json(message), Body).judge is False


def test_json_to_pb_edge_case_of_enum_by_name() -> None:
    text = (
        '{"judge":false, "spur":2.0, "content":[{"distance":2.5, '
        '"ext":{"databyte":"d2VsY29tZQ==", "enumtype":"MOBILE"}}]}'
    )
    message = json_to_message(text, Body)
    assert message.content[0].ext.HasField("enumtype")
    assert message.content[0].ext.enumtype == 0
    assert json_to_message(message_to_json(message), Body) == message


INVALID_ENUM = "Invalid value `%s' for optional field `Ext.enumtype' which SHOULD be enum"


@pytest.mark.parametrize(
    ("enum", "rest", "texts"),
    [
        ('"Test"', '"data":[1,2]', [INVALID_ENUM % '"Test"']),
        ("15", '"data":[1,2]', [INVALID_ENUM % "15"]),
        (
            "15",
            '"type":["123"]',
            [
                "Invalid value `array' for optional field `JsonContextBody.type' which SHOULD be "
                "INT64",
                INVALID_ENUM % "15",
            ],
        ),
    ],
)
def test_json_to_pb_edge_case_of_skipped_values(enum: str, rest: str, texts: list[str]) -> None:
    text = CONTENT.replace('"enumtype":2', f'"enumtype":{enum}') + f", {rest}}}"
    skipped: list[SkippedValue] = []
    message = json_to_message(text, Body, skipped=skipped)
    assert [one.text for one in skipped] == texts
    assert skipped[-1].path == "content[1].ext.enumtype"
    assert not message.content[1].ext.HasField("enumtype")


OK_CONTENT = '{"distance":1,"ext":{"databyte":"d2VsY29tZQ==", "enumtype":1},"uid":"someone"}'


@pytest.mark.parametrize(
    ("text", "kind", "path", "expected"),
    [
        (
            '{"content":[{"unknown_member":2,"uid":"someone"}],"judge":false,"spur":2}',
            MissingFieldError,
            "content[0].distance",
            "Missing required field: Content.distance",
        ),
        (
            '{"content":[{"distance":1,"ext":{"enumtype":1}}],"judge":false, "spur":2}',
            MissingFieldError,
            "content[0].ext.databyte",
            "Missing required field: Ext.databyte",
        ),
        (
            f'{{"content":[{OK_CONTENT}], "spur":2, "data":[1,2]}}',
            MissingFieldError,
            "judge",
            "Missing required field: JsonContextBody.judge",
        ),
        (
            f'{{"content":[{OK_CONTENT}], "judge":"false","spur":2, "data":[1,2]}}',
            InvalidFieldError,
            "judge",
            "Invalid value `\"false\"' for field `JsonContextBody.judge' which SHOULD be BOOL",
        ),
        (
            f'{{"content":[{OK_CONTENT}], "judge":false,"spur":2, "data":["1","2"]}}',
            InvalidFieldError,
            "data[0]",
            "Invalid value `\"1\"' for field `JsonContextBody.data' which SHOULD be INT32",
        ),
        (
            f'{{"content":[{OK_CONTENT}], "judge":false,"spur":2, "data":[1,2], "info":2}}',
            InvalidFieldError,
            "info",
            "Invalid value for repeated field: JsonContextBody.info",
        ),
        (
            '{"judge":false, "spur":"NaNa"}',
            InvalidFieldError,
            "spur",
            "Invalid value `\"NaNa\"' for field `JsonContextBody.spur' which SHOULD be d",
        ),
        (
            '{"judge":false, "spur":"Infinty"}',
            InvalidFieldError,
            "spur",
            "Invalid value `\"Infinty\"' for field `JsonContextBody.spur' which SHOULD be d",
        ),
        (
            '{"content":[{"distance":1,"ext":{"age":1666666666,"enumtype":1},"uid":23}],'
            '"judge":false,"spur":2}',
            MissingFieldError,
            "content[0].ext.databyte",
            "Invalid value `23' for optional field `Content.uid' which SHOULD be string, "
            "Missing required field: Ext.databyte",
        ),
    ],
)
def test_json_to_pb_expected_failed_case(
    text: str, kind: type[ConversionError], path: str, expected: str
) -> None:
    with pytest.raises(ConversionError) as raised:
        json_to_message(text, Body)
    assert (str(raised.value), type(raised.value)) == (expected, kind)
    assert raised.value.path == path


def test_json_to_pb_unbounded_recursion() -> None:
    text = '{"child":' * DEPTH + '{"data":"leaf"}' + "}" * DEPTH
    with pytest.raises(DepthError) as raised:
        json_to_message(text, contents.RecursiveMessage)
    assert str(raised.value) == "Exceeded maximum recursion depth [RecursiveMessage]"
    with pytest.raises(DepthError, match="recursion"):
        proto_json_to_message(text, contents.RecursiveMessage)


def nested(depth: int) -> Any:
    message = current = contents.RecursiveMessage()
    for _ in range(depth):
        current = current.child
    current.data = "leaf"
    return message


def test_pb_to_json_unbounded_recursion() -> None:
    message = nested(101)
    for convert in (message_to_json, message_to_proto_json):
        with pytest.raises(DepthError) as raised:
            convert(message)
        assert str(raised.value) == "Exceeded maximum recursion depth"


def test_pb_parse_unbounded_recursion() -> None:
    message = nested(99)
    text = message_to_json(message)
    assert json_to_message(text, contents.RecursiveMessage) == message
    assert json_to_message(message_to_json(nested(100)), contents.RecursiveMessage) == nested(100)


@pytest.mark.parametrize(("as_number", "type_text"), [(False, '"HOME"'), (True, "1")])
def test_pb_to_json_normal_case(as_number: bool, type_text: str) -> None:
    message = book("baidu", b"welcome")
    text = message_to_json(message, JsonOptions(pb_enum_as_number=as_number)).decode()
    assert text == (
        '{"person":[{"name":"baidu","id":100,"email":"welcome@baidu.com",'
        f'"phone":[{{"number":"number123","type":{type_text}}}],'
        f"{NUMBERS % 'd2VsY29tZQ=='}}}]}}"
    )
    assert json_to_message(text, addressbook.AddressBook) == message


def test_pb_to_json_map_case() -> None:
    assert message_to_json(json_to_message(MAPS, maps.AddressNoMap)) == b'{"addr":"baidu.com"}'
    assert message_to_json(json_to_message(MAPS, maps.AddressIntMap)) == (
        b'{"addr":"baidu.com","numbers":{"tel":123456,"cell":654321}}'
    )
    assert message_to_json(json_to_message(MAPS, maps.AddressStringMap)) == (
        b'{"addr":"baidu.com","contacts":{"email":"frank@baidu.com","office":"Shanghai"}}'
    )
    assert message_to_json(json_to_message(MAPS, maps.AddressComplex)) == (
        b'{"addr":"baidu.com","friends":{"John":[{"school":"SJTU","year":2007}]}}'
    )


def escaped_body() -> Any:
    body = escaped.Body(info=["this is json data's info", "this is a test"], type=80000)
    body.data_Z058_array.extend([200, 300])
    body.judge, body.spur = True, 3.45
    content = body._Z064_Content_Test_Z037__Z064_.add(
        uid_Z042_="content info", Distance_info_=1234.56
    )
    ext = content._ext_Z037_T_
    ext.Aa_ge_Z040_, ext.enum_Z045__Z045_type = 160000, 2
    ext.databyte_Z040_std_Z058__Z058_string_Z041_ = b"databyte"
    return body


def test_pb_to_json_encode_decode() -> None:
    body = escaped_body()
    text = message_to_json(body).decode()
    assert text == (
        '{"info":["this is json data\'s info","this is a test"],"type":80000,'
        '"data:array":[200,300],"judge":true,"spur":3.45,"@Content_Test%@":[{"uid*":"content info",'
        '"Distance_info_":1234.56005859375,"_ext%T_":{"Aa_ge(":160000,'
        '"databyte(std::string)":"ZGF0YWJ5dGU=","enum--type":"WORK"}}]}'
    )
    assert json_to_message(text, escaped.Body) == body
    message = escaped.AddressBook()
    message.person.add(name="foo", id=1).json_body.CopyFrom(body)
    as_array, takes_array = (
        JsonOptions(single_repeated_to_array=True),
        JsonOptions(array_to_single_repeated=True),
    )
    array = message_to_json(message, as_array).decode()
    assert array == f'[{{"name":"foo","id":1,"json_body":{text}}}]'
    assert json_to_message(array, escaped.AddressBook, takes_array) == message
    assert message_to_json(message).decode() == f'{{"person":{array}}}'
    assert json_to_message(message_to_json(message), escaped.AddressBook, takes_array) == message


@pytest.mark.parametrize("as_number", [False, True])
@pytest.mark.parametrize("as_base64", [False, True])
def test_pb_to_json_control_char_case(as_base64: bool, as_number: bool) -> None:
    message = book("baidu \x01test\x08\x1aend", b"welcome to china")
    options = JsonOptions(pb_bytes_to_base64=as_base64, pb_enum_as_number=as_number)
    text = message_to_json(message, options).decode()
    type_text = "1" if as_number else '"HOME"'
    data = "d2VsY29tZSB0byBjaGluYQ==" if as_base64 else "welcome to china"
    assert text == (
        '{"person":[{"name":"baidu \\u0001test\\b\\u001Aend","id":100,"email":"welcome@baidu.com",'
        f'"phone":[{{"number":"number123","type":{type_text}}}],'
        f"{NUMBERS % data}}}]}}"
    )
    assert json_to_message(text, addressbook.AddressBook, options) == message


def test_pb_to_json_unicode_case() -> None:
    message = book(EVERY_CHARACTER, b"welcome to china")
    text = message_to_json(message)
    assert bytes(IOBuf(text)) == text
    assert json_to_message(text, addressbook.AddressBook) == message


def test_pb_to_json_edge_case() -> None:
    message = addressbook.AddressBook()
    assert message_to_json(message) == b"{}"
    person = message.person.add(id=100, name="baidu", datadouble=-345.67, datafloat=8.6123)
    person.phone.add(number="1234556")
    assert json_to_message(message_to_json(message), addressbook.AddressBook) == message


@pytest.mark.parametrize(
    ("fields", "missing"),
    [
        ({"name": "baidu"}, "id"),
        ({"id": 2}, "name"),
        ({"id": 2, "name": "name"}, "datadouble"),
    ],
)
def test_pb_to_json_expected_failed_case(fields: dict[str, Any], missing: str) -> None:
    message = addressbook.AddressBook()
    message.person.add(email="welcome@baidu.com", **fields)
    with pytest.raises(MissingFieldError) as raised:
        message_to_json(message)
    assert str(raised.value) == f"Missing required field: addressbook.Person.{missing}"
    assert raised.value.path == f"person[0].{missing}"


def test_encode_decode_case() -> None:
    for plain in ("abcdek123lske_slkejfl_l1kdle", ""):
        assert encode_name(plain) == decode_name(plain) == plain
    for key, name in (
        ("_Afledk2e*_+%leGi___hE_Z278_t#", "_Afledk2e_Z042___Z043__Z037_leGi___hE_Z278_t_Z035_"),
        ("_ext%T_", "_ext_Z037_T_"),
    ):
        assert encode_name(key) == name
        assert decode_name(name) == key


PERSON = b'{"name":"hello","id":9,"datadouble":2.2,"datafloat":1.0}'


def test_json_to_zero_copy_stream_normal_case() -> None:
    buffer = IOBuf()
    buffer.append(message_to_json(Person(name="hello", id=9, datadouble=2.2, datafloat=1)))
    assert bytes(buffer) == PERSON


def test_zero_copy_stream_to_json_normal_case() -> None:
    person = json_to_message(bytes(IOBuf(PERSON)), Person)
    assert person == Person(name="hello", id=9, datadouble=2.2, datafloat=1)


def test_extension_case() -> None:
    text = PERSON[:-1] + b',"hobby":"coding"}'
    person = json_to_message(text, Person)
    hobby = addressbook.pool.FindExtensionByName("addressbook.hobby")
    assert person.Extensions[hobby] == "coding"
    assert message_to_json(person) == b'{"hobby":"coding",' + PERSON[1:]


@pytest.mark.parametrize(("data", "number"), [('"123456"', 123456), ("1234567", 1234567)])
def test_string_to_int64(data: str, number: int) -> None:
    text = f'{{"name":"hello", "id":9, "data": {data}, "datadouble":2.2, "datafloat":1.0}}'
    assert json_to_message(text, Person).data == number


def test_parse_multiple_json() -> None:
    expected = [("tom", 33, 1.0), ("bob", 12, 2.0), ("jerry", 2432, 3.0), ("lucy", 435, 4.0)]
    texts = [f' {{ "name":"{n}", "id":{i}, "datadouble":{d} }} ' for n, i, d in expected]
    found = list(iter_json_messages("".join(texts), Person))
    assert [(one.name, one.id, one.datadouble) for one, _ in found] == expected
    lengths = [sum(map(len, texts[: index + 1])) - 1 for index in range(4)]
    assert [end for _, end in found] == lengths


def test_parse_multiple_json_error() -> None:
    text = ' { "name":"tom", "id":323, "datadouble":3.2 }  abc '
    found = iter_json_messages(text, Person)
    person, end = next(found)
    assert (person.name, person.id, person.datadouble, end) == ("tom", 323, 3.2, 45)
    with pytest.raises(InvalidInputError) as raised:
        next(found)
    assert str(raised.value) == "Invalid json: Invalid value. [Person]"
    assert raised.value.offset == 47


def test_proto_json_to_pb() -> None:
    entries = '{"addr":"baidu.com","numbers":[{"key":"tel","value":123456}]}'
    with pytest.raises(ConversionError):
        proto_json_to_message(entries, maps.AddressIntMapStd)
    text = '{"addr":"baidu.com","numbers":{"tel":123456,"cell":654321}}'
    message = proto_json_to_message(text, maps.AddressIntMapStd)
    assert (message.addr, dict(message.numbers)) == ("baidu.com", {"tel": 123456, "cell": 654321})
    text = '{"addr":"baidu.com","contacts":{"email":"frank@apache.org","office":"Shanghai"}}'
    contacts = proto_json_to_message(text, maps.AddressStringMapStd).contacts
    assert dict(contacts) == {"email": "frank@apache.org", "office": "Shanghai"}


@pytest.mark.parametrize("convert", [message_to_json, message_to_proto_json])
def test_pb_to_proto_json(convert: Any) -> None:
    numbers = maps.AddressIntMapStd(addr="baidu.com", numbers={"tel": 123456, "cell": 654321})
    text = convert(numbers).decode().replace(" ", "")
    for part in ('"addr":"baidu.com"', '"cell":654321', '"tel":123456'):
        assert part in text
    contacts = maps.AddressStringMapStd(addr="baidu.com", contacts={"office": "Shanghai"})
    text = convert(contacts).decode().replace(" ", "")
    assert text == '{"addr":"baidu.com","contacts":{"office":"Shanghai"}}'
