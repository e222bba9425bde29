"""Command and data messages: AMF0 values in an RtmpMessage.

Types 17 and 15, "AMF3", are read as all peers write them: one 0 byte, then AMF0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from pybrpc.protocols.rtmp.amf0 import AmfError, AmfReader, decode, encode
from pybrpc.protocols.rtmp.message import (
    COMMAND,
    COMMAND_AMF3,
    DATA,
    DATA_AMF3,
    RtmpMessage,
)

MAX_COMMAND_VALUES = 1024
"""Values in a command, with those inside of others. Real ones have about twenty: each costs much
more memory than its bytes, and time."""

_SET_DATA_FRAME = encode("@setDataFrame")
_ON_META_DATA = encode("onMetaData")
_FROM_SERVERS = encode("|RtmpSampleAccess"), encode("onStatus")
_LARGEST_EXACT = 2**53


@dataclass(frozen=True, slots=True)
class Command:
    """A command, or the answer to one.

    `transaction_id` of an answer is that of the command; commands with 0 get no answer.
    `command_object` is the first value behind it, often None; `arguments` are all others.
    """

    name: str
    transaction_id: float = 0.0
    command_object: Any = None
    arguments: tuple[Any, ...] = ()

    def argument(self, index: int, default: Any = None) -> Any:
        """An argument that a peer may have left out."""
        return self.arguments[index] if index < len(self.arguments) else default

    def pack(self, stream_id: int = 0, timestamp: int = 0) -> RtmpMessage:
        """The command as a message. Errors are those of `amf0.encode`."""
        values = self.name, self.transaction_id, self.command_object, *self.arguments
        return RtmpMessage(COMMAND, encode(*values), stream_id, timestamp)


def parse_command(message: RtmpMessage) -> Command:
    """The command in a message of type COMMAND or COMMAND_AMF3; AmfError if there is none.

    A transaction id that is no finite number is read as 0, and a missing command object as None.
    """
    values = decode(_amf0_of(message), MAX_COMMAND_VALUES)
    if not values or not isinstance(values[0], str):
        raise AmfError("a command begins with its name")
    transaction_id = values[1] if len(values) > 1 else 0.0
    if not isinstance(transaction_id, float) or not math.isfinite(transaction_id):
        transaction_id = 0.0
    command_object = values[2] if len(values) > 2 else None
    return Command(values[0], transaction_id, command_object, tuple(values[3:]))


def pack_data(*values: Any, stream_id: int = 0, timestamp: int = 0) -> RtmpMessage:
    """A data message, such as `pack_data("onMetaData", EcmaArray(...))`."""
    return RtmpMessage(DATA, encode(*values), stream_id, timestamp)


def parse_data(message: RtmpMessage) -> list[Any]:
    """The values of a message of type DATA or DATA_AMF3; AmfError if it is malformed."""
    return decode(_amf0_of(message))


def stored_data(message: RtmpMessage) -> RtmpMessage:
    """A data message as players and FLV files get it: without "@setDataFrame", of type DATA.

    A publisher writes that name before the data that shall be kept for players, mostly onMetaData.
    """
    payload = _amf0_of(message).removeprefix(_SET_DATA_FRAME)
    if message.message_type == DATA and len(payload) == len(message.payload):
        return message
    return RtmpMessage(DATA, payload, message.stream_id, message.timestamp)


def published_data(message: RtmpMessage) -> RtmpMessage:
    """A data message as a publisher sends it: with "@setDataFrame" before onMetaData, at which
    servers keep it for players that come later."""
    if not message.payload.startswith(_ON_META_DATA):
        return message
    payload = _SET_DATA_FRAME + message.payload
    return RtmpMessage(DATA, payload, message.stream_id, message.timestamp)


def is_from_server(message: RtmpMessage) -> bool:
    """Whether a data message is none of the publisher: servers send it to each player."""
    return _amf0_of(message).startswith(_FROM_SERVERS)


def integer_of(value: Any, default: int = 0) -> int:
    """An AMF0 value that should be a number, cut to an integer.

    `default` for one that is none, is NaN or infinite: peers put names where numbers belong.
    Numbers beyond 2**53 become that.
    """
    if not isinstance(value, int | float) or not math.isfinite(value):
        return default
    return int(max(-_LARGEST_EXACT, min(value, _LARGEST_EXACT)))


def _amf0_of(message: RtmpMessage) -> bytes:
    payload = message.payload
    if message.message_type in (COMMAND_AMF3, DATA_AMF3) and payload.startswith(b"\x00"):
        return payload[1:]
    return payload


def first_text(message: RtmpMessage) -> str | None:
    """The name at the front of a command or data message, without the rest being parsed."""
    try:
        name = AmfReader(_amf0_of(message)[: 3 + 0xFFFF]).read()
    except AmfError:
        return None
    return name if isinstance(name, str) else None
