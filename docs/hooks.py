"""Completes the site: pages of the repository's root, pages of modules, the Chinese half.

The Chinese site has the pages of docs/zh/. Where there is none it has the English page, below a
line that says so: every link leads to a page, and both languages have the same navigation. A
Chinese page links to English ones as `../page.md`, and pages of both languages to those of the root
as `../README.md`. That is right in the repository; on the site they are beside each other.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from properdocs.config.defaults import ProperDocsConfig
    from properdocs.structure.files import Files
    from properdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = {
    "README.md": "index.md",
    "ARCHITECTURE.md": "architecture.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
}
"""Pages of the root, and what they are called on the site."""

SHARED = ("*.png", "*.svg", "*.css", "*.json")
"""Files of docs/ that both languages use."""

NOTICE = '!!! note ""\n    此页尚无中文版。This page is not translated yet.'
FINISHED = "finished-link:"
"""Before a link that leads out of one language; the theme lets no other one do so."""

ROW = re.compile(r"^\| `(pybrpc[\w.]*)` \| (.+) \|$", re.MULTILINE)
HEADING = re.compile(r"^(#+) (.+)$", re.MULTILINE)
CHINESE_LINK = re.compile(r"\[([^\]]+)\]\(zh/index\.md\)")
"""To the other half of the site, which this build doesn't know."""
ROOT_LINK = re.compile(r"\]\((?:\.\./)+([A-Z]+\.md)")
"""From a page of docs/ to one of the root, as it is in the repository."""
ANCHOR = re.compile(r'^<a id="[^"]+"></a>\n+', re.MULTILINE)
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def on_config(config: ProperDocsConfig) -> ProperDocsConfig:
    """Put the pages of each folder of the navigation, such as `design/`, in its place."""
    sections: dict[str, str] = config.extra.get("sections", {})
    config.nav = [completed(entry, sections) for entry in config.nav or []]
    return config


def completed(entry: Any, sections: dict[str, str]) -> Any:
    if isinstance(entry, str):
        return entry
    ((title, inside),) = entry.items()
    if isinstance(inside, str):
        inside = [page for page, _ in pages_of_folder(inside)]
    return {sections.get(title, title): [completed(each, sections) for each in inside]}


def pages_of_folder(folder: str) -> list[tuple[str, str]]:
    """The name and the text of each page, the README first."""
    if folder == "reference/":
        return list(module_pages())
    paths = sorted((DOCS / folder).glob("*.md"), key=lambda path: (path.stem != "README", path))
    return [(f"{folder}{path.name}", path.read_text()) for path in paths]


def on_files(files: Files, config: ProperDocsConfig) -> Files:
    from properdocs.structure.files import File

    for page, text in generated_pages():
        if files.get_file_from_path(page) is None:
            shown = with_notice(text) if is_chinese(config) else text
            files.append(File.generated(config, page, content=shown))
    if is_chinese(config):
        add_english_files(files, config)
    return files


def is_chinese(config: ProperDocsConfig) -> bool:
    return bool(config.theme["language"] == "zh")


def generated_pages() -> Iterator[tuple[str, str]]:
    """Name and text of each page that has no file in docs/."""
    for source, page in PAGES.items():
        yield page, fitted((ROOT / source).read_text())
    yield from module_pages()


def module_pages() -> Iterator[tuple[str, str]]:
    """A page for each public module, with all the names that docs/compatibility.md lists."""
    for module, names in ROW.findall((DOCS / "compatibility.md").read_text()):
        members = ", ".join(re.findall(r"`(\w+)`", names))
        directive = f"::: {module}\n    options:\n      members: [{members}]\n"
        yield f"reference/{module}.md", f"# {module}\n\n{directive}"


def add_english_files(files: Files, config: ProperDocsConfig) -> None:
    """Add each file that the Chinese folder lacks."""
    from properdocs.structure.files import File

    for path in sorted(DOCS.rglob("*")):
        name = path.relative_to(DOCS).as_posix()
        if name.startswith("zh/") or files.get_file_from_path(name) is not None:
            continue
        if path.suffix == ".md":
            files.append(File.generated(config, name, content=with_notice(path.read_text())))
        elif any(path.match(pattern) for pattern in SHARED):
            files.append(File.generated(config, name, abs_src_path=str(path)))


