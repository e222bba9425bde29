"""The meta codec against protobuf's own message class: the same verdict, fields and bytes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fuzz import vectors
from fuzz.fuzz_target import FuzzTarget
from pybrpc.errors import ProtocolError
from pybrpc.protocols.baidu_std import meta_decoder, meta_encoder
from pybrpc.protocols.message import RpcRequest, RpcResponse
from tests.oracles import protobuf_meta


def check(data: bytes) -> None:
    ours = _outcome(meta_decoder, data)
    assert ours == _outcome(protobuf_meta, data)
    message = ours[-1]
    if isinstance(message, RpcRequest):
        again = meta_encoder.encode_request_meta(message, ours[2])
        assert again == protobuf_meta.encode_request_meta(message, ours[2])
    elif isinstance(message, RpcResponse):
        again = meta_encoder.encode_response_meta(message, ours[2])
        assert again == protobuf_meta.encode_response_meta(message, ours[2])
    else:
        return
    assert _outcome(meta_decoder, again) == ours


def _outcome(codec: Any, data: bytes) -> tuple[Any, ...]:
    """Everything that the decoder of a meta can find out, or the text of its error."""
    try:
        meta = codec.decode_meta(data)
    except ProtocolError as error:
        return (error.text,)
    is_request = protobuf_meta.is_request(meta) if codec is protobuf_meta else meta.is_request
    head = (is_request, meta.correlation_id, meta.attachment_size)
    try:
        message = (codec.request_of if is_request else codec.response_of)(meta, b"", None)
    except ProtocolError as error:
        return (*head, error.text)
    return (*head, message)


def seeds() -> Iterator[bytes]:
    for stream in vectors.recorded():
        if stream.startswith(b"PRPC"):
            yield stream[12 : 12 + int.from_bytes(stream[8:12], "big")]
    yield b"\x0a\x06\x0a\x01S\x12\x01M\x42\x06\x08\x01\x22\x02\x05\x06"
    yield b"\x4a\x06\x0a\x01k\x12\x01v\x0b\x08\x01\x0c"


TARGET = FuzzTarget(
    check,
    seeds,
    dictionary=(
        *(bytes([tag]) for tag in b"\x0a\x12\x18\x20\x28\x3a\x42\x4a\x50\x58\x62\x68\x0b\x0c"),
        *(b"\xff\xff\xff\xff\x0f", b"\xff" * 9 + b"\x01", b"\x80" * 9 + b"\x01", b"\x80\0"),
    ),
    max_bytes=300,
)
