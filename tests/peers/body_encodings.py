"""Body encodings: compression and checksums, in every combination."""

from __future__ import annotations

import dataclasses

from pybrpc.rpc.checksum import ChecksumType
from pybrpc.rpc.compress import CompressType
from pybrpc.rpc.controller import Controller


@dataclasses.dataclass(frozen=True)
class BodyEncoding:
    """How a body travels."""

    compress_type: CompressType = CompressType.NONE
    checksum_type: ChecksumType = ChecksumType.NONE
    checksum_attachment: bool = False

    def ask_for(self, controller: Controller, side: str) -> None:
        for field in dataclasses.fields(self):
            setattr(controller, f"{side}_{field.name}", getattr(self, field.name))

    @classmethod
    def of(cls, controller: Controller, side: str) -> BodyEncoding:
        names = [field.name for field in dataclasses.fields(cls)]
        return cls(*[getattr(controller, f"{side}_{name}") for name in names])


SNAPPY, GZIP, ZLIB = CompressType.SNAPPY, CompressType.GZIP, CompressType.ZLIB
CRC32C = ChecksumType.CRC32C

ALL_ENCODINGS = [
    BodyEncoding(kind, *sums)
    for kind in (CompressType.NONE, SNAPPY, GZIP, ZLIB)
    for sums in ((ChecksumType.NONE, False), (CRC32C, False), (CRC32C, True))
]
