"""ProfileSlot: one profile at a time."""

from __future__ import annotations

import pytest

from pybrpc.builtin.page import PageError
from pybrpc.builtin.profiling.slot import ProfileSlot


def test_a_second_profile_is_refused_while_one_runs() -> None:
    slot = ProfileSlot()
    with slot.hold("cpu"):
        assert repr(slot) == "<ProfileSlot held by a cpu profile>"
        with pytest.raises(PageError) as refused:
            with slot.hold("heap"):
                pass
        assert refused.value.status == 503
        assert refused.value.text.startswith("another profile runs: cpu")
        assert refused.value.headers == {"Retry-After": "10"}
    assert repr(slot) == "<ProfileSlot free>"


def test_it_is_free_again_after_any_exception() -> None:
    slot = ProfileSlot()
    with pytest.raises(KeyboardInterrupt), slot.hold("cpu"):
        raise KeyboardInterrupt
    with slot.hold("cpu"):
        pass


def test_it_is_free_in_a_forked_child() -> None:
    slot = ProfileSlot()
    with slot.hold("cpu"):
        slot.renew_locks()
        with slot.hold("heap"):
            pass
