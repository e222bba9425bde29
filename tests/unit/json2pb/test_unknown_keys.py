"""Keys of JSON that no field has."""

from __future__ import annotations

import json

import pytest
from google.protobuf.message import Message

from pybrpc.json2pb import json_to_message, schema
from pybrpc.json2pb.schema import AnyDescriptor, AnyField
from pybrpc.json2pb.unknown_keys import UnknownKey, find_unknown_key
from tests.protos.json_messages import addressbook, contents, escaped, maps, rich

PERSON = {"name": "a", "id": 1, "datadouble": 1.0}


def unknown_in(value: object, message_class: type[Message]) -> UnknownKey | None:
    """Look for an unknown key in a value that bRPC's rules take."""
    text = json.dumps(value)
    json_to_message(text, message_class)
    return find_unknown_key(text, message_class.DESCRIPTOR)


@pytest.mark.parametrize(
    ("value", "message_class"),
    [
        ({}, contents.RecursiveMessage),
        ({**PERSON, "hobby": "chess"}, addressbook.Person),  # an extension
        ({"person": [{**PERSON, "phone": [{"number": "1"}]}]}, addressbook.AddressBook),
        ({"grouped": {"a": 1}, "extra_message": {"id": 1}}, rich.Rich),
        ({"uint_messages": [{"key": 1, "value": {"o_int32": 1}}]}, rich.Rich),
        ({"name": None, "json_body": {"judge": True, "data:array": [1]}}, escaped.Person),
        ({"addr": "a", "numbers": {"any key": 1}}, maps.AddressIntMap),
        ({"addr": "a", "numbers": {"any key": 1}}, maps.AddressIntMapStd),
        ({"addr": "a", "numbers": [{"key": "k", "value": 1}]}, maps.AddressIntMap),
    ],
)
def test_nothing_is_unknown_in_what_fields_have(
    value: object, message_class: type[Message]
) -> None:
    assert unknown_in(value, message_class) is None


@pytest.mark.parametrize(
    ("value", "message_class", "path", "message"),
    [
        ({"titel": 1}, contents.RecursiveMessage, "titel", "RecursiveMessage"),
        ({"titel": None}, contents.RecursiveMessage, "titel", "RecursiveMessage"),
        (
            {"child": {"child": {"x": {}}}},
            contents.RecursiveMessage,
            "child.child.x",
            "RecursiveMessage",
        ),
        (
            {"person": [PERSON, {**PERSON, "phone": [{"number": "1", "typ": 1}]}]},
            addressbook.AddressBook,
            "person[1].phone[0].typ",
            "addressbook.Person.PhoneNumber",
        ),
        (
            {"json_body": {"judge": True, "data_Z058_array": []}},
            escaped.Person,
            "json_body.data_Z058_array",
            "escaped.Body",
        ),
        (
            {"addr": "a", "friends": {"k": [{"school": "s", "year": 1, "city": 2}]}},
            maps.AddressComplex,
            "friends['k'][0].city",
            "AddressComplex.FriendEntry.Education",
        ),
        (
            {"addr": "a", "numbers": [{"key": "k", "value": 1, "more": 2}]},
            maps.AddressIntMap,
            "numbers[0].more",
            "AddressIntMap.MapFieldEntry",
        ),
    ],
)
def test_key_that_no_field_has_is_found(
    value: object, message_class: type[Message], path: str, message: str
) -> None:
    found = unknown_in(value, message_class)
    assert found is not None
    assert (found.path, found.message) == (path, message)
    assert found.path.rpartition(".")[2] not in found.keys


def test_deep_input_is_no_problem() -> None:
    value: dict[str, object] = {"x": 1}
    for _ in range(100):
        value = {"child": value}
    found = unknown_in(value, contents.RecursiveMessage)
    assert found is not None
    assert found.path == "child." * 100 + "x"
    assert found.keys == ("child", "data")


def test_long_key_is_shown_in_part() -> None:
    found = unknown_in({"k" * 1000: 1}, contents.RecursiveMessage)
    assert found is not None
    assert found.path == "k" * 200 + "..."


def test_fields_of_a_type_are_listed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the time is that of all messages times all fields."""
    listed: list[str] = []
    fields_of = schema.fields_of

    def noted(descriptor: AnyDescriptor) -> list[AnyField]:
        listed.append(descriptor.full_name)
        return fields_of(descriptor)

    text = json.dumps({"person": [{**PERSON, "phone": [{"number": "1"}] * 2}] * 2})
    monkeypatch.setattr(schema, "fields_of", noted)
    assert find_unknown_key(text, addressbook.AddressBook.DESCRIPTOR) is None
    assert sorted(listed) == sorted(set(listed))
    assert len(listed) == 3
