"""Links between the pages of the repository lead somewhere, as they do on the site."""

from __future__ import annotations

from pathlib import Path

import pytest

from docs import hooks
from tests.peers.markdown import broken_links

pytestmark = pytest.mark.same_everywhere

ROOT = hooks.ROOT
FOLDERS = (ROOT, ROOT / "docs", ROOT / "docs/design", ROOT / "docs/performance")
"""The Chinese pages have a test of their own."""

PAGES = sorted(page for folder in FOLDERS for page in folder.glob("*.md"))


def test_pages_of_the_root_and_of_docs_are_there() -> None:
    names = {page.relative_to(ROOT).as_posix() for page in PAGES}
    assert {*hooks.PAGES, "docs/client.md", "docs/design/README.md"} <= names


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_of_a_page_resolve(page: Path) -> None:
    assert broken_links(page) == []


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
