"""The pages of docs/zh/ follow the English ones: headings, code, and links that lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.peers.markdown import (
    FENCED,
    INDENTED,
    LINK,
    broken_links,
    code_of,
    headings_of,
)

pytestmark = pytest.mark.same_everywhere

ROOT = Path(__file__).parents[2]
ENGLISH = ROOT / "docs"
CHINESE = ENGLISH / "zh"
PAGES = sorted(path.name for path in CHINESE.glob("*.md"))
TRANSLATED = [
    name for name in PAGES if name != "index.md"
]  # that one is made of parts of README.md

TRANSLATED_SECTIONS = {"Start", "Guides", "Coming from", "Cookbook"}
_CODE = re.compile(r"`[^`]+`")
_CHINESE_LETTER = re.compile(r"[\u4e00-\u9fff]")


def pages_of_sections() -> dict[str, list[str]]:
    """The pages of each section of the navigation, as properdocs.yml lists them."""
    _, _, navigation = (ROOT / "properdocs.yml").read_text(encoding="utf-8").partition("\nnav:\n")
    navigation, _, _ = navigation.partition("\nvalidation:\n")
    _, *parts = re.split(r"^  - ([^:\n]+):\n", navigation, flags=re.MULTILINE)
    titles, lists = parts[::2], parts[1::2]
    return {
        title: re.findall(r"- (\S+\.md)$", pages, re.MULTILINE)
        for title, pages in zip(titles, lists, strict=True)
    }


def test_each_page_for_users_has_a_chinese_one() -> None:
    sections = pages_of_sections()
    pages = {page for title in TRANSLATED_SECTIONS for page in sections[title]}
    assert {"index.md", "client.md", "coming-from-brpc.md", "cookbook.md"} <= pages
    assert sorted(pages - set(PAGES)) == []


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
    assert len(rows_of(CHINESE / name)) == len(rows_of(ENGLISH / name))


@pytest.mark.parametrize("name", TRANSLATED)
def test_a_row_of_a_chinese_page_names_the_same_code_as_the_english_one(name: str) -> None:
    pairs = zip(rows_of(CHINESE / name), rows_of(ENGLISH / name), strict=True)
    assert [pair for pair in pairs if not have_same_code(*pair)] == []


def rows_of(page: Path) -> list[str]:
    """The rows of all tables."""
    text = FENCED.sub("", page.read_text(encoding="utf-8"))
    return [line for line in text.splitlines() if line.startswith("|")]


def have_same_code(chinese: str, english: str) -> bool:
    return set(_CODE.findall(chinese)) == set(_CODE.findall(english))


@pytest.mark.parametrize("name", PAGES)
def test_links_of_a_chinese_page_resolve(name: str) -> None:
    assert broken_links(CHINESE / name) == []


@pytest.mark.parametrize("name", PAGES)
def test_links_of_a_chinese_page_lead_to_chinese_pages_where_there_are_any(name: str) -> None:
    links = LINK.findall((CHINESE / name).read_text(encoding="utf-8"))
    english = {link.split("#")[0].removeprefix("../") for link in links if link.startswith("../")}
    assert sorted(english & set(PAGES)) == []


@pytest.mark.parametrize("name", PAGES)
def test_each_paragraph_of_a_chinese_page_is_in_chinese(name: str) -> None:
    text = INDENTED.sub("", FENCED.sub("", (CHINESE / name).read_text(encoding="utf-8")))
    prose = [line for line in text.splitlines() if not line.startswith(("|", "<", "!", "#"))]
    assert [line for line in prose if line.strip() and not _CHINESE_LETTER.search(line)] == []
