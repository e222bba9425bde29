"""Commands and data messages, also those of peers that put the wrong values into them."""

from __future__ import annotations

import math
from typing import Any

import pytest

from pybrpc.protocols.rtmp.amf0 import AmfError, EcmaArray, encode
from pybrpc.protocols.rtmp.command import (
    MAX_COMMAND_VALUES,
    Command,
    first_text,
    integer_of,
    is_from_server,
    pack_data,
    parse_command,
    parse_data,
    stored_data,
)
from pybrpc.protocols.rtmp.message import COMMAND, COMMAND_AMF3, DATA, DATA_AMF3, RtmpMessage


def command_of(*values: Any) -> Command:
    return parse_command(RtmpMessage(COMMAND, encode(*values)))


def test_command_comes_back() -> None:
    command = Command("publish", 4.0, None, ("name", "live"))
    message = command.pack(stream_id=1, timestamp=7)
    assert message == RtmpMessage(COMMAND, encode("publish", 4, None, "name", "live"), 1, 7)
    assert parse_command(message) == command
    assert command.argument(1) == "live"
    assert command.argument(2, -1) == -1


def test_amf3_command_is_one_byte_and_amf0() -> None:
    for payload in (b"\x00" + encode("connect", 1, {}), encode("connect", 1, {})):
        assert parse_command(RtmpMessage(COMMAND_AMF3, payload)) == Command("connect", 1.0, {})


def test_values_that_are_missing_have_defaults() -> None:
    assert command_of("FCPublish") == Command("FCPublish", 0.0, None, ())


@pytest.mark.parametrize("transaction_id", [math.nan, math.inf, "4", None, {}])
def test_transaction_id_that_is_no_number_is_zero(transaction_id: Any) -> None:
    assert command_of("play", transaction_id, None, "s") == Command("play", 0.0, None, ("s",))


@pytest.mark.parametrize("payload", [b"", encode(1.0), b"\x02\x00\x07connect\x00", b"\x11"])
def test_command_without_a_name_or_a_whole_value_is_an_error(payload: bytes) -> None:
    with pytest.raises(AmfError):
        parse_command(RtmpMessage(COMMAND, payload))


@pytest.mark.parametrize(
    ("value", "integer"),
    [
        *((2.9, 2), (-2000.0, -2000), (True, 1), (7, 7)),
        *((math.nan, 5), (math.inf, 5), (-math.inf, 5), ("live", 5), (None, 5), ({}, 5)),
        *((1e300, 2**53), (-1e300, -(2**53))),
    ],
)
def test_numbers_are_read_tolerantly(value: Any, integer: int) -> None:
    assert integer_of(value, 5) == integer


def test_number_of_values_in_a_command_is_limited() -> None:
    few = [{}] * (MAX_COMMAND_VALUES - 2)
    assert len(command_of("play", 1.0, *few).arguments) == len(few) - 1
    with pytest.raises(AmfError, match="more than 1024 values"):
        command_of("play", 1.0, *few, None)


def test_data_comes_back() -> None:
    meta = EcmaArray(width=1280.0)
    message = pack_data("onMetaData", meta, stream_id=1)
    assert message.message_type == DATA
    assert parse_data(message) == ["onMetaData", meta]
    assert parse_data(RtmpMessage(DATA_AMF3, b"\x00" + message.payload)) == ["onMetaData", meta]


def test_stored_data_has_no_set_data_frame() -> None:
    stored = pack_data("onMetaData", {"a": 1.0}, stream_id=1, timestamp=3)
    sent = pack_data("@setDataFrame", "onMetaData", {"a": 1.0}, stream_id=1, timestamp=3)
    assert stored_data(sent) == stored
    assert stored_data(RtmpMessage(DATA_AMF3, b"\x00" + sent.payload, 1, 3)) == stored
    assert stored_data(stored) is stored


@pytest.mark.parametrize("is_amf3", [False, True])
def test_data_that_servers_send_to_each_player_is_none_of_the_publisher(is_amf3: bool) -> None:
    for values, is_theirs in [
        (("|RtmpSampleAccess", True, True), True),
        (("onStatus", {"code": "NetStream.Data.Start"}), True),
        (("onMetaData", {}), False),
        (("onStatusOfMine", {}), False),
    ]:
        message = pack_data(*values)
        if is_amf3:
            message = RtmpMessage(DATA_AMF3, b"\x00" + message.payload)
        assert is_from_server(message) is is_theirs


def test_first_text_is_the_name_alone() -> None:
    assert first_text(pack_data("onMetaData", {})) == "onMetaData"
    assert first_text(RtmpMessage(DATA, encode("onMetaData") + b"\xff")) == "onMetaData"
    assert first_text(RtmpMessage(DATA, encode(1))) is None
    assert first_text(RtmpMessage(DATA, b"\x02\x00")) is None
