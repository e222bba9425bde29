"""Backlog: how many bytes are queued and not yet written, and who waits for room.

Bytes are counted when a request is queued, before it is linked, so the check never lags behind
the queue. Above the high-water mark new requests are refused until the backlog has fallen to the
low-water mark. The request that crosses the mark is the last one let in, so the backlog is bounded
by the mark and one message per producer.

A queued request costs about 1 KB of memory however short its message is, so requests are limited
too, to one per 256 bytes of the mark: by default a queue holds 64 MiB of messages and 240 MiB of
what keeps them together, at most. Both are counted in one atomic number: the bytes in its lower 40
bits, the requests above.

A Backlog may share a ProcessBacklog with others. While that is full, a socket that holds a chunk of
it or more is crowded, and gets room by its own progress: when it is under a chunk, or when it is
at its low-water mark and the others have made room too. So nobody has to be told when the shared
count falls.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pybrpc.base.atomic import atomic_counter
from pybrpc.base.deadline import NEVER
from pybrpc.base.wake_list import Wake, WakeList, block_until_woken, until_woken
from pybrpc.errors import ErrorCode, Phase, make_rpc_error
from pybrpc.transport.writing.process_backlog import ProcessBacklog, swamp_mark

if TYPE_CHECKING:
    from pybrpc.transport.socket.socket import Socket

HIGH_WATER_BYTES = 64 * 1024 * 1024
BYTES_PER_REQUEST = 256
FEWEST_REQUESTS = 1024
"""So many requests are let in even by a low mark."""

_REQUEST = 1 << 40
_BYTES = _REQUEST - 1
_NEVER = 1 << 62


class Backlog:
    """Unwritten bytes of one socket. All methods may be called by any thread; none blocks."""

    __slots__ = (
        "_counted",
        "_is_closed",
        "_looks_from",
        "_shares_from",
        "_waiters",
        "_was_shut_out",
        "high_water",
        "is_overcrowded",
        "low_water",
        "most_requests",
        "process",
    )

    def __init__(
        self,
        high_water: int = HIGH_WATER_BYTES,
        low_water: int | None = None,
        process: ProcessBacklog | None = None,
    ) -> None:
        self._counted = atomic_counter()
        self._waiters = WakeList()
        self.high_water = high_water
        self.low_water = high_water // 2 if low_water is None else low_water
        self.most_requests = max(FEWEST_REQUESTS, high_water // BYTES_PER_REQUEST)
        self.is_overcrowded = False
        self.process = process
        self._is_closed = False
        self._was_shut_out = False
        self._shares_from = _NEVER if process is None else process.chunk_bytes
        self._looks_from = min(high_water + 1, self._shares_from)

    @property
    def size_bytes(self) -> int:
        """Bytes queued now."""
        return self._counted.get() & _BYTES

    @property
    def requests(self) -> int:
        """Requests queued now."""
        return self._counted.get() // _REQUEST

    def try_add(self, size: int, ignore_limit: bool) -> bool:
        """Count a request that is about to be queued; False, and nothing counted, if crowded."""
        if self.is_overcrowded and not ignore_limit:
            return False
        counted = self._counted.increment_and_get(size + _REQUEST)
        if counted & _BYTES >= self._looks_from or counted // _REQUEST > self.most_requests:
            return self._look(counted, size, ignore_limit)
        return True

    def remove(self, size: int, requests: int) -> None:
        """Uncount what was written or failed."""
        left = self._counted.decrement_and_get(size + requests * _REQUEST)
        # True too, at no harm, if other requests are queued; what counts is the idle case.
        if left + size >= self._shares_from:
            self._share((left & _BYTES) + size, left & _BYTES)
        if self.is_overcrowded:
            self._clear_if_low(left)

    def correct(self, difference: int) -> None:
        """A message turned out to be `difference` bytes longer than it was counted."""
        if difference:
            after = self._counted.increment_and_get(difference) & _BYTES
            self._share(after - difference, after)

    @property
    def is_process_full(self) -> bool:
        """Whether all who share a ProcessBacklog hold more than they may together."""
        return self._is_process_over()

    @property
    def rejected_by_process_limit(self) -> bool:
        """Whether the last message was refused because the process is full, and it still is."""
        return self._was_shut_out and self.is_process_full

    def exceeds_hard_limit(self, size: int) -> bool:
        """Whether a message of `size` bytes shouldn't be queued even if it may pass the marks."""
        held, process = self.size_bytes, self.process
        if held > swamp_mark(self.high_water):
            return True
        return process is not None and held + size >= process.chunk_bytes and process.is_swamped

    def on_below_low_water(self, wake: Wake) -> None:
        """Call `wake` once it is not crowded: now, or from the thread that makes room."""
        self._waiters.add(wake)
        if not self.is_overcrowded or self._is_closed:
            self._waiters.wake_all()

    def when_writable(self, wake: Wake) -> None:
        """`on_below_low_water`, and the process has room too if that was why a message was refused."""
        self._waiters.add(wake)
        if self._is_closed or not (self.is_overcrowded or self.rejected_by_process_limit):
            self._waiters.wake_all()
        elif self.process is not None and not self.is_overcrowded:
            self.process.on_below_low_water(self._on_process_roomy)

    def forget(self, wake: Wake) -> None:
        """Take back `on_below_low_water` or `when_writable`."""
        self._waiters.discard(wake)

    def close(self) -> None:
        """The socket has failed: there is nothing to wait for any more."""
        self._is_closed = True
        self._waiters.wake_all()
        if self.process is not None:
            self.process.forget(self._on_process_roomy)

    def _look(self, counted: int, size: int, ignore_limit: bool) -> bool:
        """A request was counted that may be one too many: let it in, or uncount it."""
        held = counted & _BYTES
        was_full = held >= self._shares_from and self._is_process_over()
        self._share(held - size, held)
        if was_full and not ignore_limit:
            self._was_shut_out = True
            self.remove(size, 1)
            return False
        if self._is_over(held) or counted // _REQUEST > self.most_requests:
            self.is_overcrowded = True
            # The holder may have written all before it could see the mark.
            self._clear_if_low(self._counted.get())
        return True

    def _is_process_over(self) -> bool:
        process = self.process
        return process is not None and process.is_over()

    def _is_over(self, held: int) -> bool:
        return held > self.high_water or (held >= self._shares_from and self._is_process_over())

    def _clear_if_low(self, counted: int) -> None:
        held = counted & _BYTES
        if held > self.low_water or counted // _REQUEST > self.most_requests // 2:
            return
        if held < self._shares_from or not self._is_process_over():
            self.is_overcrowded = False
            self._waiters.wake_all()

    def _on_process_roomy(self) -> None:
        self._was_shut_out = False
        self._waiters.wake_all()

    def _share(self, before: int, after: int) -> None:
        if self.process is not None:
            self.process.move(before, after)

    def __repr__(self) -> str:
        crowded = ", crowded" if self.is_overcrowded else ""
        return f"<Backlog {self.size_bytes} of {self.high_water} bytes{crowded}>"


def wait_for_room(socket: Socket, deadline: float = NEVER) -> None:
    """Block until the backlog is under its mark; see `Socket.wait_writable`."""
    backlog = socket.backlog
    if (backlog.is_overcrowded or backlog.rejected_by_process_limit) and socket.error is None:
        has_room = block_until_woken(backlog.when_writable, backlog.forget, deadline)
        if not has_room and socket.error is None:
            text = f"No room in the backlog of {socket.description} before the deadline"
            peer = str(socket.remote_side)
            raise make_rpc_error(ErrorCode.ERPCTIMEDOUT, text, phase=Phase.QUEUED, peer=peer)
    socket.raise_if_failed()


async def drain(socket: Socket) -> None:
    """Wait until the backlog is under its mark; see `Socket.drain`."""
    backlog = socket.backlog
    if (backlog.is_overcrowded or backlog.rejected_by_process_limit) and socket.error is None:
        await until_woken(backlog.when_writable, backlog.forget)
    socket.raise_if_failed()
