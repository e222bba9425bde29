from __future__ import annotations

import pytest

from pybrpc.protocols.detect import BAIDU_STD
from pybrpc.protocols.message import OversizedMessage, RpcRequest
from pybrpc.protocols.protocol import ParseLimits
from pybrpc.transport.socket.message_cutter import MessageCutter


def frame(number: int, size: int = 10) -> bytes:
    return bytes(BAIDU_STD.pack_request(RpcRequest(number, "service", "method", bytes(size))))


def numbers_of(messages: list[object]) -> list[int]:
    return [message.correlation_id for message in messages]  # type: ignore[attr-defined]


def test_cutter_cuts_complete_messages_and_keeps_the_rest() -> None:
    cutter = MessageCutter()
    cutter.buffer.append(frame(1) + frame(2) + frame(3)[:-1])
    assert numbers_of(cutter.cut()) == [1, 2]
    assert len(cutter.buffer) == len(frame(3)) - 1
    cutter.buffer.append(frame(3)[-1:])
    assert numbers_of(cutter.cut()) == [3]
    assert not cutter.buffer


def test_cutter_takes_a_byte_at_a_time() -> None:
    cutter = MessageCutter()
    found: list[int] = []
    for byte in frame(1) + frame(2):
        cutter.buffer.append(bytes([byte]))
        found += numbers_of(cutter.cut())
    assert found == [1, 2]


def test_first_message_decides_the_protocol() -> None:
    cutter = MessageCutter()
    assert cutter.protocol is None
    cutter.buffer.append(frame(1))
    cutter.cut()
    assert cutter.protocol is BAIDU_STD


@pytest.mark.parametrize("before", [b"", frame(1)])
def test_garbage_breaks_the_cutter_for_good(before: bytes) -> None:
    cutter = MessageCutter()
    cutter.buffer.append(before + b"no frame at all")
    assert len(cutter.cut()) == bool(before)
    assert cutter.broken is not None
    assert "no frame at all" in cutter.broken.reason
    cutter.buffer.append(frame(2))
    assert cutter.cut() == []


def test_oversized_message_is_handed_on_and_breaks_the_cutter() -> None:
    cutter = MessageCutter(ParseLimits(max_body_size=200))
    cutter.buffer.append(frame(1) + frame(2, 1000))
    first, oversized = cutter.cut()
    assert isinstance(first, RpcRequest)
    assert isinstance(oversized, OversizedMessage)
    assert cutter.broken is not None
    assert "larger than max_body_size=200" in cutter.broken.reason
    assert not cutter.buffer


def test_bytes_wanted_is_what_the_message_at_the_front_lacks() -> None:
    cutter = MessageCutter(protocol=BAIDU_STD)
    assert cutter.bytes_wanted() == 0
    cutter.buffer.append(frame(1, 100_000)[:5000])
    cutter.cut()
    assert cutter.bytes_wanted() == len(frame(1, 100_000)) - 5000


def test_discarded_message_wants_no_bytes() -> None:
    cutter = MessageCutter(protocol=BAIDU_STD)
    cutter.buffer.append(frame(1, 300_000)[:5000])
    cutter.cut()
    assert cutter.bytes_wanted() == len(frame(1, 300_000)) - 5000
    cutter.buffer.clear()
    assert cutter.bytes_wanted() == 0


def test_large_message_comes_in_parts_and_another_one_behind_it() -> None:
    cutter = MessageCutter(protocol=BAIDU_STD)
    data = frame(1, 300_000) + frame(2, 10) + frame(3, 300_000)
    found: list[object] = []
    for start in range(0, len(data), 50_000):
        cutter.buffer.append(data[start : start + 50_000])
        found += cutter.cut()
    assert numbers_of(found) == [1, 2, 3]
    assert not cutter.buffer
    assert cutter.bytes_wanted() == 0