def with_notice(text: str) -> str:
    """An English page for the Chinese site, with the line that says so below its title."""
    title, _, rest = text.partition("\n")
    return f"{title}\n\n{NOTICE}\n{rest}"


def on_page_context(context: Any, page: Page, config: ProperDocsConfig, **_: Any) -> Any:
    """Let the switch of languages lead to the same page."""
    up = "../" * page.url.count("/")
    if is_chinese(config):
        links = {"en": f"{up}../{page.url}", "zh": f"{up}{page.url}"}
    else:
        links = {"en": f"{up}{page.url}", "zh": f"{up}zh/{page.url}"}
    for other in config.extra["alternate"]:
        other["link"] = FINISHED + links[other["lang"]]
    return context


def on_post_page(output: str, **_: Any) -> str:
    return output.replace(FINISHED, "")


def on_post_build(config: ProperDocsConfig) -> None:
    """Make the index of the search once more, by the command.

    The theme makes it by Pagefind as a service, which is ended when it has reported success, and
    then has not always written its files to their end: a search found nothing at all.
    """
    shutil.rmtree(Path(config.site_dir) / "search")
    command = [sys.executable, "-m", "pagefind", "--silent", "--site", config.site_dir]
    command += ["--output-subdir", "search", "--include-characters", "._", "--keep-index-url"]
    command += ["--exclude-selectors", "nav,footer,.headerlink"]
    subprocess.run(command, check=True)


on_post_build.mkdocs_priority = -100  # type: ignore[attr-defined]  # after the theme's own


def on_page_markdown(markdown: str, page: Page, config: ProperDocsConfig, **_: Any) -> str:
    """Make links fit, and give the headings of a Chinese page the anchors of the English one."""
    name = page.file.src_uri
    markdown = with_links_to_root(markdown, name)
    english = ROOT / {page: source for source, page in PAGES.items()}.get(name, f"docs/{name}")
    if Path(page.file.abs_src_path or "").parent != DOCS / "zh":
        if is_chinese(config):
            return markdown.replace("](zh/", "](")
        return CHINESE_LINK.sub(rf'<a href="{"../" * page.url.count("/")}zh/">\1</a>', markdown)
    markdown = markdown.replace("](../", "](")
    if not english.exists():
        return markdown
    anchors = [slug(title) for title in headings(english.read_text())]
    return with_anchors(markdown, anchors)


def with_links_to_root(text: str, name: str) -> str:
    """`text` of the page `name`, with links to pages of the root as they are on the site."""
    up = "../" * name.count("/")
    return ROOT_LINK.sub(lambda found: f"]({up}{PAGES.get(found[1], found[1])}", text)


def headings(text: str) -> list[str]:
    return [title for _, title in HEADING.findall(FENCE.sub("", text))]


def slug(title: str) -> str:
    """As GitHub and the site make it."""
    bare = re.sub(r"[^\w\- ]", "", re.sub(r"\]\(.*?\)", "", title).lower())
    return bare.replace(" ", "-")


def with_anchors(text: str, anchors: list[str]) -> str:
    """`text` with these ids for its headings; as it is if it has another number of them."""
    if len(headings(text)) != len(anchors):
        return text
    text = ANCHOR.sub("", text)  # on GitHub the page needs them
    left = iter(anchors)
    code = FENCE.findall(text)
    parts = [
        HEADING.sub(lambda found: f"{found[0]} {{ #{next(left)} }}", part)
        for part in FENCE.split(text)
    ]
    return "".join(part + block for part, block in zip(parts, [*code, ""], strict=True))


def fitted(text: str) -> str:
    """`text` with links as they are from within docs/."""
    for source, page in PAGES.items():
        text = text.replace(f"]({source}", f"]({page}")
    return text.replace("](docs/", "](")
