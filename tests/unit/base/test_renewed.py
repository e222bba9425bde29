"""renew_in_child: locks that a thread of the parent holds are free in a forked child."""

from __future__ import annotations

import gc
import threading
import weakref

import pytest

from pybrpc.base import renewed
from pybrpc.base.renewed import renew_in_child
from tests.peers.forking import exit_code_of, fork


class Owner:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        renew_in_child(self)

    def renew_locks(self) -> None:
        self.lock = threading.Lock()


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_lock_that_is_held_is_free_in_a_child_and_held_on_in_the_parent() -> None:
    owner = Owner()

    def child() -> None:
        assert owner.lock.acquire(timeout=1)

    with owner.lock:
        assert exit_code_of(fork(child)) == 0
        assert owner.lock.locked()


def test_owner_is_forgotten_with_its_last_reference() -> None:
    owner = Owner()
    told = weakref.ref(owner)
    assert owner in renewed._owners
    del owner
    gc.collect()
    assert told() is None
    assert told not in renewed._owners.data
