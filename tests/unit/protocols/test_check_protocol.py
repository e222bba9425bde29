"""check_protocol finds the faults of protocols."""

from __future__ import annotations

import struct

import pytest

from pybrpc.iobuf import IOBuf
from pybrpc.protocols.baidu_std import BaiduStd
from pybrpc.protocols.message import RpcRequest, RpcResponse
from pybrpc.protocols.protocol import NEED_MORE, NOT_MINE, Broken, ParseLimits, ParseOutcome
from pybrpc.protocols.rpc_protocol_base import RpcProtocolBase
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


class LongHeaders(RpcProtocolBase):
    """A header of fixed size, of 21 bytes, and a limit of what follows it."""

    header = struct.Struct(">8sBIHHI")
    magic = b"LONGHEAD"

    @property
    def name(self) -> str:
        return "long_headers"

    def parse(self, buffer: IOBuf, limits: ParseLimits) -> ParseOutcome:
        head = buffer.peek(self.header.size)
        if not self.magic.startswith(head[:8]):
            return NOT_MINE
        if len(head) < self.header.size:
            return NEED_MORE
        _, kind, number, service, method, body = self.header.unpack(head)
        size = service + method + body
        if kind > 1 or size > limits.max_body_size:
            return Broken("it is invalid or too long")
        if len(buffer) < self.header.size + size:
            return NEED_MORE
        buffer.pop_front(self.header.size)
        names = bytes(buffer.cutn(service)), bytes(buffer.cutn(method))
        if kind:
            return RpcResponse(number, body=bytes(buffer.cutn(body)))
        try:
            return RpcRequest(number, *(name.decode() for name in names), bytes(buffer.cutn(body)))
        except ValueError:
            return Broken("a name is no UTF-8")

    def pack_request(self, request: RpcRequest) -> IOBuf:
        names = request.service.encode(), request.method.encode()
        return self._pack(0, request.correlation_id, *names, bytes(request.body))

    def pack_response(self, response: RpcResponse) -> IOBuf:
        return self._pack(1, response.correlation_id, b"", b"", bytes(response.body))

    def _pack(self, kind: int, number: int, *parts: bytes) -> IOBuf:
        sizes = (len(part) for part in parts)
        return IOBuf(self.header.pack(self.magic, kind, number, *sizes) + b"".join(parts))


class LongHeadersWithoutLimit(LongHeaders):
    def parse(self, buffer: IOBuf, limits: ParseLimits) -> ParseOutcome:
        return super().parse(buffer, ParseLimits())


def test_sound_protocol_passes() -> None:
    check_protocol(BaiduStd(), SAMPLES)


def test_a_header_need_not_count_as_the_body() -> None:
    samples = [RpcRequest(1, "Service", "Method", b"body"), RpcResponse(2, body=b"x")]
    check_protocol(LongHeaders(), samples)
    with pytest.raises(AssertionError, match=r"with that max_body_size, .* must be refused within"):
        check_protocol(LongHeadersWithoutLimit(), samples)


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
