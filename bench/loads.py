"""What is measured: echoes of 32 bytes over one connection, so many of them at a time."""

from __future__ import annotations

import dataclasses
import enum

MESSAGE = "x" * 32
TIMEOUT_S = 10.0
"""The deadline that every call carries; one that misses it is stuck, and the bench fails."""


class Style(enum.StrEnum):
    """How the calling program is written."""

    THREADS = "threads"
    """Each thread calls, waits for the answer and calls again."""
    CALLBACKS = "callbacks"
    """Each answer's callback makes the next call."""
    ASYNCIO = "asyncio"
    """Each task of one asyncio loop calls, awaits the answer and calls again."""
    UVLOOP = "uvloop"
    """The same under uvloop, in the server too."""


@dataclasses.dataclass(frozen=True, slots=True)
class Load:
    """`in_flight` callers of one style; a new call starts when a caller's last one has ended."""

    in_flight: int
    style: Style

    def __str__(self) -> str:
        return f"{self.in_flight} {self.style}"

    @classmethod
    def parse(cls, text: str) -> Load:
        """From "64 asyncio", or "64-asyncio" where a blank is a nuisance."""
        in_flight, _, style = text.replace("-", " ").partition(" ")
        return cls(int(in_flight), Style(style))


LOADS = (
    Load(1, Style.THREADS),
    Load(8, Style.THREADS),
    Load(64, Style.THREADS),
    Load(64, Style.ASYNCIO),
    Load(512, Style.ASYNCIO),
    Load(64, Style.UVLOOP),
    Load(64, Style.CALLBACKS),
)
