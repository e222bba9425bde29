"""MessageType: a class of protobuf messages; the methods that every call needs are looked up once.

Looking up a method of a message class costs upb as much as parsing a small message. So does
`IsInitialized`, which goes through all fields, although in most messages none can be missing.
"""

from __future__ import annotations

from typing import Any

from google.protobuf.message import Message


class MessageType:
    """How messages of one class become bytes, and bytes messages."""

    __slots__ = ("_from_string", "_serialize", "can_be_incomplete", "message_class")

    def __init__(self, message_class: type[Message]) -> None:
        self.message_class = message_class
        self.can_be_incomplete = can_be_incomplete(message_class.DESCRIPTOR)
        """Whether such a message may lack required fields."""
        self._serialize: Any = message_class.SerializePartialToString
        self._from_string: Any = message_class.FromString

    @property
    def full_name(self) -> str:
        return str(self.message_class.DESCRIPTOR.full_name)

    def has(self, message: object) -> bool:
        """Whether `message` is of this class."""
        return type(message) is self.message_class or isinstance(message, self.message_class)

    def is_complete(self, message: Message) -> bool:
        """Whether `message` has all required fields."""
        return not self.can_be_incomplete or message.IsInitialized()

    def serialize(self, message: Message) -> bytes:
        """The bytes of `message`, also of an incomplete one."""
        data: bytes = self._serialize(message)
        return data

    def parse(self, data: bytes | memoryview) -> Message:
        """The message in `data`, also an incomplete one; DecodeError if there is none.

        A view is not copied first: a large message would need twice as much new memory.
        """
        message: Message = self._from_string(data)
        return message

    def __repr__(self) -> str:
        return f"<MessageType {self.full_name}>"


def can_be_incomplete(descriptor: Any) -> bool:
    """Whether a message with this descriptor has required fields, or can hold such a message.

    Extensions are not examined: where there may be some, the answer is yes.
    """
    seen: set[str] = set()
    waiting = [descriptor]
    while waiting:
        found = waiting.pop()
        if found.full_name in seen:
            continue
        seen.add(found.full_name)
        if found.is_extendable:
            return True
        for field in found.fields:
            if _is_required(field):
                return True
            if field.message_type is not None:
                waiting.append(field.message_type)
    return False


def _is_required(field: Any) -> bool:
    told: bool | None = getattr(field, "is_required", None)
    # protobuf before 6 has the label alone, later ones warn of it, and the last ones lack it.
    return bool(field.label == field.LABEL_REQUIRED) if told is None else told
