"""ProfileSlot: one profile at a time in a process."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator

from pybrpc.base.renewed import renew_in_child
from pybrpc.builtin.page import PageError


class ProfileSlot:
    """Held while a profile runs. Any thread; never blocks. A forked child has a free one."""

    def __init__(self) -> None:
        self.renew_locks()
        renew_in_child(self)

    def renew_locks(self) -> None:
        """See `renew_in_child`."""
        self._lock = threading.Lock()
        self._kind = ""
        self._since_s = 0.0

    @contextlib.contextmanager
    def hold(self, kind: str) -> Iterator[None]:
        """Hold it for a profile of that kind. PageError (503) if another profile runs."""
        lock = self._lock
        if not lock.acquire(blocking=False):
            age_s = time.monotonic() - self._since_s
            raise PageError(
                503,
                f"another profile runs: {self._kind}, since {age_s:.0f} s; try again later",
                {"Retry-After": "10"},
            )
        self._kind, self._since_s = kind, time.monotonic()
        try:
            yield
        finally:
            lock.release()

    def __repr__(self) -> str:
        state = f"held by a {self._kind} profile" if self._lock.locked() else "free"
        return f"<ProfileSlot {state}>"


PROFILE_SLOT = ProfileSlot()
"""That of this process."""
