"""Checks of whole messages: required fields, and how deeply messages are nested."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from google.protobuf.message import Message

from pybrpc.json2pb import schema
from pybrpc.json2pb.errors import MissingFieldError
from pybrpc.json2pb.paths import join


def check_required(message: Message) -> None:
    """MissingFieldError for one of the required fields that are missing, if there is any."""
    if message.IsInitialized():
        return
    parts: list[tuple[str, Any]] = [("", message)]
    while parts:
        path, part = parts.pop()
        for field in part.DESCRIPTOR.fields:
            if schema.is_required(field) and not part.HasField(field.name):
                text = f"Missing required field: {field.full_name}"
                raise MissingFieldError(text, join(path, field.name))
        parts += [(join(path, step), inner) for step, inner in _parts_of(part)]


def is_deeper(message: Message, levels: int) -> bool:
    """Whether `message` has messages more than `levels` levels below it. Does not recurse."""
    level: list[Any] = [message]
    for _ in range(levels + 1):
        level = [inner for part in level for _, inner in _parts_of(part)]
        if not level:
            return False
    return True


def _parts_of(message: Any) -> Iterator[tuple[str, Any]]:
    """The messages in `message`, each with its path."""
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        if not schema.is_repeated(field):
            yield field.name, value
        elif not schema.is_real_map(field):
            yield from ((f"{field.name}[{index}]", part) for index, part in enumerate(value))
        elif field.message_type.fields_by_name[schema.ENTRY_VALUE].message_type is not None:
            yield from ((f"{field.name}[{key!r}]", part) for key, part in value.items())
