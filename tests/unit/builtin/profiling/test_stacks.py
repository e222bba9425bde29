"""Stacks of threads, and what threads are called."""

from __future__ import annotations

import sys
import threading

import pytest

from pybrpc.builtin.profiling.profile import MAX_NAME
from pybrpc.builtin.profiling.stacks import (
    MAX_DEPTH,
    MORE_FRAMES,
    StackReader,
    cpu_ns_of_thread,
    group_name,
    thread_names,
)
from tests.fakes.profiles import thread_in


def test_the_innermost_function_is_last() -> None:
    stack, task = StackReader().stack_of(sys._getframe())
    assert stack[-1].function == "test_the_innermost_function_is_last"
    assert (stack[-1].file, task) == (__file__, "")


def test_a_deep_stack_keeps_its_inner_frames() -> None:
    def recurse(depth: int) -> tuple[object, ...]:
        return recurse(depth - 1) if depth else StackReader().stack_of(sys._getframe())[0]

    stack = recurse(MAX_DEPTH + 50)
    assert len(stack) == MAX_DEPTH + 1
    assert stack[0] == MORE_FRAMES
    assert {frame.function for frame in stack[1:]} == {  # type: ignore[attr-defined]
        "test_a_deep_stack_keeps_its_inner_frames.<locals>.recurse"
    }


def test_the_same_line_is_one_object() -> None:
    reader = StackReader()
    first, second = (reader.frame_of(sys._getframe()) for _ in range(2))
    assert first is second


def test_long_names_are_cut() -> None:
    names: dict[str, object] = {"sys": sys}
    exec(f"def {'x' * 1000}():\n    return sys._getframe()\nframe = {'x' * 1000}()", names)
    assert len(StackReader().frame_of(names["frame"]).function) == MAX_NAME  # type: ignore[arg-type]


def test_a_task_is_found_by_a_frame_of_the_stack() -> None:
    def inner() -> tuple[object, str]:
        outer = sys._getframe().f_back
        assert outer is not None
        return StackReader().stack_of(sys._getframe(), {outer: "refresh"})

    assert inner()[1] == "refresh"


def test_no_frame_is_an_empty_stack() -> None:
    assert StackReader().stack_of(None) == ((), "")


class Hostile(threading.Thread):
    """Its name raises once it runs."""

    is_hostile = False

    @property
    def name(self) -> str:
        if self.is_hostile:
            raise KeyboardInterrupt
        return threading.Thread.name.fget(self)  # type: ignore[attr-defined]

    @name.setter
    def name(self, name: str) -> None:
        threading.Thread.name.fset(self, name)  # type: ignore[attr-defined]


def test_names_do_not_run_code_of_the_user() -> None:
    end = threading.Event()
    thread = Hostile(target=end.wait, name="seen", daemon=True)
    thread.start()
    try:
        thread.is_hostile = True
        assert thread.ident is not None
        found = thread_names()[thread.ident]
        assert (found.name, found.native_id, found.is_daemon) == ("seen", thread.native_id, True)
    finally:
        thread.is_hostile = False
        end.set()
        thread.join()


def test_a_long_name_of_a_thread_is_cut() -> None:
    end = threading.Event()
    with thread_in(end.wait, "x" * 1000) as thread:
        assert thread.ident is not None
        name = thread_names()[thread.ident].name
        end.set()
    assert name == "x" * MAX_NAME


@pytest.mark.skipif(sys.platform != "linux", reason="no clocks of threads")
def test_processor_time_of_a_thread_grows_while_it_works() -> None:
    own = threading.get_native_id()
    before = cpu_ns_of_thread(own)
    sum(range(200_000))
    after = cpu_ns_of_thread(own)
    assert before is not None
    assert after is not None
    assert after > before


def test_a_thread_that_does_not_exist_has_no_processor_time() -> None:
    assert cpu_ns_of_thread(2**22 + 12345) is None


@pytest.mark.parametrize(
    ("name", "group"),
    [
        ("worker-17", "worker-*"),
        ("Thread-3", "Thread-*"),
        ("MainThread", "MainThread"),
        ("42", "42"),
        ("", ""),
    ],
)
def test_threads_of_a_pool_are_one_group(name: str, group: str) -> None:
    assert group_name(name) == group
