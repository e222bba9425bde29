"""The cache of plans, and what is known of fields."""

from __future__ import annotations

from typing import Any

import pytest

from pybrpc.json2pb import JsonOptions, schema
from pybrpc.json2pb.options import DEFAULT
from tests.protos.json_messages import addressbook, maps, rich


def test_plan_is_made_once_for_a_type_and_options(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []
    cache = schema.PlanCache(lambda descriptor, _: made.append(descriptor) or len(made))  # type: ignore[func-returns-value]
    descriptor = addressbook.Person.DESCRIPTOR
    assert cache.plan_for(descriptor, DEFAULT) == cache.plan_for(descriptor, DEFAULT) == 1
    other = JsonOptions(pb_enum_as_number=True)
    assert cache.plan_for(descriptor, other) == cache.plan_for(descriptor, other) == 2


def test_oldest_plans_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "MAX_PLANS", 2)
    cache = schema.PlanCache(lambda descriptor, _: descriptor.name)
    for message in (addressbook.Person, rich.Inner, rich.Grouped):
        assert cache.plan_for(message.DESCRIPTOR, DEFAULT) == message.DESCRIPTOR.name
    assert len(cache) == 2


def test_extensions_come_first() -> None:
    names = [field.name for field in schema.fields_of(addressbook.Person.DESCRIPTOR)]
    assert names[:3] == ["hobby", "name", "id"]
    assert schema.extensions_of(rich.Inner.DESCRIPTOR) == []


def test_maps_are_told_from_lists_and_entries() -> None:
    fields = rich.Rich.DESCRIPTOR.fields_by_name
    assert schema.is_real_map(fields["text_ints"])
    assert schema.has_string_keys(fields["text_ints"])
    assert schema.is_real_map(fields["int_texts"])
    assert not schema.has_string_keys(fields["int_texts"])
    assert not schema.is_real_map(fields["r_message"])
    assert not schema.has_string_keys(fields["r_int32"])
    entries = maps.AddressIntMap.DESCRIPTOR.fields_by_name["numbers"]
    assert schema.has_string_keys(entries)
    assert not schema.is_real_map(entries)
    required = addressbook.Person.DESCRIPTOR.fields_by_name["id"]
    assert schema.is_required(required)
    assert not schema.is_repeated(required)


def test_labels_of_older_runtimes_are_understood() -> None:
    class Old:
        label = 3

    assert schema.is_repeated(Old())
    assert not schema.is_required(Old())
