"""CacheBudget: bytes that the caches of all streams of a relay may hold together."""

from __future__ import annotations

from pybrpc.rtmp.relay.gop_cache import GopCache

_EIGHTHS_LEFT = 7
"""Eighths of the limit that a cut leaves, so that not every frame that comes needs another cut."""


class CacheBudget:
    """Over the limit, the largest caches drop their frames. For one thread at a time."""

    __slots__ = ("_sizes", "limit_bytes", "size_bytes")

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.size_bytes = 0
        """Bytes in all caches, as they were counted last."""
        self._sizes: dict[GopCache, int] = {}

    def count(self, cache: GopCache) -> None:
        """`cache` may hold more than when it was counted last, or less."""
        size = cache.size_bytes
        self.size_bytes += size - self._sizes.pop(cache, 0)
        if size:
            self._sizes[cache] = size
        if self.size_bytes > self.limit_bytes:
            self._shrink()

    def _shrink(self) -> None:
        for cache in sorted(self._sizes, key=self._sizes.__getitem__, reverse=True):
            self.size_bytes -= self._sizes.pop(cache)
            cache.drop_frames()
            if self.size_bytes <= self.limit_bytes * _EIGHTHS_LEFT // 8:
                return

    def __repr__(self) -> str:
        return f"<CacheBudget {self.size_bytes} of {self.limit_bytes} bytes>"
