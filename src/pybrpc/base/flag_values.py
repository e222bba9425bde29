"""Flags: named options of the process that can be changed while it runs, on the page /flags.

    slow_ms = FLAGS.define("slow_ms", 500, "Calls that last longer are logged")
    if elapsed_ms > slow_ms.value: ...

After gflags with a validator, which C++ bRPC calls reloadable. Everybody who may use internal pages
sees the values: a flag is no place for a password.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from typing import Any, Generic, TypeAlias, TypeVar

from pybrpc.base.renewed import renew_in_child

V = TypeVar("V", bound="bool | int | float | str")
F = TypeVar("F", bound="Flag[Any]")
AnyFlag: TypeAlias = "Flag[Any]"

MAX_TEXT_CHARS = 4096
"""Longest text of a value."""
_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]{0,127}")
_TRUE = frozenset(("true", "t", "yes", "y", "1", "on"))
_FALSE = frozenset(("false", "f", "no", "n", "0", "off"))


class Flag(Generic[V]):
    """One flag. Made by `Flags.define`. Reading `value` costs an attribute."""

    __slots__ = (
        "__weakref__",
        "_check",
        "_lock",
        "_on_change",
        "_read",
        "default",
        "description",
        "name",
        "value",
    )

    def __init__(
        self,
        name: str,
        default: V,
        description: str,
        check: Callable[[V], str] | None,
        on_change: Callable[[V], object] | None,
        read: Callable[[], V] | None,
    ) -> None:
        self.name = name
        self.default = default
        self.description = description
        self.value: V = default
        self._check = check
        self._on_change = on_change
        self._read = read
        self._lock = threading.RLock()
        renew_in_child(self)

    def renew_locks(self) -> None:
        """See `renew_in_child`."""
        self._lock = threading.RLock()

    @property
    def type_name(self) -> str:
        """bool, int, float or str."""
        return type(self.default).__name__

    def current(self) -> V:
        """The value now: `value`, or that of an option elsewhere which the flag stands for."""
        return self.value if self._read is None else self._read()

    @property
    def is_default(self) -> bool:
        """Whether it has the value that it was defined with."""
        return bool(self.current() == self.default)

    def set(self, value: V) -> None:
        """Change it. TypeError for another type, ValueError for a value that its check refuses.
        What its functions raise is raised, and the value is the old one then. Any thread."""
        if type(value) is not type(self.default):
            raise TypeError(f"the flag {self.name} is {self.type_name}, not {type(value).__name__}")
        reason = "" if self._check is None else self._check(value)
        if reason:
            raise ValueError(f"{self.name}: {reason}")
        with self._lock:
            if self._on_change is not None:
                self._on_change(value)
            self.value = value

    def set_text(self, text: str) -> None:
        """`set` a value that is given as text. ValueError if it is none of its type."""
        if len(text) > MAX_TEXT_CHARS:
            raise ValueError(f"a value has at most {MAX_TEXT_CHARS} characters")
        self.set(self.parsed(text))

    def parsed(self, text: str) -> Any:
        """A value that is given as text. ValueError if it is none of its type."""
        kind = type(self.default)
        if kind is bool:
            word = text.strip().lower()
            if word not in _TRUE | _FALSE:
                raise ValueError(f"{self.name} is true or false")
            return word in _TRUE
        if kind is str:
            return text
        try:
            value: Any = kind(text)
        except ValueError:
            what = "a whole number" if kind is int else "a number"
            raise ValueError(f"{self.name} is {what}") from None
        if value != value or value in (float("inf"), float("-inf")):
            raise ValueError(f"{self.name} is a finite number")
        return value

    def text(self) -> str:
        """The value, as gflags shows it: true, false, or its str."""
        return text_of_flag(self.current())

    def __repr__(self) -> str:
        return f"<Flag {self.name}={self.text()}>"


def text_of_flag(value: object) -> str:
    """A value as gflags shows it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


class Flags:
    """The flags of a process, by name. Any thread."""

    def __init__(self) -> None:
        self._flags: dict[str, AnyFlag] = {}
        self.are_immutable = False
        """Whether pages change none of them (-immutable_flags of C++)."""

    def define(
        self,
        name: str,
        default: V,
        description: str,
        *,
        check: Callable[[V], str] | None = None,
        on_change: Callable[[V], object] | None = None,
        read: Callable[[], V] | None = None,
    ) -> Flag[V]:
        """Define a flag; its type is that of `default`: bool, int, float or str.

        check      says why a value is refused, "" if it is not
        on_change  called with a new value before it is set, by the thread that sets it
        read       the value, if it is kept elsewhere and `on_change` sets it there

        They may raise: then nothing changes. ValueError for a name in use, or one that is not made
        of letters, digits and "_".
        """
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ValueError(f"a flag has a name of letters, digits and _, not {name!r}")
        if type(default) not in (bool, int, float, str):
            raise TypeError(f"the default of {name} is bool, int, float or str, not {default!r}")
        return self.add(Flag(name, default, description, check, on_change, read))

    def add(self, flag: F) -> F:
        """Add a flag that was made elsewhere. ValueError for a name in use."""
        if self._flags.setdefault(flag.name, flag) is not flag:
            raise ValueError(f"there is a flag {flag.name!r} already")
        return flag

    def find(self, name: str) -> AnyFlag | None:
        """The flag of that name."""
        return self._flags.get(name)

    def all(self) -> list[AnyFlag]:
        """All flags, sorted by name."""
        return [flag for _, flag in sorted(self._flags.copy().items())]

    def __repr__(self) -> str:
        return f"<Flags: {len(self._flags)}>"


FLAGS = Flags()
"""The flags of this process."""
