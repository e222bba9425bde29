"""NotCopied: objects that own what a copy would share."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import pytest

from pybrpc.base.not_copied import NotCopied


class Slotted(NotCopied):
    __slots__ = ("part",)


class Plain(NotCopied):
    pass


@pytest.mark.parametrize("kind", [Slotted, Plain])
@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickle.dumps])
def test_copy_is_refused(kind: type[NotCopied], copied: Callable[[object], object]) -> None:
    with pytest.raises(TypeError, match=f"{kind.__name__} can't be copied or pickled"):
        copied(kind())
