"""The check of hulu_frames and sofa_frames: a stream of frames through MessageCutter."""

from __future__ import annotations

from typing import Any

from fuzz.fuzz_target import assert_says
from fuzz.parameters import WHOLE, Parameters, pieces_of
from fuzz.references.framed import fields_of_message, frames_of
from fuzz.references.frames import Frames
from pybrpc.errors import BadRequestError, BadResponseError
from pybrpc.iobuf import IOBuf
from pybrpc.protocols.framed import FramedProtocol
from pybrpc.protocols.message import Message, RpcRequest, RpcResponse
from pybrpc.protocols.message_cutter import MessageCutter
from pybrpc.protocols.protocol import DEFAULT_MAX_BODY_SIZE, ParseLimits
from pybrpc.testing.check_protocol import pack

LIMITS = (DEFAULT_MAX_BODY_SIZE, 5000, 600, 64)


def check_frames(protocol: FramedProtocol, data: bytes) -> None:
    """Out comes what a plain reading of the bytes says, however they were cut; what comes out packs
    and parses to itself; never is more awaited than the limit allows."""
    given = Parameters(data)
    limit, plan = given.one_of(LIMITS), given.number()
    stream = given.rest()
    expected = frames_of(protocol.magic.decode(), stream, limit)
    for each in {WHOLE, plan}:
        cutter = MessageCutter(ParseLimits(limit), (protocol,))
        found: list[Any] = []
        for piece in pieces_of(stream, each):
            cutter.buffer.append(piece)
            found += cutter.cut()
            _check_awaits(protocol, cutter, limit)
        fields = [fields_of_message(message) for message in found]
        assert Frames(fields, cutter.broken is not None, len(cutter.buffer)) == expected, each
        for message in found:
            if isinstance(message, RpcRequest | RpcResponse):
                _check_comes_back(protocol, message)


def _check_awaits(protocol: FramedProtocol, cutter: MessageCutter, limit: int) -> None:
    """Invariant 5: no parser buffers past the declared limit."""
    size, wanted = len(cutter.buffer), cutter.bytes_wanted()
    assert size < protocol.header_size + max(1, limit)
    assert 0 <= wanted <= protocol.header_size + limit - size
    if cutter.broken is None and size >= 4:
        assert wanted > 0
    else:
        assert cutter.broken is None or size == 0


def _check_comes_back(protocol: FramedProtocol, message: RpcRequest | RpcResponse) -> None:
    """But for a compress_type without a number; and for the name of a method that also has an
    index, which is not sent then."""
    try:
        packed = pack(protocol, message)
    except (BadRequestError, BadResponseError) as error:
        assert_says(error, "has no number for compress_type")
        return
    again = protocol.parse(IOBuf(bytes(packed)), ParseLimits())
    assert isinstance(again, RpcRequest | RpcResponse)
    wanted, got = fields_of_message(message), fields_of_message(again)
    if isinstance(message, RpcRequest):
        wanted["names"], got["names"] = (_sent_names(protocol, each) for each in (message, again))
    assert got == wanted


def _sent_names(protocol: FramedProtocol, message: Message) -> tuple[str, str, int | None]:
    assert isinstance(message, RpcRequest)
    service, method, index = message.service, message.method, message.method_index
    if protocol.name == "hulu_pbrpc":
        service = service.rpartition(".")[2]
        method = method if index is None else ""
    return service, method, index
