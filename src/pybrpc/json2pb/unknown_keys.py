"""Keys of JSON that no field has, which conversions ignore: for users who want to hear of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, TypeAlias

from pybrpc.json2pb import json_values, schema
from pybrpc.json2pb.errors import shown
from pybrpc.json2pb.json_values import JsonText
from pybrpc.json2pb.names import decode_name
from pybrpc.json2pb.paths import join
from pybrpc.json2pb.schema import ENTRY_VALUE, AnyDescriptor, AnyField

_KnownFields: TypeAlias = dict[str, dict[str, AnyField]]
"""The fields of each type that was met, by their names in JSON. Once for a type: a text may have a
hundred thousand messages of a type with hundreds of fields."""


class UnknownKey(NamedTuple):
    """A key that no field has.

    path     names it from the root, such as "content[1].titel"
    message  full name of the type that lacks it
    keys     those that the type has
    """

    path: str
    message: str
    keys: tuple[str, ...]


def find_unknown_key(data: JsonText, descriptor: AnyDescriptor) -> UnknownKey | None:
    """Find the first key of a JSON text that no field of the message type has, or of a type in it.

    `data` is a text that `json_to_message` takes; so the depth of it is bounded.
    """
    return _find(json_values.load_json(json_values.utf8_of(data)), descriptor, {})


def _find(value: Any, descriptor: AnyDescriptor, known: _KnownFields) -> UnknownKey | None:
    if not isinstance(value, dict):
        return None
    fields = known.get(descriptor.full_name)
    if fields is None:
        fields = {decode_name(field.name): field for field in schema.fields_of(descriptor)}
        known[descriptor.full_name] = fields
    for key, item in value.items():
        field = fields.get(key)
        if field is None:
            return UnknownKey(shown(key), descriptor.full_name, tuple(fields))
        for step, part, nested in _messages_in(field, item):
            found = _find(part, nested, known)
            if found is not None:
                return found._replace(path=join(f"{key}{step}", found.path))
    return None


def _messages_in(field: AnyField, item: Any) -> Iterator[tuple[str, Any, AnyDescriptor]]:
    """The messages in a value of `field`, each with its place in it and its type."""
    nested = field.message_type
    if nested is None:
        return
    if not schema.is_repeated(field):
        yield "", item, nested
    elif isinstance(item, dict):
        if schema.has_string_keys(field):
            of_value = nested.fields_by_name[ENTRY_VALUE]
            for key, part in item.items():
                for step, inner, inner_type in _messages_in(of_value, part):
                    yield f"[{shown(repr(key))}]{step}", inner, inner_type
    elif isinstance(item, list):
        for index, part in enumerate(item):
            yield f"[{index}]", part, nested
