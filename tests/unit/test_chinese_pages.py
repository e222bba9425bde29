"""The pages of docs/zh/ follow the English ones: headings, code, and links that lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ENGLISH = ROOT / "docs"
CHINESE = ENGLISH / "zh"
PAGES = sorted(path.name for path in CHINESE.glob("*.md"))
TRANSLATED = [
    name for name in PAGES if name != "index.md"
]  # that one is made of parts of README.md

_FENCED = re.compile(r"^( *)```.*?^\1``` *$", re.MULTILINE | re.DOTALL)
_INDENTED = re.compile(r"(?<=\n\n)(?: {4}.*\n)+(?:\n+(?: {4}.*\n)+)*")
_HEADING = re.compile(r"^(#+) (.*)$", re.MULTILINE)
_ANCHOR = re.compile(r'<a id="([^"]+)"></a>')
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_CHINESE_LETTER = re.compile(r"[\u4e00-\u9fff]")


def code_of(text: str) -> list[str]:
    fenced = [match[0] for match in _FENCED.finditer(text)]
    return fenced + [match[0] for match in _INDENTED.finditer(_FENCED.sub("", text))]


def headings_of(text: str) -> list[tuple[str, str]]:
    return _HEADING.findall(_FENCED.sub("", text))


def anchors_of(text: str) -> set[str]:
    """Anchors of a page: those written in it, and those that GitHub makes of headings."""
    titles = [re.sub(r"[^\w\s-]", "", title) for _, title in headings_of(text)]
    return {*_ANCHOR.findall(text), *(title.strip().lower().replace(" ", "-") for title in titles)}


def broken_links(page: Path) -> list[str]:
    broken = []
    for link in _LINK.findall(_FENCED.sub("", page.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        if not target.exists() or (
            anchor and anchor not in anchors_of(target.read_text(encoding="utf-8"))
        ):
            broken.append(link)
    return broken


def test_there_are_chinese_pages() -> None:
    assert {"glossary.md", "index.md", "connections.md"} <= set(PAGES)


@pytest.mark.parametrize("name", TRANSLATED)
def test_a_chinese_page_has_the_headings_of_the_english_one(name: str) -> None:
    chinese = headings_of((CHINESE / name).read_text(encoding="utf-8"))
    english = headings_of((ENGLISH / name).read_text(encoding="utf-8"))
    assert [level for level, _ in chinese] == [level for level, _ in english]


@pytest.mark.parametrize("name", TRANSLATED)
def test_a_chinese_page_has_the_code_of_the_english_one(name: str) -> None:
    chinese = code_of((CHINESE / name).read_text(encoding="utf-8"))
    assert chinese == code_of((ENGLISH / name).read_text(encoding="utf-8"))


def test_code_of_the_first_page_is_that_of_the_readme() -> None:
    readme = code_of((ROOT / "README.md").read_text(encoding="utf-8"))
    code = code_of((CHINESE / "index.md").read_text(encoding="utf-8"))
    assert code
    assert [block for block in code if block not in readme] == []


@pytest.mark.parametrize("name", TRANSLATED)
def test_a_chinese_page_has_as_many_table_rows_as_the_english_one(name: str) -> None:
    def rows(path: Path) -> int:
        text = _FENCED.sub("", path.read_text(encoding="utf-8"))
        return sum(line.startswith("|") for line in text.splitlines())

    assert rows(CHINESE / name) == rows(ENGLISH / name)


@pytest.mark.parametrize("name", PAGES)
def test_links_of_a_chinese_page_resolve(name: str) -> None:
    assert broken_links(CHINESE / name) == []


@pytest.mark.parametrize("name", PAGES)
def test_links_of_a_chinese_page_lead_to_chinese_pages_where_there_are_any(name: str) -> None:
    links = _LINK.findall((CHINESE / name).read_text(encoding="utf-8"))
    english = {link.split("#")[0].removeprefix("../") for link in links if link.startswith("../")}
    assert sorted(english & set(PAGES)) == []


@pytest.mark.parametrize("name", PAGES)
def test_each_paragraph_of_a_chinese_page_is_in_chinese(name: str) -> None:
    text = _INDENTED.sub("", _FENCED.sub("", (CHINESE / name).read_text(encoding="utf-8")))
    prose = [line for line in text.splitlines() if not line.startswith(("|", "<", "!", "#"))]
    assert [line for line in prose if line.strip() and not _CHINESE_LETTER.search(line)] == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("[a](nowhere.md)", ["nowhere.md"]),
        ("[a](glossary.md#nowhere)", ["glossary.md#nowhere"]),
        ("[a](glossary.md) [b](https://example.com/x) [c](#here)\n\n# Here\n", []),
    ],
)
def test_broken_links_are_found(tmp_path: Path, text: str, found: list[str]) -> None:
    (tmp_path / "glossary.md").write_text("# Glossary\n", encoding="utf-8")
    page = tmp_path / "page.md"
    page.write_text(text, encoding="utf-8")
    assert broken_links(page) == found
