"""Fuzzing without feedback, where atheris is not installed: inputs changed at random."""

from __future__ import annotations

import dataclasses
import random
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fuzz.fuzz_target import FuzzTarget

HANG_S = 20.0
"""An input that takes longer is a hang, on a machine under load too."""

_ODD_BYTES = bytes((0, 1, 2, 5, 10, 13, 22, 0x7F, 0x80, 0xFF))


class HangError(BaseException):
    """An input takes too long. Nobody who looks out for errors catches it."""


@dataclass(frozen=True, slots=True)
class Finding:
    """An input, and what was raised for it."""

    data: bytes
    error: BaseException


def fuzz(
    target: FuzzTarget, inputs: Sequence[bytes], seconds: float, seed: int
) -> tuple[int, Finding | None]:
    """How many inputs were tried, and the first that shows a defect."""
    rng, end, count = random.Random(seed), time.monotonic() + seconds, 0
    while count < len(inputs) or time.monotonic() < end:
        data = inputs[count] if count < len(inputs) else mutated(rng, inputs, target)
        count += 1
        error = error_of(target, data)
        if error is not None:
            return count, Finding(data, error)
    return count, None


def error_of(target: FuzzTarget, data: bytes) -> BaseException | None:
    """The exception that `check` raises, or None."""
    try:
        target.check(data)
    except (Exception, HangError) as error:
        return error
    return None


def with_alarm(target: FuzzTarget, seconds: float = HANG_S) -> FuzzTarget:
    """`target` with a time limit: HangError after `seconds`. Main thread only; uses SIGALRM."""

    def on_alarm(number: int, frame: object) -> None:
        raise HangError(f"it has not come to an end in {seconds:g} s")

    def check(data: bytes) -> None:
        signal.setitimer(signal.ITIMER_REAL, seconds)
        try:
            target.check(data)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)

    signal.signal(signal.SIGALRM, on_alarm)
    return dataclasses.replace(target, check=check)


def mutated(rng: random.Random, inputs: Sequence[bytes], target: FuzzTarget) -> bytes:
    """One of the inputs, with some changes."""
    data = bytearray(rng.choice(inputs))
    for _ in range(rng.choice((1, 1, 2, 4, 8))):
        at = rng.randint(0, len(data))
        rng.choice(_CHANGES)(rng, data, at, inputs, target.dictionary)
    return bytes(data[: target.max_bytes])


def smallest(target: FuzzTarget, finding: Finding, seconds: float = 20) -> bytes:
    """A part of an input for which the same kind of error is raised still."""
    kind, data, end = type(finding.error), finding.data, time.monotonic() + seconds
    size = len(data)
    while size and time.monotonic() < end:
        for at in range(0, len(data), size):
            shorter = data[:at] + data[at + size :]
            if type(error_of(target, shorter)) is kind:
                data = shorter
                break
        else:
            size //= 2
    return data


_Change = Callable[[random.Random, bytearray, int, Sequence[bytes], Sequence[bytes]], None]


def _set_byte(
    rng: random.Random, data: bytearray, at: int, inputs: Sequence[bytes], words: Sequence[bytes]
) -> None:
    data[at : at + 1] = bytes([rng.choice((rng.choice(_ODD_BYTES), rng.randrange(256)))])


def _flip_bit(
    rng: random.Random, data: bytearray, at: int, inputs: Sequence[bytes], words: Sequence[bytes]
) -> None:
    if at < len(data):
        data[at] ^= 1 << rng.randrange(8)


def _drop(
    rng: random.Random, data: bytearray, at: int, inputs: Sequence[bytes], words: Sequence[bytes]
) -> None:
    del data[at : at + rng.choice((1, 2, 4, 50))]


def _repeat(
    rng: random.Random, data: bytearray, at: int, inputs: Sequence[bytes], words: Sequence[bytes]
) -> None:
    data[at:at] = data[at : at + rng.choice((1, 4, 20))] * rng.choice((1, 2, 30))


def _put_word(
    rng: random.Random, data: bytearray, at: int, inputs: Sequence[bytes], words: Sequence[bytes]
) -> None:
    word = rng.choice(words) if words else b"\0"
    data[at : at + rng.choice((0, len(word)))] = word


def _go_on_with_another(
    rng: random.Random, data: bytearray, at: int, inputs: Sequence[bytes], words: Sequence[bytes]
) -> None:
    other = rng.choice(inputs)
    data[at:] = other[rng.randint(0, len(other)) :]


_CHANGES: tuple[_Change, ...] = (
    _set_byte,
    _set_byte,
    _flip_bit,
    _drop,
    _repeat,
    _put_word,
    _go_on_with_another,
)
