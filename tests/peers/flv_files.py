"""FLV files that programs write: their tags, and their packets as ffprobe reads them."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from tests.peers.programs import require_program
from tests.peers.running_program import LIMIT_S

AUDIO, VIDEO, METADATA = 8, 9, 18
HEADER_SIZE, TAG_HEADER_SIZE, TRAILER_SIZE = 13, 11, 4


class Tag(NamedTuple):
    """One tag. Its payload is what an RTMP message of this type carries."""

    kind: int
    timestamp_ms: int
    payload: bytes


class Packet(NamedTuple):
    """One frame in its codec's own form, without sequence headers."""

    codec_type: str
    pts_ms: int
    size_bytes: int
    checksum: str


def tags_of(path: Path) -> list[Tag]:
    """The complete tags of a file, which may still be written; none if there is no file yet."""
    data = path.read_bytes() if path.exists() else b""
    found = []
    position = HEADER_SIZE
    while position + TAG_HEADER_SIZE <= len(data):
        kind = data[position]
        size = int.from_bytes(data[position + 1 : position + 4])
        low = int.from_bytes(data[position + 4 : position + 7])
        begin = position + TAG_HEADER_SIZE
        position = begin + size + TRAILER_SIZE
        if position <= len(data):
            time_ms = data[begin - 4] << 24 | low
            found.append(Tag(kind, time_ms, data[begin : begin + size]))
    return found


def media_of(path: Path) -> list[Tag]:
    """The audio and video tags that have a payload beside their header."""
    return [tag for tag in tags_of(path) if tag.kind in (AUDIO, VIDEO) and len(tag.payload) > 5]


def hevc_pictures(tags: Iterable[Tag]) -> list[tuple[int, bytes]]:
    """Time and bytes of each picture of enhanced RTMP, without the header, which a program may
    change: coded frames have a composition time or not."""
    header_bytes = {1: 8, 3: 5}
    return [
        (tag.timestamp_ms, tag.payload[header_bytes[tag.payload[0] & 15] :])
        for tag in tags
        if tag.kind == VIDEO and tag.payload[0] & 15 in header_bytes
    ]


def packets_of(path: Path) -> list[Packet]:
    """Audio and video packets of a file, as ffprobe reads them, each with its MD5."""
    require_program("ffmpeg")
    entries = "packet=codec_type,pts,size,data_hash"
    command = ["ffprobe", "-v", "error", "-show_entries", entries, "-show_data_hash", "md5"]
    done = subprocess.run(
        [*command, "-of", "csv=print_section=0", path],
        capture_output=True,
        text=True,
        check=True,
        timeout=LIMIT_S,
    )
    rows = [line.split(",") for line in done.stdout.splitlines()]
    found = [Packet(kind, int(pts), int(size), md5) for kind, pts, size, md5 in rows]
    return [packet for packet in found if packet.codec_type in ("audio", "video")]
