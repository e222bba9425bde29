"""Restful paths as C++ bRPC has them, line by line after src/brpc/restful.cpp, and a slow model of
those that pybrpc adds. Nothing here is shared with pybrpc but the values that are compared."""

from __future__ import annotations

import bisect
import re
from dataclasses import dataclass

from pybrpc.server.routing.restful_path import RestfulPath


@dataclass(frozen=True)
class CppPath:
    """RestfulMethodPath."""

    service_name: str
    prefix: str
    postfix: str
    has_wildcard: bool


def cpp_parse_path(path: str) -> CppPath | None:
    """ParseRestfulPath; `None` where it returns false."""
    path = path.strip(" \t\n\v\f\r")
    if not path:
        return None
    star_index = -1
    for index, char in enumerate(path):
        if char == "*":
            if star_index >= 0:
                return None
            star_index = index
        elif not _is_url_char(char):
            return None
    has_wildcard = star_index >= 0
    first_part, second_part = path, ""
    if has_wildcard:
        first_part, second_part = path[:star_index], path[star_index + 1 :]
    while first_part.startswith("/"):
        first_part = first_part[1:]
    service_name = prefix = ""
    slash_pos = first_part.find("/")
    if slash_pos >= 0:
        service_name = first_part[:slash_pos]
        prefix_raw = first_part[slash_pos + 1 :]
        for field in _split(prefix_raw):
            prefix += "/" + field
        if has_wildcard and prefix_raw and prefix_raw[-1] != "/":
            return None
        prefix += "/"
    elif not has_wildcard:
        service_name = first_part
        prefix += "/"
    else:
        if first_part:
            return None
        prefix += "/"
    postfix = ""
    if has_wildcard:
        if not second_part or second_part[0] == "/":
            postfix += "/"
        for field in _split(second_part):
            postfix += field + "/"
    else:
        postfix += "/"
    return CppPath(service_name, prefix, postfix, has_wildcard)


def cpp_form(path: RestfulPath) -> CppPath:
    """A pattern without captures as C++ has it."""
    prefix = "".join(f"/{component}" for component in path.prefix) + "/"
    return CppPath(path.service_name, prefix, path.suffix or "/", path.has_wildcard)


class CppRestfulMap:
    """RestfulMap: FindMethodProperty, over the paths sorted as by CompareItemInPathList."""

    def __init__(self, paths: list[CppPath]) -> None:
        self._paths = sorted(
            paths, key=lambda path: (path.prefix, not path.has_wildcard, path.postfix[::-1])
        )
        self._prefixes = [path.prefix for path in self._paths]

    def find(self, method_path: str) -> tuple[CppPath, str] | None:
        """The path that matches, and the unresolved path."""
        full_path = "".join(f"/{field}" for field in _split(method_path)) + "/"
        sub_path: str | None = full_path
        last = len(self._paths)
        while sub_path is not None:
            if last == 0:
                return None
            index = bisect.bisect_right(self._prefixes, sub_path, 0, last)
            index = max(index - 1, 0)
            while sub_path.startswith(self._paths[index].prefix):
                path = self._paths[index]
                left = full_path[len(path.prefix) - 1 :]
                if left.endswith(path.postfix):
                    left = left[: len(left) - len(path.postfix)]
                    if not left or path.has_wildcard:
                        return path, left[1:] if left.startswith("/") else left
                if index == 0:
                    return None
                index -= 1
            last = index
            sub_path = _without_last_component(sub_path)
        return None


def slow_find(
    paths: list[RestfulPath], http_method: str, components: list[str]
) -> tuple[RestfulPath, str] | set[str]:
    """The one of `paths` that matches, and the unresolved path; else the methods to allow."""
    full_path = "".join(f"/{component}" for component in components) + "/"
    matching = []
    for path in paths:
        prefix = "".join(
            "/[^/]+" if part is None else f"/{re.escape(part)}" for part in path.prefix
        )
        rest = "()/" if path.suffix is None else f"(?=/)(.*){re.escape(path.suffix)}"
        found = re.fullmatch(prefix + rest, full_path, re.DOTALL)
        if found is not None:
            matching.append((path, found[1].removeprefix("/")))
    accepted = [http_method, "GET", None] if http_method == "HEAD" else [http_method, None]
    fitting = [item for item in matching if item[0].http_method in accepted]
    if not fitting:
        return {str(path.http_method) for path, _ in matching}

    def rank(item: tuple[RestfulPath, str]) -> tuple[object, ...]:
        path = item[0]
        return (
            -len(path.prefix),
            [part is None for part in path.prefix],
            path.has_wildcard,
            -len(path.suffix or ""),
            accepted.index(path.http_method),
        )

    return min(fitting, key=rank)


def _is_url_char(char: str) -> bool:
    return ord(char) >= 0x80 or ("!" <= char <= "~" and char not in "#?")


def _split(text: str) -> list[str]:
    """StringSplitter: empty fields are skipped."""
    return [field for field in text.split("/") if field]


def _without_last_component(path: str) -> str | None:
    """RemoveLastComponent; `None` where it returns false."""
    if not path:
        return None
    path = path[:-1] if path.endswith("/") else path
    slash_pos = path.rfind("/")
    return None if slash_pos < 0 else path[: slash_pos + 1]
