"""Whatever user code raises, and wherever: every other call completes once, and all goes on.

In each round one hook raises some kinds of exceptions, while 1,000 calls in every form are in
flight on the connection of the calls that are struck and on others. With `--each-kind` it raises
all kinds, and each kind has a round of its own, too.
"""

from __future__ import annotations

import random

import pytest

from tests.raising.kinds import KINDS
from tests.raising.round import HOOKS
from tests.raising.run import complaints_of

pytestmark = [pytest.mark.stress, pytest.mark.slow]

PARTS = (
    "callback_hooks",
    "client_hooks",
    "policy_hooks",
    "server_hooks",
    "stream_hooks",
    "lifecycle_hooks",
    "process_hooks",
    "lowlevel_hooks",
)

SAMPLE = 8
"""Kinds that a hook raises, of all."""


def hooks_of(part: str) -> list[str]:
    return [name for name, hook in HOOKS.items() if hook.__module__.endswith(f".{part}")]


def sample_of(hook: str) -> list[str]:
    """The kinds that a hook raises: always the same ones for it."""
    return random.Random(hook).sample(list(KINDS), SAMPLE)


def test_each_kind_is_raised_by_several_hooks() -> None:
    times = {kind: sum(kind in sample_of(hook) for hook in HOOKS) for kind in KINDS}
    assert min(times.values()) >= 5, times


def test_each_hook_is_in_one_part() -> None:
    assert sorted(name for part in PARTS for name in hooks_of(part)) == sorted(HOOKS)


@pytest.mark.parametrize("part", PARTS)
def test_other_calls_complete_once_and_later_ones_too_when_hooks_raise(
    part: str, request: pytest.FixtureRequest
) -> None:
    hooks = hooks_of(part)
    rounds = [(hook, sample_of(hook)) for hook in hooks]
    if request.config.getoption("each_kind"):
        rounds = [(hook, list(KINDS)) for hook in hooks]
        rounds += [(hook, [kind]) for hook in hooks for kind in KINDS]
    assert complaints_of(rounds) == []
