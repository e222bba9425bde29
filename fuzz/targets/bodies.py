"""Bodies as they arrive: the message that their bytes mean, with a checksum that is right, or the
typed error of that side."""

from __future__ import annotations

from collections.abc import Iterator

from google.protobuf.message import DecodeError, Message

from fuzz import vectors
from fuzz.fuzz_target import FuzzTarget, assert_says
from fuzz.parameters import Parameters
from fuzz.references.crc32c import masked
from fuzz.references.frames import buffer_of
from fuzz.targets.compression import reference
from pybrpc.errors import BadRequestError, BadResponseError
from pybrpc.iobuf import IOBuf
from pybrpc.protocols.message import RpcRequest, RpcResponse
from pybrpc.rpc.body import MessageType, parse_request, parse_response
from pybrpc.rpc.checksum import ChecksumType, compute_checksum
from pybrpc.rpc.compress import CompressType, compress
from tests.protos import conformance_pb2 as pb

LIMIT = 5000
REQUEST_TYPE = MessageType(pb.EchoRequest)
RESPONSE_TYPE = MessageType(pb.EchoResponse)
TYPES = (None, 0, 1, 2, 3, 4, -1)
CHECKSUMS = (None, 0, 1, 2)
_AS_IT_CAME, _RIGHT = 0, 1


def check(data: bytes) -> None:
    given = Parameters(data)
    compress_type, checksum_type = given.one_of(TYPES), given.one_of(CHECKSUMS)
    covers = given.one_of((None, False, True))
    attachment = given.short_bytes()
    has_right_sum = given.one_of((_AS_IT_CAME, _RIGHT)) == _RIGHT
    value = given.some(4)
    body = given.rest()
    covered = body + (attachment if covers else b"")
    if has_right_sum:
        value = masked(covered)
    _check_sum(body, attachment)
    is_sound = not checksum_type or (checksum_type == 1 and value == masked(covered))
    request = RpcRequest(1, "S", "M", body, buffer_of(attachment))
    response = RpcResponse(1, body=body, attachment=buffer_of(attachment))
    for carrier in (request, response):
        carrier.compress_type, carrier.checksum_type = compress_type, checksum_type
        carrier.checksum_with_attachment, carrier.checksum_value = covers, value
    expected = _meaning(body, compress_type, pb.EchoRequest) if is_sound else None
    assert _request_or_none(request) == expected
    expected = _meaning(body, compress_type, pb.EchoResponse) if is_sound else None
    assert _response_or_none(response) == expected


def _check_sum(body: bytes, attachment: bytes) -> None:
    parts = IOBuf(attachment[:5])
    parts.append(attachment[5:])
    assert compute_checksum(ChecksumType.CRC32C, body, parts) == masked(body + attachment)


def _meaning(body: bytes, compress_type: int | None, kind: type[Message]) -> Message | None:
    plain: bytes | None = body
    if compress_type in (1, 2, 3):
        plain = reference(body, compress_type, LIMIT)
    elif compress_type:
        return None
    if plain is None or (compress_type and len(plain) > LIMIT):
        return None
    try:
        message = kind.FromString(plain)
    except DecodeError:
        return None
    return message if message.IsInitialized() else None


def _request_or_none(request: RpcRequest) -> Message | None:
    try:
        return parse_request(request, REQUEST_TYPE, LIMIT)
    except BadRequestError as error:
        assert_says(error, "Fail to parse request")
        return None


def _response_or_none(response: RpcResponse) -> Message | None:
    try:
        return parse_response(response, RESPONSE_TYPE, LIMIT)
    except BadResponseError as error:
        assert_says(error, "Fail to parse response")
        return None


def seeds() -> Iterator[bytes]:
    for kind in (CompressType.SNAPPY, CompressType.GZIP, CompressType.ZLIB):
        number = TYPES.index(kind)
        yield bytes([number, 2, 2, 3]) + b"att" + bytes([_RIGHT]) + bytes(4) + compress(b"", kind)
        for body in (*vectors.bodies(kind), compress(b"\x0a\x02hi", kind)):
            yield bytes([number, 2, 0, 0, _RIGHT]) + bytes(4) + body
    yield bytes([1, 1, 0, 0, 0]) + bytes(4) + b"\x0a\x02hi"
    yield bytes([0, 2, 1, 1, 65, 0]) + masked(b"\x0a\x01x") + b"\x0a\x01x"


TARGET = FuzzTarget(check, seeds, dictionary=(b"\x0a\x02hi", b"\x0a\x01\xff"), max_bytes=1000)
