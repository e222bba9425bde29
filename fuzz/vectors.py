"""Recorded requests and responses of C++ bRPC, and their bodies."""

from __future__ import annotations

from pathlib import Path

from fuzz.references.frames import frames_of

FOLDER = Path(__file__).parents[1] / "tests" / "golden" / "vectors"
_ALL = 1 << 20


def recorded(side: str = "*") -> list[bytes]:
    """The bytes that clients ("client"), servers ("server") or both have sent."""
    return [path.read_bytes() for path in sorted(FOLDER.glob(f"*.{side}.bin"))]


def bodies(compress_type: int) -> list[bytes]:
    """The bodies among them that are compressed so."""
    return [
        message["body"]
        for stream in recorded()
        for message in frames_of(stream, _ALL).messages
        if message.get("compress_type") == compress_type
    ]
