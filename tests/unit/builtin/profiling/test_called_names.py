"""Names of what frames call, from their bytecode."""

from __future__ import annotations

import dis
import sys
import threading
from collections.abc import Callable
from types import CodeType

import pytest

from pybrpc.builtin.profiling import called_names
from pybrpc.builtin.profiling.called_names import MAX_CODE_BYTES, CalledNames, called_name
from tests.fakes.profiles import thread_in
from tests.fakes.threads import wait_until


def calls_in(source: str) -> list[str]:
    """The names of all that the function `f` of `source` calls, in their order."""
    names: dict[str, Callable[[], None]] = {}
    exec(source, names)
    code = names["f"].__code__
    found = [called_name(code, each.offset) for each in dis.get_instructions(code)]
    return [name for index, name in enumerate(found) if name and name not in found[:index]]


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("def f(): a.lock.acquire()", ["acquire"]),
        ("def f(): a.lock.acquire(timeout=max(0.0, 1.5))", ["max", "acquire"]),
        ("def f(a): a.acquire()", ["acquire"]),
        ("def f(): acquire()", ["acquire"]),
        ("def f(a): a[0].acquire(True)", ["acquire"]),
        ("def f(): a.make().acquire()", ["make", "acquire"]),
        ("def f():\n    x = (a.b\n        .acquire(\n            1))", ["acquire"]),
        ("def f(a):\n    a()", ["a"]),
        ("def f(): return 1 + 2", []),
    ],
)
def test_the_name_of_a_call_is_found(source: str, names: list[str]) -> None:
    assert calls_in(source) == names


def test_the_beginning_of_a_with_is_found() -> None:
    assert calls_in("def f(a):\n    with a.b:\n        pass")[0] == "with"


def test_long_functions_are_not_looked_into() -> None:
    code: CodeType = compile("a.acquire()\n" * 10_000, "long", "exec")
    assert len(code.co_code) > MAX_CODE_BYTES
    assert called_name(code, 10) == ""


def test_a_frame_that_calls_is_asked() -> None:
    frame, names = sys._getframe(), CalledNames()

    def ask() -> str:
        return names.by(frame)

    called = ask(), names.by(frame)  # an assert has one place for all its calls
    assert called == ("ask", "by")


def test_a_function_in_c_is_found_in_another_thread() -> None:
    lock, names = threading.Lock(), CalledNames()
    lock.acquire()

    def acquires() -> None:
        lock.acquire(timeout=60)

    def name_in(thread: threading.Thread) -> str:
        frame = sys._current_frames().get(thread.ident or 0)
        return "" if frame is None else names.by(frame)

    with thread_in(acquires) as thread:
        wait_until(lambda: name_in(thread) == "acquire")
        lock.release()


def test_each_place_is_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def counted(code: CodeType, offset: int) -> str:
        asked.append(offset)
        return "x"

    monkeypatch.setattr(called_names, "called_name", counted)
    frame, names = sys._getframe(), CalledNames()
    for _ in range(3):
        assert names.by(frame) == "x"
    assert len(asked) == 1


def test_without_positions_no_name_is_known() -> None:
    code = acquires.__code__.replace(co_linetable=b"")
    offsets = [each.offset for each in dis.get_instructions(code)]
    assert {called_name(code, offset) for offset in offsets} == {""}


def acquires(lock: threading.Lock) -> None:
    lock.acquire()
