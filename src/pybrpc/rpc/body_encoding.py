"""BodyEncoding: how bodies are compressed and summed before they travel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pybrpc.iobuf import IOBuf
from pybrpc.rpc.body_error import BodyError
from pybrpc.rpc.checksum import compute_checksum
from pybrpc.rpc.compress import compress

if TYPE_CHECKING:
    from pybrpc.rpc.controller import Controller


@dataclass(frozen=True, slots=True)
class BodyEncoding:
    """How one side wants its bodies to travel.

    compress_type             a number of CompressType; attachments are never compressed
    checksum_type             a number of ChecksumType, of the body as it travels
    checksum_with_attachment  whether the checksum covers the attachment too
    """

    compress_type: int = 0
    checksum_type: int = 0
    checksum_with_attachment: bool = False

    def of_call(self, controller: Controller) -> BodyEncoding:
        """This, but for what the controller of one call says otherwise."""
        compress_type = controller.request_compress_type
        checksum_type = controller.request_checksum_type
        covers = controller.request_checksum_attachment
        if compress_type is None and checksum_type is None and covers is None:
            return self
        return BodyEncoding(
            self.compress_type if compress_type is None else compress_type,
            self.checksum_type if checksum_type is None else checksum_type,
            self.checksum_with_attachment if covers is None else covers,
        )

    def encode(self, body: bytes, attachment: IOBuf | None) -> bytes | EncodedBody:
        """`body` as it travels, itself if nothing is asked for; BodyError if that can't be had."""
        if not (self.compress_type or self.checksum_type):
            return body
        if self.compress_type:
            body = compress(body, self.compress_type)
        if not self.checksum_type:
            return EncodedBody(body, self, b"")
        covered = attachment if self.checksum_with_attachment else None
        return EncodedBody(body, self, compute_checksum(self.checksum_type, body, covered))


PLAIN = BodyEncoding()


@dataclass(frozen=True, slots=True)
class EncodedBody:
    """A body that is not sent as it is, with what its meta says of it."""

    data: bytes
    encoding: BodyEncoding
    checksum_value: bytes


def checked_encoding(
    compress_type: int, checksum_type: int, checksum_with_attachment: bool
) -> BodyEncoding:
    """The encoding of a channel; ValueError if it is none that can be had here.

    Imports the packages that it needs, so that a missing one is known now.
    """
    encoding = BodyEncoding(compress_type, checksum_type, checksum_with_attachment)
    try:
        encoding.encode(b"", None)
    except BodyError as error:
        raise ValueError(str(error)) from None
    return encoding
