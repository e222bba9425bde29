"""Wire: carries packets between two hosts, in a thread, as well as its faults let it.

The kernel's TCP is at both ends, so what is lost is sent again, what is doubled is thrown away, and
what was cut is given up, as between machines.
"""

from __future__ import annotations

import heapq
import itertools
import os
import selectors
import threading
import time
from collections import Counter

from soak.network.link_faults import NO_FAULTS, LinkFaults, PacketFate
from soak.network.tun_device import TunDevice

MOST_HELD = 4096
"""Packets on their way in one direction; one more is lost, as in a router."""
_ROUND = 64


class Lane:
    """One direction of a wire. Used by one thread at a time."""

    def __init__(self, source: TunDevice, target: TunDevice, seed: str) -> None:
        self.source = source
        self.fate = PacketFate(seed)
        self.is_cut = False
        self.bytes_until_cut: int | None = None
        """Bytes of TCP's data that pass before it is cut."""
        self._target = target
        self._held: list[tuple[float, int, bytes]] = []
        self._numbers = itertools.count()

    def take(self, now: float) -> None:
        """Take what the source has sent; a limited number, so that the other lane has its turn."""
        for _ in range(_ROUND):
            packet = self.source.take_packet()
            if packet is None:
                return
            for due, arriving in self.fate.of(packet, now):
                self._hold(due, arriving)

    def give(self, now: float) -> float | None:
        """Let all arrive whose time has come; when the next one is due, `None` for none."""
        while self._held and self._held[0][0] <= now:
            self._pass(heapq.heappop(self._held)[2])
        return self._held[0][0] if self._held else None

    def _hold(self, due: float, packet: bytes) -> None:
        if len(self._held) >= MOST_HELD:
            self.fate.counts["overflowed"] += 1
        else:
            heapq.heappush(self._held, (due, next(self._numbers), packet))

    def _pass(self, packet: bytes) -> None:
        if self.bytes_until_cut is not None:
            self.bytes_until_cut -= data_bytes(packet)
            self.is_cut |= self.bytes_until_cut < 0
        if self.is_cut:
            self.fate.counts["cut"] += 1
        elif not self._target.give_packet(packet):
            self.fate.counts["unwanted"] += 1


class Wire:
    """Thread-safe. Runs from the moment it is made until `close`."""

    def __init__(self, near: TunDevice, far: TunDevice, seed: int = 1) -> None:
        self._lock = threading.Lock()
        self._to_far = Lane(near, far, f"{seed}/far")
        self._to_near = Lane(far, near, f"{seed}/near")
        self._lanes = (self._to_far, self._to_near)
        self._is_closed = False
        self._alarm = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._thread = threading.Thread(target=self._run, name="wire", daemon=True)
        self._thread.start()

    def fail(self, faults: LinkFaults, *, to_far: bool = True, to_near: bool = True) -> None:
        """Every packet from now on, in these directions."""
        with self._lock:
            for lane in self._chosen(to_far, to_near):
                lane.fate.faults = faults

    def cut(self, *, to_far: bool = True, to_near: bool = True) -> None:
        """Drop all packets in these directions, also those on their way, without an error."""
        with self._lock:
            for lane in self._chosen(to_far, to_near):
                lane.is_cut = True

    def cut_after(self, *, to_far: int | None = None, to_near: int | None = None) -> None:
        """Cut a direction when so many more bytes of data (of TCP) have passed in it: in the
        packet that would pass more."""
        with self._lock:
            self._to_far.bytes_until_cut = to_far
            self._to_near.bytes_until_cut = to_near

    def mend(self) -> None:
        """No faults, nothing cut."""
        with self._lock:
            for lane in self._lanes:
                lane.is_cut, lane.bytes_until_cut, lane.fate.faults = False, None, NO_FAULTS

    def counts(self) -> Counter[str]:
        """How many packets went through what, in both directions, since it was made."""
        with self._lock:
            return self._to_far.fate.counts + self._to_near.fate.counts

    def close(self) -> None:
        """Blocks until its thread has ended."""
        self._is_closed = True
        os.eventfd_write(self._alarm, 1)
        self._thread.join()
        os.close(self._alarm)

    def _chosen(self, to_far: bool, to_near: bool) -> list[Lane]:
        wanted = (to_far, to_near)
        return [lane for lane, is_chosen in zip(self._lanes, wanted, strict=True) if is_chosen]

    def _run(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._alarm, selectors.EVENT_READ)
            for lane in self._lanes:
                selector.register(lane.source.descriptor, selectors.EVENT_READ, lane)
            while not self._is_closed:
                for key, _ in selector.select(self._turn()):
                    if isinstance(key.data, Lane):
                        with self._lock:
                            key.data.take(time.monotonic())

    def _turn(self) -> float | None:
        """Let packets arrive; for how long there is nothing more to do."""
        with self._lock:
            dues = [lane.give(time.monotonic()) for lane in self._lanes]
        next_due = min((due for due in dues if due is not None), default=None)
        return None if next_due is None else max(0.0, next_due - time.monotonic())


def data_bytes(packet: bytes) -> int:
    """How much of TCP's data an IPv4 packet carries; RFC 791, RFC 9293."""
    ip_bytes = (packet[0] & 0x0F) * 4
    if packet[0] >> 4 != 4 or packet[9] != 6 or len(packet) < ip_bytes + 20:
        return 0
    return len(packet) - ip_bytes - (packet[ip_bytes + 12] >> 4) * 4
