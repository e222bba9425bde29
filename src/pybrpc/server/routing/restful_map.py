"""RestfulMap: finds the pattern of a path, among those with the same first component.

The patterns are a tree of their components. Several may match a path. They are tried in this order:

1. those with more components before the `*`, or before the end, as the longest prefix in bRPC;
2. of two with as many, the one that has a fixed component where the other has a capture, at the
   first place in which they differ in that;
3. of those with the same prefix, the one without `*`; then the longer text after the `*`;
4. of the same pattern, that with the HTTP method of the request; for HEAD, then the one with GET;
   then the one for any method.

A pattern that has other HTTP methods only is passed over. bRPC: RestfulMap::FindMethodProperty,
whose order this is if there are neither captures nor HTTP methods.

A look-up takes a time linear in the path, and in the tree at most: it visits no node of it twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from pybrpc.server.routing.restful_path import RestfulPath


@dataclass(frozen=True, slots=True)
class Target:
    """The method of a pattern. `places` are those of its captures among the components."""

    path: RestfulPath
    url: str
    entry: Any
    places: tuple[int, ...]


class Match(NamedTuple):
    target: Target
    unresolved_path: str


_ByMethod = dict[str | None, Target]
"""The targets of one pattern by their HTTP methods."""


class _Node:
    """Patterns with the same prefix. `wildcards` has those with `*`, longest suffix first."""

    __slots__ = ("captured", "exact", "fixed", "wildcards")

    def __init__(self) -> None:
        self.fixed: dict[str, _Node] = {}
        self.captured: _Node | None = None
        self.exact: _ByMethod | None = None
        self.wildcards: list[tuple[str, _ByMethod]] = []

    def child(self, component: str | None) -> _Node:
        """The node below it for a fixed component, or for captures (`None`). Made if needed."""
        if component is not None:
            return self.fixed.setdefault(component, _Node())
        if self.captured is None:
            self.captured = _Node()
        return self.captured

    def targets(self, suffix: str | None) -> _ByMethod:
        """Those of the pattern that ends here with this suffix. Made if needed."""
        if suffix is None:
            if self.exact is None:
                self.exact = {}
            return self.exact
        for known, targets in self.wildcards:
            if known == suffix:
                return targets
        targets = {}
        self.wildcards.append((suffix, targets))
        self.wildcards.sort(key=lambda item: len(item[0]), reverse=True)
        return targets


class RestfulMap:
    """Patterns with the same `service_name`. Not changed while it is used, so any thread may ask.

    `Routes` refuses duplicates before they get here.
    """

    __slots__ = ("_count", "_root", "service_name")

    def __init__(self, service_name: str) -> None:
        self.service_name = service_name
        self._root = _Node()
        self._count = 0

    def add(self, path: RestfulPath, entry: Any) -> None:
        """Map `path`, whose service_name is that of the map, to `entry`."""
        node = self._root
        for component in path.prefix:
            node = node.child(component)
        places = tuple(index for index, part in enumerate(path.prefix) if part is None)
        targets = node.targets(path.suffix)
        self._count += 1
        targets[path.http_method] = Target(path, path.url, entry, places)

    def find(self, http_method: str, components: list[str], allow: set[str]) -> Match | None:
        """The first pattern that matches a path, `components` of which follow `service_name`.

        `None` if there is none; to `allow` are added the HTTP methods of those that are passed
        over.
        """
        levels = self._levels(components)
        full_path = "".join([f"/{component}" for component in components]) + "/"
        starts = [0]
        for component in components[: len(levels) - 1]:
            starts.append(starts[-1] + len(component) + 1)
        for depth in range(len(levels) - 1, -1, -1):
            for node in levels[depth]:
                if depth == len(components) and node.exact is not None:
                    target = _chosen(node.exact, http_method, allow)
                    if target is not None:
                        return Match(target, "")
                for suffix, targets in node.wildcards:
                    if not full_path.endswith(suffix, starts[depth]):
                        continue
                    target = _chosen(targets, http_method, allow)
                    if target is not None:
                        left = full_path[starts[depth] : len(full_path) - len(suffix)]
                        return Match(target, left[1:])
        return None

    def _levels(self, components: list[str]) -> list[list[_Node]]:
        """The nodes that match the first 0, 1, 2... components, each list in order of rule 2."""
        level = [self._root]
        levels = [level]
        for component in components:
            below: list[_Node] = []
            for node in level:
                fixed = node.fixed.get(component)
                if fixed is not None:
                    below.append(fixed)
                if node.captured is not None:
                    below.append(node.captured)
            if not below:
                break
            level = below
            levels.append(level)
        return levels

    def __len__(self) -> int:
        """Patterns; those that differ in their HTTP method count each."""
        return self._count

    def __repr__(self) -> str:
        return f"<RestfulMap {self.service_name or '*'!r}, {self._count} patterns>"


def _chosen(targets: _ByMethod, http_method: str, allow: set[str]) -> Target | None:
    target = targets.get(http_method)
    if target is None and http_method == "HEAD":
        target = targets.get("GET")
    if target is None:
        target = targets.get(None)
    if target is None:
        allow.update(method for method in targets if method is not None)
    return target
