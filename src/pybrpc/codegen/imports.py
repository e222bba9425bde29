"""Imports: the modules that a generated file imports, and their names in it."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable

from pybrpc.codegen.messages import MessageName, is_importable

LIBRARY = "pybrpc"
_GOOGLE = "google."
"""Modules that belong to other packages, and so are never imported relatively."""


class Imports:
    """The imports of one generated file.

    A module has its last name there. If another one has that name, or a method has, which would
    hide the module from the code of its class, it gets a longer one.
    """

    def __init__(
        self,
        own: str,
        descriptors: str,
        messages: Iterable[MessageName],
        taken: Iterable[str],
        is_relative: bool,
    ) -> None:
        """own          the module of the generated file
        descriptors  the module with the descriptors of its services
        messages     all whose types are asked for
        taken        names that can't be those of modules
        """
        self._own = own
        self._is_relative = is_relative
        self._taken = set(taken)
        self.library = self._new_name(LIBRARY)
        self._any = self._new_name("Any")
        self._import_module = self._new_name("import_module")
        self.descriptors = self._new_name(descriptors)
        """The name of the module with the descriptors."""
        self._of_descriptors = descriptors
        self._names = {descriptors: self.descriptors}
        self._uses_any = False
        for message in sorted(messages, key=lambda message: message.module):
            if not self._has_type(message):
                self._uses_any = True
            elif message.module not in self._names:
                self._names[message.module] = self._new_name(message.module)

    def _new_name(self, module: str) -> str:
        last = module.rpartition(".")[2]
        name = last
        if name in self._taken or not is_importable(name):
            name = re.sub(r"\W", "_", module)
        if name.startswith("__"):
            name = f"m{name}"  # Python would change it in the code of a class
        elif not is_importable(name):
            name = f"_{unicodedata.normalize('NFKC', name)}"
        while name in self._taken:
            name += "_"
        self._taken.add(name)
        return name

    def type_of(self, message: MessageName) -> str:
        """The annotation for a message; `Any` for one that Python code can't name."""
        if self._has_type(message):
            return f"{self._names[message.module]}.{message.name}"
        return self._any

    def _has_type(self, message: MessageName) -> bool:
        return is_importable(message.name) and self._is_statement(message.module)

    def lines(self) -> list[str]:
        """The import statements."""
        before, after = [], []
        modules = sorted(self._names)
        if not self._is_statement(self._of_descriptors):
            modules.remove(self._of_descriptors)
            before.append(_with_alias("from importlib import import_module", self._import_module))
            after = ["", self._call(self._of_descriptors)]
        if self._uses_any:
            before.append(_with_alias("from typing import Any", self._any))
        library = _with_alias(f"import {LIBRARY}", self.library)
        statements = [library, *map(self._statement, modules)]
        return [*before, *([""] if before else []), *statements, *after]

    def _is_statement(self, module: str) -> bool:
        """Whether an import statement can name it: it has no keyword among its words."""
        return is_importable(self._place_of(module).lstrip("."))

    def _statement(self, module: str) -> str:
        place = self._place_of(module)
        package, _, last = place.rpartition(".")
        if place.startswith(".") and not package.strip("."):
            package += "."  # the last point of "..b_pb2" belongs to the package
        statement = f"from {package} import {last}" if package else f"import {last}"
        return _with_alias(statement, self._names[module])

    def _call(self, module: str) -> str:
        place = self._place_of(module)
        package = ", __package__" if place.startswith(".") else ""
        text = json.dumps(place, ensure_ascii=False)
        return f"{self._names[module]} = {self._import_module}({text}{package})"

    def _place_of(self, module: str) -> str:
        """The module as seen from the generated file: "a.b_pb2", or relatively "..a.b_pb2"."""
        if not self._is_relative or module.startswith(_GOOGLE):
            return module
        here, there = self._own.split(".")[:-1], module.split(".")
        shared = 0
        while shared < min(len(here), len(there) - 1) and here[shared] == there[shared]:
            shared += 1
        return "." * (1 + len(here) - shared) + ".".join(there[shared:])


def _with_alias(statement: str, name: str) -> str:
    """`statement`, which imports one thing, under that name."""
    return statement if statement.endswith(f" {name}") else f"{statement} as {name}"
