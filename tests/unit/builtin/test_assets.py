"""assets: the files that pages need."""

from __future__ import annotations

import re

import pytest

from pybrpc.builtin.assets import asset, url_of
from pybrpc.builtin.registry import run_page
from pybrpc.protocols.http1 import HttpHeaders
from tests.fakes.pages import FakeServerView, request_of

PATHS = {
    "/css/pybrpc.css": "text/css; charset=utf-8",
    "/js/pybrpc.js": "text/javascript; charset=utf-8",
    "/favicon.ico": "image/svg+xml",
}


@pytest.mark.parametrize("path", PATHS)
def test_a_file_may_be_cached_and_is_sent_once(path: str) -> None:
    first = run_page(request_of(path, is_internal=False), FakeServerView())
    assert (first.status, first.content_type) == (200, PATHS[path])
    assert first.headers["Cache-Control"] == "public, max-age=3600"
    headers = HttpHeaders({"If-None-Match": first.headers["ETag"]})
    second = run_page(request_of(path, headers=headers), FakeServerView())
    assert (second.status, second.body) == (304, b"")


@pytest.mark.parametrize("path", ["/css", "/css/other.css", "/js/../page.py", "/favicon.ico/x"])
def test_there_are_no_other_files(path: str) -> None:
    assert run_page(request_of(path), FakeServerView()).status == 404


def test_the_url_changes_with_the_bytes() -> None:
    tag = asset("css/pybrpc.css")[1]
    assert url_of("css/pybrpc.css") == f"/css/pybrpc.css?v={tag[1:9]}"


@pytest.mark.parametrize("path", ["css/pybrpc.css", "js/pybrpc.js"])
def test_no_file_names_another_host(path: str) -> None:
    text = asset(path)[0].decode()
    assert "//" not in text.replace("http://www.w3.org/2000/svg", "").replace("// ", "")
    assert "@import" not in text


@pytest.mark.parametrize("danger", ["innerHTML", "eval(", "document.write", "insertAdjacentHTML"])
def test_the_script_makes_no_markup_of_text(danger: str) -> None:
    assert danger not in asset("js/pybrpc.js")[0].decode()


def colours_of(css: str) -> list[dict[str, str]]:
    """The colours of the light page, and those of the dark one, by name."""
    parts = re.findall(r":root \{(.*?)\}", css, re.DOTALL)
    return [dict(re.findall(r"--([a-z0-9-]+): (#[0-9a-f]{6});", part)) for part in parts]


def luminance(colour: str) -> float:
    """The relative luminance of WCAG, 0 for black and 1 for white."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return sum(share * c for share, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(first: str, second: str) -> float:
    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_text_stands_out_from_what_is_behind_it(scheme: int) -> None:
    """At least 4.5, as WCAG wants it for small text; and 3 for lines of plots."""
    colours = colours_of(asset("css/pybrpc.css")[0].decode())[scheme]
    for back in ("page", "card", "row"):
        for text in ("ink", "soft", "accent", "good", "warn", "bad"):
            assert contrast(colours[text], colours[back]) >= 4.5, (text, back)
    for line in ("plot", "plot2", "plot3", "plot4"):
        assert contrast(colours[line], colours["card"]) >= 3, line
    assert contrast(colours["accent"], colours["accent-soft"]) >= 4.5
    assert contrast(colours["card"], colours["accent"]) >= 4.5  # a button
