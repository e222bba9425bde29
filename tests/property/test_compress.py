"""Compression and checksums of arbitrary bytes: the same bytes return, or a typed error."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybrpc.errors import BadRequestError, BadResponseError
from pybrpc.iobuf import IOBuf
from pybrpc.protocols.message import RpcRequest, RpcResponse
from pybrpc.rpc.body import parse_request, parse_response, serialize_request
from pybrpc.rpc.body_encoding import EncodedBody
from pybrpc.rpc.body_error import BodyError
from pybrpc.rpc.checksum import ChecksumType, compute_checksum, verify_checksum
from pybrpc.rpc.compress import CompressType, compress, decompress
from pybrpc.rpc.controller import Controller
from tests.peers.echo import REQUEST_TYPE, RESPONSE_TYPE
from tests.protos import conformance_pb2 as pb

LIMIT = 100_000

kinds = st.sampled_from([CompressType.SNAPPY, CompressType.GZIP, CompressType.ZLIB])
compressible = st.builds(lambda piece, count: piece * count, st.binary(), st.integers(0, 300))
bodies = st.binary(max_size=300) | compressible
attachments = st.none() | st.lists(st.binary(min_size=1), min_size=1).map(
    lambda parts: IOBuf(b"".join(parts))
)


@st.composite
def damaged(draw: st.DrawFn, intact: st.SearchStrategy[bytes]) -> bytes:
    """`intact` with some bytes changed, removed or inserted."""
    data = bytearray(draw(intact))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        data[at : at + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    return bytes(data)


@given(bodies, kinds)
def test_decompressed_body_is_the_original(body: bytes, kind: int) -> None:
    assert decompress(compress(body, kind), kind, len(body)) == body


@given(st.lists(bodies, max_size=5), st.sampled_from([CompressType.GZIP, CompressType.ZLIB]))
def test_several_compressed_streams_are_one_body(parts: list[bytes], kind: int) -> None:
    packed = b"".join(compress(part, kind) for part in parts)
    assert decompress(packed, kind, LIMIT) == b"".join(parts)


@given(kinds, st.data())
def test_damaged_body_is_within_the_limit_or_refused(kind: int, data: st.DataObject) -> None:
    packed = data.draw(damaged(bodies.map(lambda body: compress(body, kind))))
    limit = data.draw(st.integers(0, 5000))
    with contextlib.suppress(BodyError):
        assert len(decompress(packed, kind, limit)) <= limit


@given(st.binary(max_size=200), kinds)
def test_arbitrary_bytes_are_within_the_limit_or_refused(data: bytes, kind: int) -> None:
    with contextlib.suppress(BodyError):
        assert len(decompress(data, kind, LIMIT)) <= LIMIT


@given(bodies, attachments, st.data())
def test_checksum_detects_a_changed_bit(
    body: bytes, attachment: IOBuf | None, data: st.DataObject
) -> None:
    value = compute_checksum(ChecksumType.CRC32C, body, attachment)
    verify_checksum(ChecksumType.CRC32C, value, body, attachment)
    covered = bytearray(body + bytes(attachment or b""))
    if covered:
        covered[data.draw(st.integers(0, len(covered) - 1))] ^= 1 << data.draw(st.integers(0, 7))
        with pytest.raises(BodyError):
            verify_checksum(ChecksumType.CRC32C, value, bytes(covered))


wire_fields = st.fixed_dictionaries(
    {
        "compress_type": st.none() | st.integers(-1, 5),
        "checksum_type": st.none() | st.integers(-1, 2),
        "checksum_value": st.none() | st.binary(max_size=5),
        "checksum_with_attachment": st.none() | st.booleans(),
        "attachment": attachments,
    }
)


@given(st.text(), st.sampled_from(CompressType), st.booleans(), st.booleans(), attachments)
def test_request_comes_back_however_it_travels(
    text: str,
    kind: CompressType,
    has_checksum: bool,
    with_attachment: bool,
    attachment: IOBuf | None,
) -> None:
    controller = Controller()
    controller.request_compress_type = CompressType.NONE if kind == CompressType.LZ4 else kind
    controller.request_checksum_type = ChecksumType(has_checksum)
    controller.request_checksum_attachment = with_attachment
    if attachment is not None:
        controller.request_attachment = attachment
    request = pb.EchoRequest(message=text)
    body = serialize_request(request, REQUEST_TYPE, controller)
    carrier = RpcRequest(1, "s", "m", attachment=attachment)
    if isinstance(body, EncodedBody):
        carrier.body, carrier.checksum_value = body.data, body.checksum_value
        carrier.compress_type = body.encoding.compress_type
        carrier.checksum_type = body.encoding.checksum_type
        carrier.checksum_with_attachment = body.encoding.checksum_with_attachment
    else:
        assert not any((controller.request_compress_type, has_checksum))
        carrier.body = body
    assert parse_request(carrier, REQUEST_TYPE) == request


@given(
    st.binary(max_size=100) | damaged(kinds.map(lambda k: compress(b"\n\x02hi", k))), wire_fields
)
def test_any_received_body_is_parsed_or_refused(body: bytes, fields: dict[str, object]) -> None:
    with contextlib.suppress(BadRequestError):
        parse_request(RpcRequest(1, "s", "m", body, **fields), REQUEST_TYPE)  # type: ignore[arg-type]
    with contextlib.suppress(BadResponseError):
        parse_response(RpcResponse(1, body=body, **fields), RESPONSE_TYPE)  # type: ignore[arg-type]
