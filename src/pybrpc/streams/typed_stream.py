"""TypedBase: the base of streams of protobuf messages of one class."""

from __future__ import annotations

from typing import Generic, TypeVar

from google.protobuf.message import DecodeError, Message

from pybrpc.base.checked_options import shown, shown_class
from pybrpc.errors import BadRequestError, BadResponseError

M = TypeVar("M", bound=Message)


class TypedBase(Generic[M]):
    """Turns messages into bytes, and back."""

    __slots__ = ("_message_class",)

    def __init__(self, message_class: type[M]) -> None:
        if not (isinstance(message_class, type) and issubclass(message_class, Message)):
            raise TypeError(
                f"of() takes a class of protobuf messages, not {shown_class(message_class)}"
            )
        self._message_class = message_class

    def bytes_of(self, message: M) -> bytes:
        """The bytes of `message`. BadRequestError if it is of another class, or incomplete."""
        if not isinstance(message, self._message_class):
            name = self._message_class.__name__
            raise BadRequestError(f"a message of this stream is a {name}, not {shown(message)}")
        try:
            return message.SerializeToString()
        except Exception as error:
            raise BadRequestError(f"Fail to serialize: {error}") from error

    def parsed(self, data: bytes) -> M:
        """The message in `data`. BadResponseError if it is none."""
        try:
            return self._message_class.FromString(data)
        except DecodeError as error:
            name = self._message_class.__name__
            raise BadResponseError(f"Fail to parse a {name} of {len(data)} bytes") from error
