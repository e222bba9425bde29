"""ServerNode: one server as a naming service names it."""

from __future__ import annotations

import dataclasses
import math
import re

from pybrpc.base.endpoint import Endpoint

_NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?")
_PARTITION = re.compile(r"([0-9]{1,9})/([0-9]{1,9})")

MAX_WEIGHT = 1e9
"""Sums of weights, and whole numbers in the same proportions, stay exact below this."""


@dataclasses.dataclass(frozen=True, slots=True)
class ServerNode:
    """The address of a server, and its tag. Equal addresses with other tags are other nodes.

    A tag is free text. Of its words, separated by blanks, these mean something: a number, which is
    the weight ("3"; so is "weight=3" or "weight=0.5"), "zone=NAME", and "index/count", which is the
    partition that the server holds ("0/4").
    """

    endpoint: Endpoint
    """The address."""
    tag: str = ""
    weight: float | None = dataclasses.field(init=False, compare=False, repr=False, default=None)
    """At most MAX_WEIGHT. `None`: the tag names no weight, or one that is not above 0."""
    zone: str = dataclasses.field(init=False, compare=False, repr=False, default="")
    """ "" if the tag names none."""
    partition: tuple[int, int] | None = dataclasses.field(
        init=False, compare=False, repr=False, default=None
    )
    """Index and count, 0 <= index < count; `None` if the tag names none."""

    def __post_init__(self) -> None:
        for word in self.tag.split():
            self._note(word)

    @classmethod
    def parse(cls, address: str, tag: str = "") -> ServerNode:
        """AddressError if `address` is none."""
        return cls(Endpoint.parse(address), tag)

    def _note(self, word: str) -> None:
        key, equals, value = word.partition("=")
        if not equals and (partition := _PARTITION.fullmatch(word)) is not None:
            index, count = int(partition[1]), int(partition[2])
            if index < count:
                object.__setattr__(self, "partition", (index, count))
        elif (not equals and _NUMBER.fullmatch(word)) or key == "weight":
            weight = _weight(value if equals else word)
            if weight is not None:
                object.__setattr__(self, "weight", weight)
        elif key == "zone":
            object.__setattr__(self, "zone", value)

    def __str__(self) -> str:
        return f"{self.endpoint} {self.tag}" if self.tag else str(self.endpoint)


def weight_text(weight: float) -> str:
    """A weight above 0 as a tag has it: without an exponent."""
    return f"{min(max(weight, 1e-6), MAX_WEIGHT):.6f}".rstrip("0").rstrip(".")


def _weight(text: str) -> float | None:
    if not _NUMBER.fullmatch(text):
        return None
    weight = float(text)
    return min(weight, MAX_WEIGHT) if 0 < weight < math.inf else None
