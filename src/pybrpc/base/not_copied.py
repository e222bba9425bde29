"""NotCopied: the base of classes whose objects own what a copy would share."""

from __future__ import annotations

from typing import NoReturn, SupportsIndex


class NotCopied:
    """`copy.copy`, `copy.deepcopy` and `pickle.dumps` of an object raise TypeError."""

    __slots__ = ()

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        name = type(self).__name__
        raise TypeError(f"{name} can't be copied or pickled: a copy would share what it owns")
