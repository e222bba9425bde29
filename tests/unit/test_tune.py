"""pybrpc.tune: what programs call."""

from __future__ import annotations

import os

import pytest

from pybrpc import tune
from pybrpc.base.cores import can_bind

linux = pytest.mark.skipif(not can_bind(), reason="binding needs Linux")


@linux
def test_pinned_process_is_given_back_at_the_end_of_the_block() -> None:
    usual = os.sched_getaffinity(0)
    one = min(usual)
    with tune.pin(one) as pinned:
        assert os.sched_getaffinity(0) == pinned.cores == {one}
        assert repr(pinned) == f"<Pinned to cores [{one}]>"
    assert os.sched_getaffinity(0) == usual
    assert repr(pinned) == f"<Pinned to cores [{one}], restored>"


@linux
def test_process_stays_pinned_until_it_is_restored() -> None:
    usual = os.sched_getaffinity(0)
    pinned = tune.pin([max(usual)])
    assert os.sched_getaffinity(0) == {max(usual)}
    pinned.restore()
    os.sched_setaffinity(0, {min(usual)})
    pinned.restore()  # once
    assert os.sched_getaffinity(0) == {min(usual)}
    os.sched_setaffinity(0, usual)


@linux
def test_pins_are_undone_from_the_inside_out() -> None:
    usual = os.sched_getaffinity(0)
    with tune.pin(usual), tune.pin(min(usual)):
        assert os.sched_getaffinity(0) == {min(usual)}
    assert os.sched_getaffinity(0) == usual


@pytest.mark.parametrize("cores", ["0", None, ["0"], 1.5])
def test_cores_are_numbers(cores: object) -> None:
    with pytest.raises(TypeError, match="cores must be"):
        tune.pin(cores)  # type: ignore[arg-type]


@linux
@pytest.mark.parametrize("cores", [[], -1, 4000])
def test_cores_are_those_of_the_machine(cores: object) -> None:
    with pytest.raises(ValueError, match="cores"):
        tune.pin(cores)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "sizes", [(0, 1), (1, 0), ((32 << 20) + 1, 1), (1, 1 << 31), (True, 1), ("1", 1)]
)
def test_sizes_are_checked_before_anything_is_set(sizes: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=r"max_(block|free)_bytes must be a whole number"):
        tune.keep_memory(*sizes)


def test_names_of_the_module_are_the_public_ones() -> None:
    assert dir(tune) == ["Pinned", "keep_memory", "pin"]
