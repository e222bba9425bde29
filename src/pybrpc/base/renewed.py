"""renew_in_child: locks of objects that a forked child must not find held by a thread that it has
not."""

from __future__ import annotations

import os
from typing import Protocol
from weakref import WeakSet


class HasLocks(Protocol):
    """An object with locks of its own."""

    def renew_locks(self) -> None:
        """Make all of its locks free. In a child, before any other code of it."""


_owners: WeakSet[HasLocks] = WeakSet()


def renew_in_child(owner: HasLocks) -> None:
    """Have `owner.renew_locks()` called in each child that is forked while `owner` lives."""
    _owners.add(owner)


def _after_fork_in_child() -> None:
    for owner in list(_owners):
        owner.renew_locks()


os.register_at_fork(after_in_child=_after_fork_in_child)
