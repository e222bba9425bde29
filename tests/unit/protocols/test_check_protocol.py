"""check_protocol finds the faults of protocols."""

from __future__ import annotations

import pytest

from pybrpc.iobuf import IOBuf
from pybrpc.protocols.baidu_std import BaiduStd
from pybrpc.protocols.message import RpcRequest, RpcResponse
from pybrpc.protocols.protocol import NEED_MORE, NOT_MINE, ParseLimits, ParseOutcome
from pybrpc.testing.check_protocol import check_protocol

SAMPLES = [RpcRequest(1, "S", "M", b"body", log_id=3), RpcResponse(2, body=b"body")]


class ForgetsLogId(BaiduStd):
    def pack_request(self, request: RpcRequest) -> IOBuf:
        return super().pack_request(RpcRequest(1, "S", "M", request.body))


class EatsTheHeader(BaiduStd):
    def parse(self, buffer: IOBuf, limits: ParseLimits) -> ParseOutcome:
        outcome = super().parse(buffer, limits)
        if outcome is NEED_MORE:
            buffer.pop_front(12)
        return outcome


class GivesUpEarly(BaiduStd):
    def parse(self, buffer: IOBuf, limits: ParseLimits) -> ParseOutcome:
        return NOT_MINE if len(buffer) < 12 else super().parse(buffer, limits)


class WantsTooMuch(BaiduStd):
    def bytes_wanted(self, buffer: IOBuf, limits: ParseLimits) -> int:
        return super().bytes_wanted(buffer, limits) + 1


class AwaitsGarbage(BaiduStd):
    def parse(self, buffer: IOBuf, limits: ParseLimits) -> ParseOutcome:
        outcome = super().parse(buffer, limits)
        return NEED_MORE if outcome is NOT_MINE else outcome


class RaisesAtBadMagic(BaiduStd):
    def parse(self, buffer: IOBuf, limits: ParseLimits) -> ParseOutcome:
        if buffer.peek(1) not in b"P":
            raise LookupError("magic")
        return super().parse(buffer, limits)


class KnowsNoLimit(BaiduStd):
    def parse(self, buffer: IOBuf, limits: ParseLimits) -> ParseOutcome:
        return super().parse(buffer, ParseLimits())


class MergesNothing(BaiduStd):
    def parse(self, buffer: IOBuf, limits: ParseLimits) -> ParseOutcome:
        outcome = super().parse(buffer, limits)
        if outcome is not NEED_MORE:
            buffer.clear()
        return outcome


def test_sound_protocol_passes() -> None:
    check_protocol(BaiduStd(), SAMPLES)


@pytest.mark.parametrize(
    ("faulty", "where"),
    [
        (ForgetsLogId, "became"),
        (MergesNothing, "merged"),
        (GivesUpEarly, "NOT_MINE"),
        (EatsTheHeader, "parse ate"),
        (WantsTooMuch, "wants"),
        (AwaitsGarbage, "NEED_MORE"),
        (KnowsNoLimit, "limit"),
    ],
)
def test_faulty_protocol_is_caught(faulty: type[BaiduStd], where: str) -> None:
    with pytest.raises(AssertionError, match=where):
        check_protocol(faulty(), SAMPLES)


def test_protocol_that_raises_for_invalid_bytes_is_caught() -> None:
    with pytest.raises(LookupError, match="magic"):
        check_protocol(RaisesAtBadMagic(), SAMPLES)
