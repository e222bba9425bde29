"""Shows the options in a docstring as a list on the site.

In the source they are two columns, `name   what it is`, which Markdown would run together.
"""

from __future__ import annotations

import re
from typing import Any

import griffe

ROW = re.compile(r"^(\w+(?:, \w+)*)  +(\S.*)$")


class ListsOptions(griffe.Extension):
    """Rewrites the docstring of each object that griffe has read."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = with_lists(obj.docstring.value)


def with_lists(text: str) -> str:
    """`text` with a list in the place of each paragraph of two columns."""
    return "\n\n".join(as_list(paragraph) for paragraph in text.split("\n\n"))


def as_list(paragraph: str) -> str:
    """The paragraph as a list, if each line is a row or goes on with one."""
    rows: list[list[str]] = []
    for line in paragraph.splitlines():
        found = ROW.match(line)
        if found is not None:
            rows.append([found[1], found[2]])
        elif rows and line.startswith("  "):
            rows[-1].append(line.strip())
        else:
            return paragraph
    return "\n".join(f"- `{name}`: {' '.join(texts)}" for name, *texts in rows)
