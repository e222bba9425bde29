"""Hooks, where user code is called, and Strike, the exceptions that one of them raises."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from tests.raising.entries import Entries, Entry
from tests.raising.site import HOLD, Site

Hook = Callable[["Strike"], None]

HOOKS: dict[str, Hook] = {}
"""By name: a function that has user code raise each kind once, among the calls in flight."""


def hook(name: str) -> Callable[[Hook], Hook]:
    """Register a hook under that name."""

    def register(function: Hook) -> Hook:
        HOOKS[name] = function
        return function

    return register


class Strike:
    """The exceptions of one round. `stack` is closed at the end of the round."""

    def __init__(self, site: Site, entries: Entries, kinds: list[str]) -> None:
        self.site = site
        self.entries = entries
        self.kinds = kinds
        self.stack = contextlib.ExitStack()
        self.later: list[Callable[[], object]] = []
        """To be done when the gate is open."""
        self._number = 0

    def entry(self, what: str, *expected: str) -> Entry:
        return self.entries.new(what, *expected)

    def message(self, verb: str = HOLD) -> str:
        """A message that no other call of the round has."""
        self._number += 1
        return f"{verb} struck {self._number}"

    def begin(
        self, form: str, stub: Any, what: str, *expected: str, verb: str = HOLD, **options: Any
    ) -> Entry:
        """Begin a call with an entry of its own."""
        entry = self.entry(f"{what}, {form}", *expected)
        self.site.begin(form, stub, self.message(verb), entry, **options)
        return entry
