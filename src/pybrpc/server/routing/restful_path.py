"""RestfulPath: a pattern of paths, from text such as "/v1/files/*.mp4" or "GET /v1/users/{id}".

bRPC: ParseRestfulPath and ParseRestfulMappings, src/brpc/restful.cpp. Our own are the HTTP method
in front, and captures, `{field}`, which stand for one component of a path. bRPC refuses the former,
because of the blank, and takes braces for ordinary characters; here a brace that is not part of a
capture is an error (a URL has it as %7B).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pybrpc.base.checked_options import checked_text
from pybrpc.protocols.http1.options import METHODS

_BLANKS = " \t\n\v\f\r"
_BLANK = re.compile(f"[{_BLANKS}]++")
_ARROW = re.compile("(?<!=)=++>")
_BAD_CHARACTER = re.compile("[\0- #?\x7f\ud800-\udfff]")
"""Those that is_url_char of bRPC refuses, and those that no UTF-8 has."""


@dataclass(frozen=True, slots=True)
class RestfulPath:
    """A pattern of paths.

    http_method   the only one of its requests; `None` for any
    service_name  the first component; "" if the pattern begins with `*` or a capture, or is "/"
    prefix        the components after it, up to the `*` or the end; `None` is a capture
    suffix        what follows the `*`, with one slash at the end: "/", "/start/", ".mp4/"; `None`
                  for a pattern without `*`
    captures      names of fields, one for each `None` in `prefix`
    """

    http_method: str | None
    service_name: str
    prefix: tuple[str | None, ...]
    suffix: str | None = None
    captures: tuple[str, ...] = ()

    @property
    def has_wildcard(self) -> bool:
        return self.suffix is not None

    @property
    def url(self) -> str:
        """The pattern in its normal form, without the HTTP method. bRPC: to_string."""
        names = iter(self.captures)
        parts = [f"/{self.service_name}"] if self.service_name else []
        parts += [f"/{{{next(names)}}}" if part is None else f"/{part}" for part in self.prefix]
        if self.suffix is not None:
            parts += ["/*", self.suffix[:-1]]
        return "".join(parts) or "/"

    def __str__(self) -> str:
        """The pattern in its normal form. It can be parsed again."""
        return self.url if self.http_method is None else f"{self.http_method} {self.url}"


@dataclass(frozen=True, slots=True)
class RestfulMapping:
    """`path => method_name`"""

    path: RestfulPath
    method_name: str

    def __str__(self) -> str:
        return f"{self.path} => {self.method_name}"


def parse_restful_mappings(mappings: str) -> list[RestfulMapping]:
    """The mappings in "PATH => METHOD, PATH => METHOD"; [] for blanks.

    A comma at the end is allowed, and so are more signs in the arrow, `==>`. ValueError for a
    mapping that has no arrow, method or valid path; the text says which. TypeError: no string.
    """
    text = checked_text("restful_mappings", mappings).strip(_BLANKS)
    fields = [field for field in text.split(",") if field]
    if text and not fields:
        raise ValueError(f"restful_mappings {_shown(text)} has no PATH => METHOD")
    return [_parse_mapping(field) for field in fields]


def _parse_mapping(text: str) -> RestfulMapping:
    arrow = _ARROW.search(text)
    if arrow is None:
        raise ValueError(f"restful mapping {_shown(text)} must be PATH => METHOD")
    method_name = text[arrow.end() :].strip(_BLANKS)
    if not method_name:
        raise ValueError(f"restful mapping {_shown(text)} has no method behind the arrow")
    return RestfulMapping(parse_restful_path(text[: arrow.start()]), method_name)


def parse_restful_path(text: str) -> RestfulPath:
    """The pattern that `text` describes, or a ValueError that says what is wrong with it.

    Blanks at its ends and repeated slashes don't count, nor do slashes at its ends.
    """
    path = text.strip(_BLANKS)
    if not path:
        raise ValueError("a restful path is empty")
    http_method, path = _split_http_method(path)
    bad = _BAD_CHARACTER.search(path)
    if bad is not None:
        raise ValueError(f"restful path {_shown(path)} has {bad[0]!r}, which no path can have")
    if path.count("*") > 1:
        raise ValueError(f"restful path {_shown(path)} has more than one *")
    before, star, after = path.partition("*")
    if star and before.strip("/") and not before.endswith("/"):
        raise ValueError(
            f"restful path {_shown(path)} has text directly before *, which may only follow a slash"
        )
    components = [component for component in before.split("/") if component]
    is_fixed = bool(components) and not _is_capture(components[0])
    service_name = components.pop(0) if is_fixed else ""
    prefix = tuple(None if _is_capture(each) else each for each in components)
    captures = tuple(each[1:-1] for each in components if _is_capture(each))
    _check_braces(path, [service_name, *(each or "" for each in prefix), after], captures)
    suffix = _normalized_suffix(after) if star else None
    return RestfulPath(http_method, service_name, prefix, suffix, captures)


def _split_http_method(path: str) -> tuple[str | None, str]:
    words = _BLANK.split(path, 1)
    if len(words) == 1:
        return None, path
    first, rest = words
    if first in METHODS:
        return first, rest
    if first.upper() in METHODS:
        raise ValueError(f"restful path {_shown(path)} must have {first.upper()} in capitals")
    raise ValueError(
        f"restful path {_shown(path)} has a blank inside; only an HTTP method may stand in front"
    )


def _is_capture(component: str) -> bool:
    return component.startswith("{") and component.endswith("}")


def _check_braces(path: str, fixed: list[str], captures: tuple[str, ...]) -> None:
    if any("{" in part or "}" in part for part in (*fixed, *captures)) or "" in captures:
        raise ValueError(
            f"restful path {_shown(path)} has a brace that is not part of a capture; a capture is "
            "a whole component, {field}, before any *"
        )
    if len(set(captures)) < len(captures):
        raise ValueError(f"restful path {_shown(path)} captures a field twice")


def _normalized_suffix(after: str) -> str:
    slash = "/" if after[:1] in ("", "/") else ""
    return slash + "".join(f"{part}/" for part in after.split("/") if part)


def _shown(text: str) -> str:
    text = text.strip(_BLANKS)
    return repr(text if len(text) <= 200 else f"{text[:200]}...")
