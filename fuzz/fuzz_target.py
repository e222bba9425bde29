"""FuzzTarget: one reader of foreign bytes, and what must hold whatever it is given."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FuzzTarget:
    """One target; its name is that of its module in `fuzz.targets`.

    `check` raises, AssertionError or whatever got out, for an input that shows a defect. It is a
    function of its input alone, leaves nothing behind, and takes well under a second.
    """

    check: Callable[[bytes], None]
    seeds: Callable[[], Iterable[bytes]]
    """Inputs to begin with: what is sound, so that what is almost sound is near."""
    dictionary: tuple[bytes, ...] = ()
    """Byte strings that inputs are likely to need in one piece."""
    max_bytes: int = 4096
    """How long an input becomes."""


def assert_says(error: Exception, words: str = "") -> None:
    """A refusal has a text for people, with those words in it."""
    text = str(error)
    assert text
    assert words in text
