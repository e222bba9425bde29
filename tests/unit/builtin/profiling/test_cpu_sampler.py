"""CpuSampler: which stacks get the time of threads."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator
from types import FrameType

import pytest

from pybrpc.builtin.profiling.called_names import CalledNames
from pybrpc.builtin.profiling.cpu_sampler import CpuSampler, take_cpu_profile
from pybrpc.builtin.profiling.profile import Profile
from pybrpc.builtin.profiling.stacks import ThreadName
from tests.fakes.profiles import thread_in
from tests.fakes.threads import wait_until

MS = 1_000_000


def still() -> FrameType:
    """A frame whose line does not change, without a caller."""

    def generate() -> Generator[None, None, None]:
        yield

    return generate().gi_frame


class Process:
    """Threads whose clocks the test sets. They are all at the same line."""

    def __init__(self) -> None:
        self.now_ns = 0
        self.cpu_ns: dict[int, int] = {}
        self.frame: FrameType = still()

    def sampler(self, *, is_wall: bool = False, has_clocks: bool = True) -> CpuSampler:
        return CpuSampler(
            is_wall=is_wall,
            frames=lambda: dict.fromkeys((*self.cpu_ns, threading.get_ident()), self.frame),
            names=lambda: {i: ThreadName(i, f"worker-{i}", i, False) for i in self.cpu_ns},
            cpu_clock=(lambda native: self.cpu_ns.get(native, 0)) if has_clocks else no_clock,
            clock_ns=lambda: self.now_ns,
        )


def no_clock(native_id: int) -> int | None:
    return None


@contextlib.contextmanager
def waiting() -> Iterator[FrameType]:
    """The frame of a thread that waits for a lock."""

    def wait_for(lock: threading.Lock) -> None:
        lock.acquire()

    lock, names = threading.Lock(), CalledNames()
    lock.acquire()
    with thread_in(lambda: wait_for(lock)) as thread:
        ident = thread.ident or 0
        wait_until(lambda: names.by(sys._current_frames()[ident]) == "acquire")
        yield sys._current_frames()[ident]
        lock.release()


def values(profile: Profile) -> list[tuple[int, ...]]:
    return list(profile.samples.values())


def test_what_a_thread_has_used_since_the_last_sample_counts() -> None:
    process = Process()
    process.cpu_ns = {1: 500 * MS}
    sampler = process.sampler()
    sampler.take()
    process.cpu_ns[1] += 8 * MS
    sampler.take()
    process.cpu_ns[1] += 9 * MS
    sampler.take()
    profile = sampler.profile(0.0, 1.0)
    assert values(profile) == [(2, 17 * MS)]
    assert [key.thread for key in profile.samples] == ["worker-*"]
    assert profile.kind == "cpu"
    assert profile.notes == ("3 samples of all threads in 1.0 s",)


def test_a_thread_that_waits_is_left_out() -> None:
    process = Process()
    process.cpu_ns = {1: 500, 2: 700}
    sampler = process.sampler()
    for _ in range(5):
        sampler.take()
    assert values(sampler.profile(0.0, 1.0)) == []


def test_the_time_of_a_thread_that_waits_again_goes_to_where_it_is_seen_at_work() -> None:
    process = Process()
    process.cpu_ns = {1: 0}
    sampler, works = process.sampler(), process.frame
    sampler.take()
    with waiting() as waits:
        for frame in (waits, waits, works, waits, works):
            process.frame = frame
            process.cpu_ns[1] += 2 * MS
            sampler.take()
    profile = sampler.profile(0.0, 1.0)
    assert {key.stack[-1].function: v for key, v in profile.samples.items()} == {
        works.f_code.co_qualname: (2, 10 * MS)
    }


def test_the_time_of_a_thread_that_is_never_seen_at_work_is_not_lost() -> None:
    process = Process()
    process.cpu_ns = {1: 0}
    sampler = process.sampler()
    sampler.take()
    with waiting() as process.frame:
        for _ in range(3):
            process.cpu_ns[1] += 2 * MS
            sampler.take()
        profile = sampler.profile(0.0, 1.0)
    assert {key.stack[-1].function: v for key, v in profile.samples.items()} == {
        "waiting.<locals>.wait_for": (1, 6 * MS)
    }


def test_a_thread_that_was_started_meanwhile_counts_in_full() -> None:
    process = Process()
    sampler = process.sampler()
    sampler.take()
    process.cpu_ns[5] = 3 * MS
    sampler.take()
    assert values(sampler.profile(0.0, 1.0)) == [(1, 3 * MS)]


def test_wall_time_counts_all_threads_but_the_sampler() -> None:
    process = Process()
    process.cpu_ns = {1: 0, 2: 0}
    sampler = process.sampler(is_wall=True)
    for _ in range(3):
        sampler.take()
        process.now_ns += 10 * MS
    profile = sampler.profile(0.0, 1.0)
    assert values(profile) == [(4, 40 * MS)]
    assert profile.kind == "wall"


def test_without_clocks_of_threads_wall_time_counts() -> None:
    process = Process()
    process.cpu_ns = {1: 0}
    sampler = process.sampler(has_clocks=False)
    sampler.take()
    process.now_ns = 10 * MS
    sampler.take()
    profile = sampler.profile(0.0, 1.0)
    assert (profile.kind, values(profile)) == ("wall", [(1, 10 * MS)])


def profile_until(function: Callable[[Profile], bool]) -> Profile:
    """Profiles of a moment, until one has what is looked for."""
    end = time.monotonic() + 60
    while True:
        profile = take_cpu_profile(0.1, lambda: False)
        if function(profile) or time.monotonic() > end:
            return profile


@pytest.mark.skipif(sys.platform != "linux", reason="no clocks of threads")
def test_a_function_that_works_costs_more_than_one_that_waits() -> None:
    end = threading.Event()

    def works() -> None:
        while not end.is_set():
            sum(range(100))

    def waits() -> None:
        end.wait()

    def time_of(name: str, profile: Profile) -> int:
        return sum(
            values[-1]
            for key, values in profile.samples.items()
            if any(frame.function.endswith(name) for frame in key.stack)
        )

    def is_found(profile: Profile) -> bool:
        return time_of("works", profile) > 0

    with thread_in(works), thread_in(waits):
        profile = profile_until(is_found)
        end.set()
    assert time_of("works", profile) > time_of("waits", profile)


def test_the_task_that_works_is_named() -> None:
    end = threading.Event()

    async def works() -> None:
        while not end.is_set():
            for _ in range(100):
                sum(range(100))
            await asyncio.sleep(0)

    async def main() -> None:
        await asyncio.create_task(works(), name="refresh")

    def is_found(profile: Profile) -> bool:
        return any(key.task == "refresh" for key in profile.samples)

    with thread_in(lambda: asyncio.run(main())):
        profile = profile_until(is_found)
        end.set()
    assert is_found(profile)
