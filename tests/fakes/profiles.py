"""Profiles, requests for their pages, and threads that are to be seen in them."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping

from pybrpc.builtin.page import PageEntry, PageRequest, PageResponse
from pybrpc.builtin.process_entries import ENTRIES
from pybrpc.builtin.profiling.profile import Frame, Profile, SampleKey, ValueType
from pybrpc.builtin.registry import run_page
from pybrpc.builtin.server_view import ServerView
from pybrpc.protocols.http1 import HttpHeaders, QueryMap
from tests.fakes.pages import FakeServerView

PAGES: Mapping[str, PageEntry] = {entry.name: entry for entry in ENTRIES}
HOSTILE = '<script>alert("1")</script>&\'\x00\ud800'
END_S = 30.0


def ask(
    url: str,
    *,
    method: str = "GET",
    body: str = "",
    html: bool = False,
    is_internal: bool = True,
    server: ServerView | None = None,
) -> PageResponse:
    """The answer of the page at `url`."""
    path, _, query = url.partition("?")
    name, _, rest = path.strip("/").partition("/")
    headers = HttpHeaders()
    headers.append("X-Pybrpc-Post", "1")
    request = PageRequest(
        method, name, rest, QueryMap(query), headers, body.encode(), html, is_internal
    )
    return run_page(request, server or FakeServerView(), PAGES)


def text_of(response: PageResponse) -> str:
    return response.body_bytes().decode()


def profile_of(
    stacks: Mapping[str, int],
    *,
    kind: str = "cpu",
    unit: str = "nanoseconds",
    duration_s: float = 10.0,
    thread: str = "",
    task: str = "",
) -> Profile:
    """A profile of stacks such as "main;work;read"."""
    samples = {
        SampleKey(tuple(Frame(name, "/app/x.py", 7) for name in stack.split(";")), thread, task): (
            1,
            value,
        )
        for stack, value in stacks.items()
    }
    types = (ValueType("samples", "count"), ValueType(kind, unit))
    return Profile(kind, types, samples, 1_700_000_000.0, duration_s, 10_000_000)


@contextlib.contextmanager
def thread_in(function: Callable[[], object], name: str = "seen") -> Iterator[threading.Thread]:
    """A thread that runs `function`, which the test makes return before the end of the block."""
    thread = threading.Thread(target=function, name=name)
    thread.start()
    try:
        yield thread
    finally:
        thread.join(END_S)
        assert not thread.is_alive()
