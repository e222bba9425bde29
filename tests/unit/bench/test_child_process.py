"""Children that say nothing, die, or don't want to end."""

from __future__ import annotations

import sys

import pytest

from bench.child_process import ChildFailedError, ChildProcess


def child(code: str) -> ChildProcess:
    return ChildProcess([sys.executable, "-c", code], {}, "the child")


def test_lines_go_both_ways() -> None:
    with child("while True: print(input()[::-1], flush=True)") as process:
        process.write_line("abc")
        process.write_line("def")
        assert [process.read_line(), process.read_line()] == ["cba", "fed"]


def test_error_has_the_last_line_of_a_child_that_died() -> None:
    with child("raise ValueError('no such thing')") as process:
        with pytest.raises(
            ChildFailedError, match="the child has ended: ValueError: no such thing"
        ):
            process.read_line()


def test_silent_child_is_not_waited_for() -> None:
    with child("input()") as process:
        with pytest.raises(ChildFailedError, match=r"said nothing for 0\.1 s"):
            process.read_line(limit_s=0.1)
        assert process.is_running
    assert not process.is_running


def test_writing_to_one_that_has_ended_is_its_failure() -> None:
    with child("pass") as process:
        with pytest.raises(ChildFailedError, match="has ended"):
            process.read_line()
        with pytest.raises(ChildFailedError, match="has ended"):
            process.write_line("hello")


def test_child_ends_with_an_error_of_its_owner() -> None:
    process = child("import time; time.sleep(1000)")
    process.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert not process.is_running
