"""BodyEncoding: how bodies are compressed and checksummed before they are sent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pybrpc.base.checked_options import checked_count, checked_flag
from pybrpc.errors import MissingExtraError
from pybrpc.iobuf import IOBuf
from pybrpc.rpc.body_error import BodyError
from pybrpc.rpc.checksum import compute_checksum
from pybrpc.rpc.compress import compress

if TYPE_CHECKING:
    from pybrpc.rpc.controller import Controller


@dataclass(frozen=True, slots=True)
class BodyEncoding:
    """How one side sends its bodies.

    compress_type             a number of CompressType; attachments are never compressed
    checksum_type             a number of ChecksumType; computed after compression
    checksum_with_attachment  whether the checksum covers the attachment too
    """

    compress_type: int = 0
    checksum_type: int = 0
    checksum_with_attachment: bool = False

    def of_call(self, controller: Controller) -> BodyEncoding:
        """This encoding, changed as the controller of one call asks."""
        compress_type = controller._request_compress_type
        checksum_type = controller._request_checksum_type
        covers = controller._request_checksum_attachment
        if compress_type is None and checksum_type is None and covers is None:
            return self
        return BodyEncoding(
            self.compress_type if compress_type is None else compress_type,
            self.checksum_type if checksum_type is None else checksum_type,
            self.checksum_with_attachment if covers is None else covers,
        )

    def encode(self, body: bytes, attachment: IOBuf | None) -> bytes | EncodedBody:
        """`body` as it is sent; itself if nothing is changed. BodyError if that is impossible."""
        if self.compress_type:
            body = compress(body, self.compress_type)
        return self.describe(body, attachment)

    def describe(self, body: bytes, attachment: IOBuf | None) -> bytes | EncodedBody:
        """`encode`, for a body that is compressed already."""
        if not self.checksum_type:
            return EncodedBody(body, self, b"") if self.compress_type else body
        covered = attachment if self.checksum_with_attachment else None
        return EncodedBody(body, self, compute_checksum(self.checksum_type, body, covered))


PLAIN = BodyEncoding()


@dataclass(frozen=True, slots=True)
class EncodedBody:
    """A body that was compressed or checksummed, and how, for the meta of its frame."""

    data: bytes
    encoding: BodyEncoding
    checksum_value: bytes


def checked_encoding(
    compress_type: int, checksum_type: int, checksum_with_attachment: bool
) -> BodyEncoding:
    """The encoding of a channel; ValueError if it is not supported.

    Imports the packages that it needs. MissingExtraError if one is not installed.
    """
    encoding = BodyEncoding(
        _checked_type("compress_type", compress_type, "CompressType.GZIP"),
        _checked_type("checksum_type", checksum_type, "ChecksumType.CRC32C"),
        checked_flag("checksum_with_attachment", checksum_with_attachment),
    )
    try:
        encoding.encode(b"", None)
    except BodyError as error:
        kind = MissingExtraError if error.is_missing else ValueError
        raise kind(str(error)) from None
    return encoding


def _checked_type(name: str, number: int, example: str) -> int:
    """`number`, whether there is such a type or not; ValueError for a name such as "gzip"."""
    if isinstance(number, str):
        raise ValueError(f"{name} must be a number such as pybrpc.{example}, not {number!r}")
    return checked_count(name, number)
