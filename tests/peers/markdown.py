"""Reads pages of the documentation as text: their code, headings, and links."""

from __future__ import annotations

import re
from pathlib import Path

FENCED = re.compile(r"^( *)```.*?^\1``` *$", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"(?<=\n\n)(?: {4}.*\n)+(?:\n+(?: {4}.*\n)+)*")
HEADING = re.compile(r"^(#+) (.*)$", re.MULTILINE)
ANCHOR = re.compile(r'<a id="([^"]+)"></a>')
LINK = re.compile(r"\]\(([^)\s]+)\)")


def code_of(text: str) -> list[str]:
    fenced = [match[0] for match in FENCED.finditer(text)]
    return fenced + [match[0] for match in INDENTED.finditer(FENCED.sub("", text))]


def headings_of(text: str) -> list[tuple[str, str]]:
    return HEADING.findall(FENCED.sub("", text))


def anchors_of(text: str) -> set[str]:
    """Anchors of a page: those written in it, and those that GitHub makes of headings."""
    titles = [re.sub(r"[^\w\s-]", "", title) for _, title in headings_of(text)]
    return {*ANCHOR.findall(text), *(title.strip().lower().replace(" ", "-") for title in titles)}


def broken_links(page: Path) -> list[str]:
    broken = []
    for link in LINK.findall(FENCED.sub("", page.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        if not target.exists() or (
            anchor and anchor not in anchors_of(target.read_text(encoding="utf-8"))
        ):
            broken.append(link)
    return broken
