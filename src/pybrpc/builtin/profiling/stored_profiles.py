"""StoredProfiles: the last results, so that they can be looked at again and compared."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from pybrpc.base.renewed import renew_in_child
from pybrpc.builtin.profiling.profile import Profile

MAX_PROFILES = 32
MAX_BYTES = 32 * 1024 * 1024
"""Limit of the memory of all together; the latest one is kept even if it exceeds that."""


@dataclass(frozen=True, slots=True)
class StoredProfile:
    """A profile and the number by which it is found."""

    number: int
    profile: Profile
    size_bytes: int


class StoredProfiles:
    """At most `MAX_PROFILES` profiles. Any thread; blocks shortly."""

    def __init__(self, max_profiles: int = MAX_PROFILES, max_bytes: int = MAX_BYTES) -> None:
        self._max_profiles = max_profiles
        self._max_bytes = max_bytes
        self._stored: dict[int, StoredProfile] = {}
        self._last = 0
        self.renew_locks()
        renew_in_child(self)

    def renew_locks(self) -> None:
        """See `renew_in_child`."""
        self._lock = threading.Lock()

    def add(self, profile: Profile) -> StoredProfile:
        """Keep `profile`, and forget the oldest ones if there are too many."""
        size_bytes = profile.size_bytes()
        with self._lock:
            self._last += 1
            stored = StoredProfile(self._last, profile, size_bytes)
            self._stored[self._last] = stored
            while len(self._stored) > 1 and (
                len(self._stored) > self._max_profiles or self.size_bytes > self._max_bytes
            ):
                del self._stored[next(iter(self._stored))]
        return stored

    def find(self, number: int) -> StoredProfile | None:
        """The profile of that number; `None` if it is not kept any more."""
        return self._stored.get(number)

    def latest_first(self, *kinds: str) -> list[StoredProfile]:
        """Those of these kinds."""
        with self._lock:
            stored = list(self._stored.values())
        return [each for each in reversed(stored) if each.profile.kind in kinds]

    def clear(self) -> None:
        """Forget all."""
        with self._lock:
            self._stored.clear()

    def __len__(self) -> int:
        return len(self._stored)

    @property
    def size_bytes(self) -> int:
        """About how much memory all take."""
        return sum(stored.size_bytes for stored in list(self._stored.values()))

    def __repr__(self) -> str:
        return f"<StoredProfiles {len(self)} profiles, {self.size_bytes} bytes>"


STORED_PROFILES = StoredProfiles()
"""Those of this process."""
