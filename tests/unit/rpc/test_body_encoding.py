"""BodyEncoding: how a body is compressed and checksummed, and where the options come from."""

from __future__ import annotations

import gzip
import sys
from typing import Any

import pytest

from pybrpc.errors import MissingExtraError
from pybrpc.iobuf import IOBuf
from pybrpc.rpc.body_encoding import PLAIN, BodyEncoding, EncodedBody, checked_encoding
from pybrpc.rpc.checksum import ChecksumType, compute_checksum
from pybrpc.rpc.compress import CompressType
from pybrpc.rpc.controller import Controller

CRC32C = ChecksumType.CRC32C
CHANNELS = BodyEncoding(CompressType.GZIP, CRC32C, True)


def controller(**fields: Any) -> Controller:
    made = Controller()
    for name, value in fields.items():
        setattr(made, f"request_{name}", value)
    return made


def test_controller_without_types_leaves_the_encoding_of_the_channel() -> None:
    assert CHANNELS.of_call(controller()) is CHANNELS


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"compress_type": CompressType.NONE}, BodyEncoding(0, CRC32C, True)),
        ({"checksum_type": ChecksumType.NONE}, BodyEncoding(CompressType.GZIP, 0, True)),
        ({"checksum_attachment": False}, BodyEncoding(CompressType.GZIP, CRC32C, False)),
    ],
)
def test_controller_overrides_each_part_of_the_encoding(
    said: dict[str, Any], expected: BodyEncoding
) -> None:
    assert CHANNELS.of_call(controller(**said)) == expected


def test_plain_body_is_sent_unchanged() -> None:
    body = b"body"
    assert PLAIN.encode(body, IOBuf(b"attached")) is body


def test_compressed_body_without_a_checksum() -> None:
    encoding = BodyEncoding(CompressType.GZIP)
    encoded = encoding.encode(b"body", None)
    assert isinstance(encoded, EncodedBody)
    assert gzip.decompress(encoded.data) == b"body"
    assert (encoded.encoding, encoded.checksum_value) == (encoding, b"")


@pytest.mark.parametrize("covers", [True, False])
def test_checksum_is_that_of_the_compressed_body(covers: bool) -> None:
    attachment = IOBuf(b"attached")
    encoded = BodyEncoding(0, CRC32C, covers).encode(b"body", attachment)
    assert isinstance(encoded, EncodedBody)
    covered = attachment if covers else None
    assert encoded.checksum_value == compute_checksum(CRC32C, b"body", covered)
    assert encoded.data == b"body"


def test_unsupported_encoding_of_a_channel_is_refused() -> None:
    assert checked_encoding(CompressType.GZIP, CRC32C, True) == CHANNELS
    with pytest.raises(ValueError, match="99"):
        checked_encoding(99, 0, False)
    with pytest.raises(ValueError, match="98"):
        checked_encoding(0, 98, False)


@pytest.mark.parametrize(
    ("package", "numbers", "said"),
    [
        ("cramjam", (CompressType.SNAPPY, 0), "snappy is not installed"),
        ("crc32c", (0, CRC32C), "crc32c is not installed"),
    ],
)
def test_encoding_whose_package_is_missing_says_what_to_install(
    package: str, numbers: tuple[int, int], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=said):
        checked_encoding(*numbers, False)
