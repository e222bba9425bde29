"""RawMethod: names that are checked, and options that don't touch the body."""

from __future__ import annotations

from typing import Any

import pytest

from pybrpc.iobuf import IOBuf
from pybrpc.protocols.message import RpcResponse
from pybrpc.rpc.body_encoding import BodyEncoding, EncodedBody
from pybrpc.rpc.checksum import ChecksumType
from pybrpc.rpc.compress import CompressType
from pybrpc.rpc.controller import Controller
from pybrpc.rpc.raw_method import RawMethod


def test_names() -> None:
    method = RawMethod("a.Service", "Method", 3, True)
    assert method.full_name == "a.Service.Method"
    assert (method.service_name, method.name) == ("a.Service", "Method")
    assert (method.index, method.is_idempotent) == (3, True)
    assert repr(method) == "<RawMethod a.Service.Method>"


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ((b"S", "M"), TypeError, "service must be a string, not a bytes"),
        (("S", None), TypeError, "method must be a string, not a NoneType"),
        (("S", "M", "3"), ValueError, "index must be None or a whole number"),
        (("S", "M", 2**31), ValueError, "index must be None or a whole number"),
        (("S", "M", 3, "yes"), TypeError, "is_idempotent must be True or False"),
    ],
)
def test_wrong_arguments_are_refused(
    arguments: tuple[Any, ...], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        RawMethod(*arguments)


def test_channel_decides_on_the_checksum_but_not_on_compression() -> None:
    method = RawMethod("S", "M", 3, True)
    sent = method.with_encoding(BodyEncoding(CompressType.GZIP, ChecksumType.CRC32C, True))
    assert sent.encoding == BodyEncoding(0, ChecksumType.CRC32C, True)
    assert (sent.full_name, sent.index, sent.is_idempotent) == ("S.M", 3, True)
    body = sent.serialize(b"body", None)
    assert isinstance(body, EncodedBody)
    assert body.data == b"body"


def test_response_fills_the_controller() -> None:
    response = RpcResponse(1, body=b"zipped", compress_type=CompressType.GZIP)
    response.attachment, response.user_fields = IOBuf(b"attached"), {"name": "value"}
    method, controller = RawMethod("S", "M"), Controller()
    assert method.parse(response, 1) == b"zipped"
    method.fill(controller, response)
    assert controller.response_compress_type is CompressType.GZIP
    assert controller.response_attachment == b"attached"
    assert controller.response_user_fields == {"name": "value"}
