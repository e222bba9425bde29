"""CallTree: the stacks of a profile as a tree, and compared with those of another one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pybrpc.builtin.profiling.profile import Frame, Profile

Name = tuple[str, str]
"""A function: its name and its file."""


class Node:
    """A function, called by its parent. All values include what its children cost."""

    __slots__ = ("base", "children", "lines", "name", "value")

    def __init__(self, name: Name) -> None:
        self.name = name
        self.value = 0
        self.base = 0.0
        """The value in the other profile; 0.0 without one."""
        self.children: dict[Name, Node] = {}
        self.lines = (0, 0)
        """The first and the last line that ran."""

    def child(self, name: Name) -> Node:
        """The child of that name, made now if there is none."""
        found = self.children.get(name)
        if found is None:
            found = self.children[name] = Node(name)
        return found

    def ordered(self) -> list[Node]:
        """The children, most expensive first; the order is always the same."""
        return sorted(self.children.values(), key=lambda node: (-node.value, node.name))

    def saw(self, line: int) -> None:
        """A sample was taken at `line` of it."""
        first, last = self.lines
        self.lines = (min(first or line, line), max(last, line))

    def __repr__(self) -> str:
        return f"<Node {self.name[0]} {self.value}, {len(self.children)} children>"


def call_tree(profile: Profile, base: Profile | None = None, *, by_thread: bool = False) -> Node:
    """The root of the tree; its name is the kind of the profile. Negative values, which the growth
    of memory may have, are left out: a graph has no boxes for them.

    base        a profile to compare with: its values are in `Node.base`, as if it had been taken
                for as long as `profile`
    by_thread   the first level are threads
    """
    root = Node((f"all ({profile.kind})", ""))
    for key, value in profile.main_values():
        if value <= 0:
            continue
        node = root
        node.value += value
        for frame in frames_of(key.thread, key.task, key.stack, by_thread):
            node = node.child(frame[:2])
            node.value += value
            node.saw(frame.line)
    if base is not None:
        _add_base(root, base, scale_of(profile, base), by_thread)
    return root


def frames_of(thread: str, task: str, stack: tuple[Frame, ...], by_thread: bool) -> Iterator[Frame]:
    """The frames that a graph shows for a sample: thread and task are frames of it."""
    if by_thread and thread:
        yield Frame(f"thread {thread}")
    if task:
        yield Frame(f"task {task}")
    yield from stack


def _add_base(root: Node, base: Profile, scale: float, by_thread: bool) -> None:
    for key, value in base.main_values():
        if value <= 0:
            continue
        node = root
        node.base += value * scale
        for frame in frames_of(key.thread, key.task, key.stack, by_thread):
            node = node.child(frame[:2])
            node.base += value * scale


def scale_of(profile: Profile, base: Profile) -> float:
    """By what values of `base` are multiplied to be compared with those of `profile`."""
    if profile.duration_s > 0 and base.duration_s > 0:
        return profile.duration_s / base.duration_s
    return 1.0


@dataclass(slots=True)
class FunctionCost:
    """A function in all stacks of a profile."""

    name: Name
    own: int = 0
    """While it was the innermost one."""
    total: int = 0
    """With those that it calls; recursion counts once."""
    base_own: float = 0.0
    base_total: float = 0.0


def costs_of_functions(
    profile: Profile, base: Profile | None = None
) -> Mapping[Name, FunctionCost]:
    """Each function with its costs."""
    found: dict[Name, FunctionCost] = {}
    for key, value in profile.main_values():
        for name in dict.fromkeys(frame[:2] for frame in key.stack):
            found.setdefault(name, FunctionCost(name)).total += value
        if key.stack:
            found[key.stack[-1][:2]].own += value
    if base is not None:
        scale = scale_of(profile, base)
        for key, value in base.main_values():
            for name in dict.fromkeys(frame[:2] for frame in key.stack):
                found.setdefault(name, FunctionCost(name)).base_total += value * scale
            if key.stack:
                found[key.stack[-1][:2]].base_own += value * scale
    return found
