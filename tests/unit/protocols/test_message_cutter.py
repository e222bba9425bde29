from __future__ import annotations

from typing import Any

import pytest

from pybrpc.base.guard import UserCodeError
from pybrpc.protocols.baidu_std import BAIDU_STD
from pybrpc.protocols.hulu import HULU_PBRPC
from pybrpc.protocols.hulu.schema import HuluRpcRequestMeta
from pybrpc.protocols.message import BadMessage, OversizedMessage, RpcRequest, RpcResponse
from pybrpc.protocols.message_cutter import MessageCutter
from pybrpc.protocols.protocol import ParseLimits
from pybrpc.protocols.sofa import SOFA_PBRPC
from pybrpc.protocols.streaming.stream_frame import (
    data_meta,
    pack_close,
    pack_data,
    pack_feedback,
    pack_rst,
)
from pybrpc.testing.check_session import check_session
from tests.peers.line_protocols import JSON_LINES, JsonLines, PlainLines


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


@pytest.mark.parametrize("piece", [1, 7, 1000, 5000])
def test_oversized_message_is_skipped_if_it_is_not_too_long(piece: int) -> None:
    cutter = MessageCutter(ParseLimits(max_body_size=200), max_skipped_bytes=2000)
    data = bytes(frame(1) + frame(2, 1000) + frame(3) + frame(4, 1500) + frame(5))
    found = []
    for start in range(0, len(data), piece):
        cutter.buffer.append(data[start : start + piece])
        found += cutter.cut()
        assert len(cutter.buffer) < 200 + piece
    assert [message.correlation_id for message in found] == [1, 2, 3, 4, 5]
    for message in (found[1], found[3]):
        assert isinstance(message, OversizedMessage)
        assert message.is_skipped
    assert cutter.broken is None


def test_rest_of_a_skipped_message_is_wanted() -> None:
    cutter = MessageCutter(ParseLimits(max_body_size=200), max_skipped_bytes=2000)
    whole = frame(2, 1000)
    cutter.buffer.append(whole[:500])
    (oversized,) = cutter.cut()
    assert isinstance(oversized, OversizedMessage)
    assert cutter.bytes_wanted() == len(whole) - 500
    cutter.buffer.append(whole[500:])
    assert cutter.cut() == []
    assert (cutter.bytes_wanted(), len(cutter.buffer)) == (0, 0)


def test_oversized_message_that_is_too_long_to_be_skipped_breaks_the_cutter() -> None:
    cutter = MessageCutter(ParseLimits(max_body_size=200), max_skipped_bytes=900)
    cutter.buffer.append(frame(2, 1000))
    (oversized,) = cutter.cut()
    assert isinstance(oversized, OversizedMessage)
    assert not oversized.is_skipped
    assert cutter.broken is not None


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


class Companion(JsonLines):
    @property
    def name(self) -> str:
        return "companion"


class WithCompanion(PlainLines):
    is_ordered = False
    companions = (Companion(),)


def test_frames_of_several_protocols_are_cut_and_each_has_its_packer() -> None:
    cutter = MessageCutter(protocols=(BAIDU_STD, JSON_LINES))
    other = bytes(JSON_LINES.pack_request(RpcRequest(2, "a.B", "C")))
    cutter.buffer.append(frame(1) + other + frame(3) + other[:-1])
    found: list[Any] = cutter.cut()
    assert [each.packer for each in found] == [None, JSON_LINES, None]
    assert cutter.protocol is BAIDU_STD
    cutter.buffer.append(other[-1:])
    assert [each.packer for each in cutter.cut()] == [JSON_LINES]  # type: ignore[union-attr]


