"""Misnamed: attributes that say what is to be used instead."""

from __future__ import annotations

import pytest

from pybrpc.rpc.misnamed import Misnamed, without_misnamed


class Thing:
    __slots__ = ("right",)

    wrong = Misnamed("read thing.right")

    def __dir__(self) -> list[str]:
        return without_misnamed(type(self), list(object.__dir__(self)))


class Subclass(Thing):
    pass


@pytest.mark.parametrize("kind", [Thing, Subclass])
def test_misnamed_attribute_is_refused_with_the_right_one(kind: type[Thing]) -> None:
    thing = kind()
    said = f"^{kind.__name__} has no attribute 'wrong': read thing.right$"
    with pytest.raises(AttributeError, match=said):
        thing.wrong  # noqa: B018
    with pytest.raises(AttributeError, match=said):
        thing.wrong = 5


def test_misnamed_attribute_is_not_there() -> None:
    thing = Thing()
    assert not hasattr(thing, "wrong")
    assert "wrong" not in dir(thing)
    assert "right" in dir(thing)


def test_class_shows_its_hint() -> None:
    assert Thing.wrong.right == "read thing.right"
