"""Registry: the table of exposed variables."""

from __future__ import annotations

import threading

import pytest

from pybrpc.metrics import Adder, MultiDimension, PassiveStatus, Status
from pybrpc.metrics.registry import MAX_MULTI_DIMENSIONS, Display, Entry, Registry, exposed


def entry(display: Display = Display.ALL) -> Entry:
    return Entry(Status(1), display)


def test_all_names_are_added_or_none() -> None:
    registry = Registry()
    registry.expose({"b": entry()})
    with pytest.raises(ValueError, match="already exposed as 'b'"):
        registry.expose({"a": entry(), "b": entry()})
    assert registry.list_exposed() == ["b"]
    registry.expose({"a": entry(), "b": entry()}, instead_of=["b"])
    registry.expose({"c": entry()}, instead_of=["a", "unknown"])
    assert registry.list_exposed() == ["b", "c"]
    registry.hide(["b", "unknown"])
    assert registry.count_exposed() == 1
    assert registry.find("b") is None


def test_places_where_a_variable_is_shown() -> None:
    registry = Registry()
    registry.expose({"text": entry(Display.PLAIN_TEXT), "html": entry(Display.HTML), "a": entry()})
    assert registry.list_exposed(Display.HTML) == ["a", "html"]
    assert [name for name, _ in registry.dump_exposed()] == ["a", "text"]
    assert [name for name, _ in registry.dump_exposed("text;html")] == ["text"]
    assert registry.describe_exposed("html", display=Display.PLAIN_TEXT) is None
    assert registry.describe_exposed("html") == "1"


def test_function_of_a_user_may_expose_and_hide_during_a_dump() -> None:
    def change() -> int:
        Adder("added")
        exposed.hide(["status"])
        return 1

    PassiveStatus(change, "changes")
    Status("text", "status")
    assert exposed.dump_exposed() == [("changes", "1"), ("status", '"text"')]
    assert exposed.list_exposed() == ["added", "changes"]


def test_series_whose_description_raises_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(variable: Adder) -> str:
        raise RuntimeError

    monkeypatch.setattr(Adder, "describe_series", fail)
    Adder("adder")
    assert exposed.describe_series_exposed("adder") is None


def test_number_of_variables_with_labels_is_limited() -> None:
    for number in range(MAX_MULTI_DIMENSIONS):
        MultiDimension(Adder, ("a",), f"labelled_{number}")
    last = MultiDimension(Adder, ("a",))
    with pytest.raises(ValueError, match="1024 variables with labels"):
        last.expose("one_more")
    Adder("without_labels")
    exposed.hide(["labelled_0"])
    last.expose("one_more")
    last.expose("renamed")


def test_threads_may_expose_while_others_read() -> None:
    stopped = threading.Event()

    def change() -> None:
        for number in range(300):
            Adder(f"a_{threading.get_ident()}_{number}").hide()
        stopped.set()

    def read() -> None:
        while not stopped.is_set():
            exposed.dump_exposed("a_*")

    threads = [threading.Thread(target=each) for each in (change, change, read, read)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert exposed.count_exposed() == 0


def test_lock_is_free_in_a_child() -> None:
    registry = Registry()
    registry._lock.acquire()
    registry.renew_locks()
    done = threading.Thread(target=lambda: registry.expose({"a": entry()}))
    done.start()
    done.join()
    assert registry.count_exposed() == 1


def test_thousands_of_variables_are_dumped() -> None:
    for number in range(5000):
        Adder(f"variable_{number:04}").add(number)
    dumped = exposed.dump_exposed()
    assert len(dumped) == 5000
