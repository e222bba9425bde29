"""All pages of process and profiling: who may use them, and hostile texts in every parameter."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Iterator
from html.parser import HTMLParser
from urllib.parse import quote

import pytest

from pybrpc.builtin.page import Access
from pybrpc.builtin.process_entries import ENTRIES
from pybrpc.builtin.profiling.stored_profiles import STORED_PROFILES
from tests.fakes.profiles import HOSTILE, PAGES, ask, profile_of, text_of, thread_in

URLS = (
    "/hotspots/cpu",
    "/hotspots/heap",
    "/hotspots/growth",
    "/hotspots/contention",
    "/hotspots/cpu?id={id}&base={base}",
    "/hotspots/cpu?id={id}&threads=1",
    "/threads",
    "/tasks",
    "/bthreads",
    "/memory",
    "/loggers",
    "/vlog",
)
PARAMETERS = ("id", "base", "at", "seconds", "mode", "threads", "display_type", "x")


@pytest.fixture
def stored() -> Iterator[dict[str, int]]:
    """Two profiles with hostile names of everything."""
    STORED_PROFILES.clear()
    stacks = {f"{HOSTILE};work": 70, f"main;{HOSTILE}": 30}
    first, second = (
        STORED_PROFILES.add(profile_of(stacks, thread=HOSTILE, task=HOSTILE)) for _ in range(2)
    )
    yield {"id": second.number, "base": first.number}
    STORED_PROFILES.clear()


class Checker(HTMLParser):
    """Collects what no page may have."""

    def __init__(self) -> None:
        super().__init__()
        self.wrong: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        if tag in ("script", "style", "iframe", "object") or "style" in names:
            self.wrong.append(tag)
        self.wrong += [name for name in names if name.startswith("on")]


def check(html: str) -> None:
    checker = Checker()
    checker.feed(html)
    assert checker.wrong == []
    assert "<script" not in html
    assert not re.search(r"[\x00\ud800]", html)


def test_all_pages_are_internal() -> None:
    assert {entry.access for entry in ENTRIES} == {Access.INTERNAL}
    assert len(PAGES) == len(ENTRIES)
    for name in PAGES:
        for method in PAGES[name].methods:
            assert ask(f"/{name}", method=method, is_internal=False).status == 403


@pytest.mark.parametrize("url", URLS)
def test_hostile_names_of_threads_tasks_and_functions_are_text(
    url: str, stored: dict[str, int]
) -> None:
    namespace: dict[str, object] = {}
    exec("def named(end):\n    end.wait()", namespace)
    named = namespace["named"]
    named.__code__ = named.__code__.replace(  # type: ignore[attr-defined]
        co_name="<script>", co_qualname="<script>f", co_filename="<script>.py"
    )
    end = threading.Event()

    async def main() -> tuple[str, str]:
        task = asyncio.current_task()
        assert task is not None
        task.set_name(HOSTILE)
        address = url.format(**stored)
        return text_of(ask(address, html=True)), text_of(ask(f"{address}", html=True))

    with thread_in(lambda: named(end), "<script>t"):  # type: ignore[operator]
        pages = asyncio.run(main())
        end.set()
    for html in pages:
        assert html.startswith("<!DOCTYPE html>")
        check(html)


@pytest.mark.parametrize("parameter", PARAMETERS)
@pytest.mark.parametrize("url", URLS)
def test_hostile_parameters_never_come_out(
    url: str, parameter: str, stored: dict[str, int]
) -> None:
    hostile = quote(HOSTILE, errors="surrogatepass")
    address = url.format(**stored)
    if parameter == "x":
        path, _, query = address.partition("?")
        address = f"{path}/{hostile}?{query}"
    else:
        address += ("&" if "?" in address else "?") + f"{parameter}={hostile}"
    response = ask(address, html=True)
    assert response.status in (200, 400, 404)
    check(text_of(response))


@pytest.mark.parametrize("name", [name for name in PAGES if "POST" in PAGES[name].methods])
def test_hostile_forms_never_come_out(name: str) -> None:
    hostile = quote(HOSTILE, errors="surrogatepass")
    body = "&".join(f"{key}={hostile}" for key in ("action", "logger", "level", "frames"))
    path = f"/{name}/heap" if name == "hotspots" else f"/{name}"
    response = ask(path, method="POST", body=body, html=True)
    assert response.status in (400, 404)
    check(text_of(response))


@pytest.mark.parametrize("name", list(PAGES))
def test_no_page_takes_another_method(name: str) -> None:
    assert ask(f"/{name}", method="DELETE").status == 405