def test_oversized_and_bad_messages_of_another_protocol_have_their_packer_too() -> None:
    large = RpcRequest(2, "S", "M", bytes(1000))
    for protocol in (HULU_PBRPC, SOFA_PBRPC):
        cutter = MessageCutter(ParseLimits(max_body_size=300), (BAIDU_STD, protocol))
        cutter.buffer.append(frame(1) + bytes(protocol.pack_request(large)))
        _, oversized = cutter.cut()
        assert isinstance(oversized, OversizedMessage)
        assert oversized.packer is protocol
    cutter = MessageCutter(protocols=(BAIDU_STD, HULU_PBRPC))
    meta = HuluRpcRequestMeta(
        service_name=b"S", method_index=0, correlation_id=2, user_message_size=9
    ).SerializeToString()
    header = HULU_PBRPC.pack_header(len(meta), 0)
    cutter.buffer.append(frame(1) + header + meta)
    _, bad = cutter.cut()
    assert isinstance(bad, BadMessage)
    assert bad.packer is HULU_PBRPC


def test_companion_comes_only_on_a_connection_that_another_protocol_has_begun() -> None:
    protocol = WithCompanion()
    first = bytes(protocol.pack_request(RpcRequest(0, "a.B", "C")))
    other = bytes(JSON_LINES.pack_response(RpcResponse(7)))
    for cutter in (MessageCutter(protocols=(protocol,)), MessageCutter(protocol=protocol)):
        cutter.buffer.append(first + other + first)
        assert numbers_of(cutter.cut()) == [0, 7, 0]
    cutter = MessageCutter(protocols=(protocol,))
    cutter.buffer.append(other + first)
    assert cutter.cut() == []
    assert cutter.broken is not None


STREAM_FRAMES = b"".join(
    [
        bytes(pack_data(data_meta(1, 2), b"message")),
        bytes(pack_data(data_meta(1, 2, True), b"")),
        pack_feedback(1, 2, 7),
        pack_close(1, 2),
        pack_rst(1),
    ]
)


def test_connection_with_frames_of_streams_passes_the_checks_of_every_session() -> None:
    answer = bytes(BAIDU_STD.pack_response(RpcResponse(1)))
    for first, limits in ((frame(1), {}), (answer, {"max_skipped_bytes": 1000})):
        stream = first + STREAM_FRAMES + first + STREAM_FRAMES
        found = check_session(
            lambda given, limits=limits: MessageCutter(given, protocol=BAIDU_STD, **limits), stream
        )
        assert len(found) == 12


def test_connection_of_several_protocols_passes_the_checks_of_every_session() -> None:
    request = RpcRequest(2, "S", "M", b"body", compress_type=0)
    others = [bytes(each.pack_request(request)) for each in (HULU_PBRPC, SOFA_PBRPC)]
    stream = frame(1) + STREAM_FRAMES + others[0] + others[1] + STREAM_FRAMES + others[0]
    assert len(check_session(MessageCutter, stream)) == 14


def test_start_that_several_other_protocols_may_have_is_awaited() -> None:
    cutter = MessageCutter(protocols=(BAIDU_STD, JSON_LINES, Companion()))
    other = bytes(JSON_LINES.pack_request(RpcRequest(2, "a.B", "C")))
    cutter.buffer.append(frame(1) + other[:1])
    assert numbers_of(cutter.cut()) == [1]
    assert cutter.bytes_wanted() == 0
    cutter.buffer.append(other[1:])
    assert numbers_of(cutter.cut()) == [2]


class TakesNothing(JsonLines):
    """A protocol whose `parse` forgets to take the bytes, or to return an outcome."""

    def __init__(self, outcome: Any) -> None:
        self._outcome = outcome

    def parse(self, buffer: Any, limits: ParseLimits) -> Any:
        return self._outcome


@pytest.mark.parametrize("outcome", [RpcRequest(1, "a.B", "C"), None, 42, RpcResponse(1)])
def test_parse_that_takes_nothing_is_called_once(outcome: Any) -> None:
    cutter = MessageCutter(protocols=(TakesNothing(outcome),))
    cutter.buffer.append(b"abc")
    with pytest.raises(UserCodeError, match="took no bytes, and returned"):
        cutter.cut()
