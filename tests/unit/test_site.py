"""The site: pages that docs/hooks.py makes, and the diagrams of docs/diagrams/draw.py."""

from __future__ import annotations

import re
from typing import Any

import pytest

from docs import hooks
from docs.diagrams import draw

pytestmark = pytest.mark.same_everywhere

DOCS = hooks.DOCS


@pytest.mark.parametrize("name", draw.drawings())
def test_diagram_is_drawn_anew_after_a_change(name: str) -> None:
    drawn = (DOCS / f"diagrams/{name}.svg").read_text()
    assert drawn == draw.drawings()[name], "run python docs/diagrams/draw.py"


def test_reference_has_each_public_name() -> None:
    pages = dict(hooks.module_pages())
    table = (DOCS / "compatibility.md").read_text()
    listed = re.findall(r"^\| `(pybrpc[\w.]*)` \| (.+) \|$", table, re.MULTILINE)
    assert len(pages) == len(listed) > 10
    for module, names in listed:
        page = pages[f"reference/{module}.md"]
        shown = re.findall(r"\w+", page.partition("members:")[2])
        assert shown == re.findall(r"`(\w+)`", names)


def test_navigation_lists_the_pages_of_a_folder_and_translates_sections() -> None:
    nav: Any = {"Inside": ["architecture.md", {"Decisions": "design/"}]}
    done = hooks.completed(nav, {"Inside": "内部"})
    architecture, decisions = done["内部"]
    assert architecture == "architecture.md"
    pages = decisions["Decisions"]
    assert pages[:2] == ["design/README.md", "design/0001-write-queue.md"]
    assert len(pages) == len(list((DOCS / "design").glob("*.md")))


def test_chinese_headings_have_the_anchors_of_the_english_ones() -> None:
    anchors = [hooks.slug(title) for title in ("Errors", "Errors that a handler raises", "`a_b`")]
    assert anchors == ["errors", "errors-that-a-handler-raises", "a_b"]
    text = "# 错误\n\n```python\n# no heading\n```\n\n## 处理\n\n### 代码\n"
    assert hooks.with_anchors(text, anchors) == (
        "# 错误 { #errors }\n\n```python\n# no heading\n```\n\n"
        "## 处理 { #errors-that-a-handler-raises }\n\n### 代码 { #a_b }\n"
    )


def test_page_with_another_number_of_headings_stays_as_it_is() -> None:
    assert hooks.with_anchors("# 错误\n", ["errors", "codes"]) == "# 错误\n"


def test_notice_stands_below_the_title() -> None:
    page = hooks.with_notice("# Errors\n\nAll errors.\n")
    assert page.startswith(f"# Errors\n\n{hooks.NOTICE}\n")
    assert page.endswith("\n\nAll errors.\n")


def test_links_of_the_root_fit_on_the_site() -> None:
    text = "[a](docs/tls.md) [b](SECURITY.md#tls) [c](https://example.com/docs/)"
    fitted = "[a](tls.md) [b](security.md#tls) [c](https://example.com/docs/)"
    assert hooks.fitted(text) == fitted


def test_links_to_the_root_fit_on_the_site() -> None:
    text = "[a](../README.md#quickstart) [b](tls.md) [c](../design/README.md)"
    fitted = "[a](index.md#quickstart) [b](tls.md) [c](../design/README.md)"
    assert hooks.with_links_to_root(text, "client.md") == fitted
    assert hooks.with_links_to_root("[a](../../SECURITY.md)", "server.md") == "[a](security.md)"
    deep = hooks.with_links_to_root("[a](../../CONTRIBUTING.md)", "design/0001-write-queue.md")
    assert deep == "[a](../contributing.md)"


def test_page_keeps_its_own_anchors_where_headings_differ() -> None:
    text = '<a id="quickstart"></a>\n\n# First\n'
    assert hooks.with_anchors(text, []) == text
    assert hooks.with_anchors(text, ["start"]) == "# First { #start }\n"


def test_two_columns_of_a_docstring_become_a_list() -> None:
    docstrings = pytest.importorskip("docs.docstrings", reason="there is no griffe here")
    text = "Options.\n\ntimeout     seconds\n            for all\na, b        two\n\nThe end."
    expected = "Options.\n\n- `timeout`: seconds for all\n- `a, b`: two\n\nThe end."
    assert docstrings.with_lists(text) == expected
    assert docstrings.with_lists("one line\n  two") == "one line\n  two"
