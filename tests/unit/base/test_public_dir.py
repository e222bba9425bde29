"""`dir()` of an object hides the attributes that are not for users."""

from __future__ import annotations

from pybrpc.base.public_dir import public_dir


class Thing:
    __slots__ = ("shown",)

    def hidden(self) -> int:
        return 1

    def __dir__(self) -> list[str]:
        return public_dir(self, frozenset({"hidden"}))


def test_names_of_the_library_are_not_shown_and_still_work() -> None:
    thing = Thing()
    assert "hidden" not in dir(thing)
    assert {"shown", "__init__"} <= set(dir(thing))
    assert thing.hidden() == 1
