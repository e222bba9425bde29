"""The stacks of threads, as text and in a page."""

from __future__ import annotations

import asyncio
import threading

import pytest

from pybrpc.builtin.process import thread_dump
from pybrpc.builtin.process.thread_dump import stack_lines, thread_dumps
from pybrpc.builtin.profiling.profile import Frame
from tests.fakes.profiles import ask, text_of, thread_in


def test_the_main_thread_comes_first_and_others_by_name() -> None:
    end = threading.Event()
    with thread_in(end.wait, "b"), thread_in(end.wait, "a"):
        dumps, left_out = thread_dumps()
        end.set()
    names = [dump.name for dump in dumps]
    assert names[0] == threading.main_thread().name
    assert names.index("a") < names.index("b")
    assert left_out == 0


def test_a_thread_is_shown_with_what_it_runs() -> None:
    end, started = threading.Event(), threading.Event()

    def waits_here() -> None:
        started.set()
        end.wait()

    with thread_in(waits_here, "seen") as thread:
        assert started.wait(30)
        (dump,) = (dump for dump in thread_dumps()[0] if dump.name == "seen")
        end.set()
    assert (dump.ident, dump.native_id, dump.is_daemon) == (thread.ident, thread.native_id, False)
    assert waits_here.__qualname__ in [frame.function for frame in dump.stack]
    assert dump.title().startswith(f"seen, id {thread.native_id}")


def test_the_task_that_runs_is_named() -> None:
    async def main() -> str:
        task = asyncio.current_task()
        assert task is not None
        task.set_name("refresh")
        (dump,) = (d for d in thread_dumps()[0] if d.ident == threading.get_ident())
        return dump.title()

    assert asyncio.run(main()).endswith("task refresh")


def test_threads_are_limited() -> None:
    end = threading.Event()
    with thread_in(end.wait), thread_in(end.wait):
        dumps, left_out = thread_dumps(limit=1)
        end.set()
    assert (len(dumps), left_out >= 2) == (1, True)


def test_frames_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thread_dump, "MAX_SHOWN_FRAMES", 3)
    end = threading.Event()
    with thread_in(end.wait):
        dumps, _ = thread_dumps()
        end.set()
    assert sum(len(dump.stack) for dump in dumps) == 3
    assert dumps[0].stack[-1].function == "thread_dumps"


def test_lines_have_the_innermost_frame_first_and_no_control_characters() -> None:
    stack = (Frame("main", "a.py", 1), Frame("x\n\x1b", "b.py", 2))
    assert stack_lines(stack) == [r"#0 x\n\x1b at b.py:2", "#1 main at a.py:1"]


def test_the_page_is_text_for_curl_and_html_for_browsers() -> None:
    end = threading.Event()
    with thread_in(end.wait, "<script>"):
        text, html = text_of(ask("/threads")), text_of(ask("/threads", html=True))
        end.set()
    assert "\n\n<script>, id " in text
    assert "&lt;script&gt;, id " in html
    assert "<script>" not in html


def test_the_page_says_how_many_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thread_dump.thread_dumps, "__defaults__", (1,))
    end = threading.Event()
    with thread_in(end.wait):
        assert "more threads are not shown" in text_of(ask("/threads"))
        assert "more threads are not shown" in text_of(ask("/threads", html=True))
        end.set()
