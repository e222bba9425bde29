"""Message types, as conversions see them, and a cache for what they prepare for each."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Generic, TypeAlias, TypeVar

from google.protobuf.descriptor import FieldDescriptor

from pybrpc.json2pb.options import DEFAULT, JsonOptions

T = TypeVar("T")
AnyDescriptor: TypeAlias = Any
AnyField: TypeAlias = Any
"""`Any`: the descriptors of upb and of Python are no common type, and differ between releases."""

MAX_PLANS = 1024
"""Plans that a PlanCache keeps."""

ENTRY_KEY, ENTRY_VALUE = "key", "value"

INTEGER_TYPES = (
    FieldDescriptor.CPPTYPE_INT32,
    FieldDescriptor.CPPTYPE_UINT32,
    FieldDescriptor.CPPTYPE_INT64,
    FieldDescriptor.CPPTYPE_UINT64,
)


class PlanCache(Generic[T]):
    """The plans of descriptors and options; the oldest ones are forgotten and made again.

    Any thread may use it. A plan refers to its descriptor, and a descriptor to its pool: so the
    pools of some old message types stay in memory.
    """

    def __init__(self, make: Callable[[AnyDescriptor, JsonOptions], T]) -> None:
        self._make = make
        self._plans: dict[object, T] = {}
        self._lock = threading.Lock()

    def plan_for(self, descriptor: AnyDescriptor, options: JsonOptions) -> T:
        """Does not recurse into the types of fields: a plan asks for those when it needs them."""
        key = descriptor if options is DEFAULT else (descriptor, options)
        plan = self._plans.get(key)
        if plan is None:
            with self._lock:
                plan = self._plans.get(key) or self._make(descriptor, options)
                while len(self._plans) >= MAX_PLANS:
                    del self._plans[next(iter(self._plans))]
                self._plans[key] = plan
        return plan

    def __len__(self) -> int:
        return len(self._plans)


Fields: TypeAlias = list[AnyField]


def is_repeated(field: AnyField) -> bool:
    """Lists and maps."""
    if hasattr(field, "is_repeated"):
        return bool(field.is_repeated)
    return bool(field.label == FieldDescriptor.LABEL_REPEATED)  # before protobuf 6.31


def is_required(field: AnyField) -> bool:
    if hasattr(field, "is_required"):
        return bool(field.is_required)
    return bool(field.label == FieldDescriptor.LABEL_REQUIRED)


def extensions_of(descriptor: AnyDescriptor) -> Fields:
    """The extensions of a message type that its pool knows now, by number."""
    if not descriptor.is_extendable:
        return []
    found = descriptor.file.pool.FindAllExtensions(descriptor)
    return sorted(found, key=lambda extension: extension.number)


def fields_of(descriptor: AnyDescriptor) -> Fields:
    """All fields in bRPC's order: extensions by number, then fields as declared."""
    return [*extensions_of(descriptor), *descriptor.fields]


def is_map_entry(descriptor: AnyDescriptor) -> bool:
    """Whether it is the type of the entries of a map<...>."""
    return bool(descriptor.has_options and descriptor.GetOptions().map_entry)


def is_real_map(field: AnyField) -> bool:
    """Whether the field is a map<...>, which Python shows as a dictionary."""
    return field.message_type is not None and is_map_entry(field.message_type)


def has_string_keys(field: AnyField) -> bool:
    """Whether it is an object in JSON: map<string, ...>, or `repeated` of messages that have just a
    key, which is text, and a value (IsProtobufMap in json2pb/protobuf_map.cpp)."""
    entry = field.message_type
    if entry is None or not is_repeated(field) or len(entry.fields) != 2:
        return False
    if field.type != FieldDescriptor.TYPE_MESSAGE:
        return False
    key, value = entry.fields
    return (
        key.name == ENTRY_KEY
        and value.name == ENTRY_VALUE
        and not is_repeated(key)
        and key.type == FieldDescriptor.TYPE_STRING
    )
