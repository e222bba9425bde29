"""LinkFaults: what happens to packets in one direction of a wire."""

from __future__ import annotations

import dataclasses
import random
from collections import Counter


@dataclasses.dataclass(frozen=True, slots=True)
class LinkFaults:
    """Chances are from 0 to 1, each for every packet; times in seconds."""

    delay_s: float = 0.0
    jitter_s: float = 0.0
    """Up to so much more, without changing the order."""
    loss: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    """Chance of being held back by `REORDER_S`, while later ones pass."""
    corrupt: float = 0.0
    """Chance of one bit being another one: which the checksums of IP and TCP find."""


REORDER_S = 0.004
NO_FAULTS = LinkFaults()


class PacketFate:
    """Decides what becomes of packets, the same for the same seed and the same packets."""

    def __init__(self, seed: str) -> None:
        self.counts: Counter[str] = Counter()
        """How many packets went through what."""
        self.faults = NO_FAULTS
        """May be replaced at any time."""
        self._random = random.Random(seed)
        self._last_due = 0.0

    def of(self, packet: bytes, now: float) -> list[tuple[float, bytes]]:
        """When it is to arrive and as what, for each time that it arrives."""
        faults = self.faults
        self.counts["packets"] += 1
        if self._strikes("lost", faults.loss):
            return []
        if self._strikes("corrupted", faults.corrupt):
            packet = self._corrupted(packet)
        due = self._due(faults, now)
        copies = 2 if self._strikes("duplicated", faults.duplicate) else 1
        return [(due, packet)] * copies

    def _due(self, faults: LinkFaults, now: float) -> float:
        due = now + faults.delay_s + faults.jitter_s * self._random.random()
        self.counts["delayed"] += due > now
        if self._strikes("reordered", faults.reorder):
            return due + REORDER_S
        self._last_due = max(self._last_due, due)
        return self._last_due

    def _strikes(self, name: str, chance: float) -> bool:
        if not chance or self._random.random() >= chance:
            return False
        self.counts[name] += 1
        return True

    def _corrupted(self, packet: bytes) -> bytes:
        changed = bytearray(packet)
        changed[self._random.randrange(len(changed))] ^= 1 << self._random.randrange(8)
        return bytes(changed)
