"""pack_frame: what is shared, what is joined, and what is too long."""

from __future__ import annotations

import pytest

from pybrpc.iobuf import IOBuf
from pybrpc.protocols import frames
from pybrpc.protocols.frames import (
    MAX_OVERSIZED_META,
    SMALL_SIZE,
    oversized_meta_limit,
    pack_frame,
    size_of,
)
from pybrpc.protocols.protocol import DEFAULT_MAX_META_SIZE, ParseLimits


def header(meta_size: int, payload_size: int) -> bytes:
    return b"<%d+%d>" % (meta_size, payload_size)


@pytest.mark.parametrize(("size", "blocks"), [(0, 1), (SMALL_SIZE, 1), (SMALL_SIZE + 1, 2)])
def test_small_body_is_joined_with_its_header(size: int, blocks: int) -> None:
    packed = pack_frame(header, b"meta", bytes(size), None)
    assert bytes(packed) == b"<4+%d>meta" % size + bytes(size)
    assert packed.block_count == blocks


@pytest.mark.parametrize("view", [bytearray, memoryview])
def test_body_may_be_any_view_of_bytes(view: type) -> None:
    assert bytes(pack_frame(header, b"m", view(b"body"), None)) == b"<1+4>mbody"


def test_attachment_follows_and_counts() -> None:
    attachment = IOBuf(b"attached")
    assert bytes(pack_frame(header, b"m", b"body", attachment)) == b"<1+12>mbodyattached"
    assert (size_of(attachment), size_of(None)) == (8, 0)


def test_what_is_too_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="meta_size=1048577 exceeds the 1048576 bytes of a meta"):
        pack_frame(header, bytes(DEFAULT_MAX_META_SIZE + 1), b"", None)
    monkeypatch.setattr(frames, "MAX_FRAME_SIZE", 100)
    assert len(pack_frame(header, bytes(50), bytes(30), IOBuf(bytes(20)))) == 100 + len("<50+50>")
    with pytest.raises(ValueError, match="body_size=101 exceeds the 100 bytes of a frame"):
        pack_frame(header, bytes(50), bytes(31), IOBuf(bytes(20)))
    with pytest.raises(ValueError, match="attachment_size=101 exceeds the 100 bytes of a frame"):
        size_of(IOBuf(bytes(101)))


def test_limit_of_metas_follows_that_of_bodies() -> None:
    assert oversized_meta_limit(ParseLimits()) == MAX_OVERSIZED_META
    assert oversized_meta_limit(ParseLimits(max_body_size=10)) == 10
