"""The pages /hotspots/cpu, heap, growth and contention: profiles as graphs and tables.

A browser gets a form first; a profile that was taken is kept, and has an address of its own. curl
gets a table at once: after the seconds that a profile takes.
"""

from __future__ import annotations

from urllib.parse import urlencode

from pybrpc.builtin.html import Html, tag
from pybrpc.builtin.layout import html_page, table
from pybrpc.builtin.page import PageEntry, PageError, PageRequest, PageResponse
from pybrpc.builtin.profiling.call_tree import call_tree
from pybrpc.builtin.profiling.cost_table import cost_text
from pybrpc.builtin.profiling.flame_graph import flame_graph
from pybrpc.builtin.profiling.heap_tracing import (
    DEFAULT_FRAMES,
    DEFAULT_SECONDS,
    HEAP_TRACING,
    MAX_FRAMES,
    MAX_SECONDS,
)
from pybrpc.builtin.profiling.hotspots_html import overview, profile_view
from pybrpc.builtin.profiling.profile import Profile
from pybrpc.builtin.profiling.stored_profiles import STORED_PROFILES, StoredProfile
from pybrpc.builtin.profiling.taking import count_of, seconds_of, take_profile
from pybrpc.builtin.server_view import ServerView

SVG = "image/svg+xml"
PAGES = ("cpu", "heap", "growth", "contention")


def show_hotspots(request: PageRequest, server: ServerView) -> PageResponse:
    """`/hotspots/KIND`: `seconds=` takes a profile, `id=` shows one that was taken, `base=`
    compares it with another one, `at=` is the box of the graph in focus, `threads=1` has a box
    for each thread, `mode=wall` counts the time of threads that wait; `display_type=` is text
    or flame (an SVG)."""
    if not request.path and request.method != "POST":
        return _list(request, server)
    page = request.path.partition("/")[0]
    if page not in PAGES:
        raise PageError(404, f"there is no profile of that kind; there are {', '.join(PAGES)}")
    if request.method == "POST":
        return _control_tracing(request, server, page)
    if request.method == "HEAD":
        return PageResponse("")
    number = request.parameter("id")
    if number:
        return _show(request, server, page, _stored(number))
    if request.wants_html and not request.parameter("seconds"):
        return html_page(request, server, f"Hotspots: {page}", overview(page))
    seconds = seconds_of(request.parameter("seconds"))
    kind = "wall" if page == "cpu" and request.parameter("mode") == "wall" else page
    stored = STORED_PROFILES.add(take_profile(kind, seconds, server))
    if request.wants_html:
        location = address_of(page, id=str(stored.number))
        return PageResponse("", status=303, headers={"Location": location})
    return _show(request, server, page, stored)


def _list(request: PageRequest, server: ServerView) -> PageResponse:
    """The pages that there are."""
    if request.wants_html:
        rows = [(tag("a", path, href=path), text) for path, text in ENTRY.usage]
        return html_page(request, server, "Hotspots", table(("Page", "Shows"), rows))
    return PageResponse("".join(f"{path} : {text}\n" for path, text in ENTRY.usage))


def address_of(page: str, **parameters: str) -> str:
    """The path of a page with its parameters; empty ones are left out."""
    return f"/hotspots/{page}?" + urlencode({k: v for k, v in parameters.items() if v})


def _stored(number: str) -> StoredProfile:
    found = None
    if number.isascii() and number.isdigit() and len(number) < 12:
        found = STORED_PROFILES.find(int(number))
    if found is None:
        raise PageError(404, "there is no such profile any more: the last ones only are kept")
    return found


def _show(
    request: PageRequest, server: ServerView, page: str, stored: StoredProfile
) -> PageResponse:
    profile = stored.profile
    base_number = request.parameter("base")
    base = _stored(base_number).profile if base_number else None
    if base is not None and base.kind != profile.kind:
        raise PageError(400, f"a {profile.kind} profile is not compared with one of {base.kind}")
    display = request.parameter("display_type")
    if display == "text" or (display != "flame" and not request.wants_html):
        return PageResponse(cost_text(profile, base))
    graph = _graph(request, page, stored, base)
    if display == "flame" and not request.wants_html:
        return PageResponse(graph, SVG)
    content = profile_view(page, stored, base, base_number, graph)
    return html_page(request, server, f"Hotspots: {page}", content)


def _graph(request: PageRequest, page: str, stored: StoredProfile, base: Profile | None) -> Html:
    by_thread = request.parameter("threads") == "1"

    def link(path: str) -> str:
        return address_of(
            page,
            id=str(stored.number),
            base=request.parameter("base"),
            threads="1" if by_thread else "",
            at=path,
        )

    root = call_tree(stored.profile, base, by_thread=by_thread)
    at = request.parameter("at")
    return flame_graph(root, stored.profile.unit, link, at, is_diff=base is not None)


def _control_tracing(request: PageRequest, server: ServerView, page: str) -> PageResponse:
    """POST: `action=start`, with `frames` and `seconds`, or `action=stop`."""
    if page not in ("heap", "growth"):
        raise PageError(405, f"/hotspots/{page} has no POST", {"Allow": "GET, HEAD"})
    fields = request.form()
    action = fields.get("action", "")
    if action == "start":
        frames = count_of("frames", fields.get("frames", ""), DEFAULT_FRAMES, MAX_FRAMES)
        seconds = seconds_of(fields.get("seconds", ""), DEFAULT_SECONDS, MAX_SECONDS)
        if server.is_stopping:
            raise PageError(503, "the server stops")
        HEAP_TRACING.start(frames, seconds, lambda: server.is_stopping)
        text = f"tracemalloc traces for {seconds:.0f} s\n"
    elif action == "stop":
        text = "stopped\n" if HEAP_TRACING.stop() else "nothing was started here\n"
    else:
        raise PageError(400, "action must be start or stop")
    if request.wants_html:
        return PageResponse("", status=303, headers={"Location": f"/hotspots/{page}"})
    return PageResponse(text)


ENTRY = PageEntry(
    "hotspots",
    show_hotspots,
    "Profiles: where time, memory and waits go",
    methods=("GET", "POST"),
    usage=(
        ("/hotspots/cpu", "Profiling CPU"),
        ("/hotspots/cpu?mode=wall", "Profiling time, also of threads that wait"),
        ("/hotspots/heap", "Profiling heap; started by POST action=start"),
        ("/hotspots/growth", "Profiling growth of heap"),
        ("/hotspots/contention", "Profiling waits for locks, and lags of GIL and loops"),
    ),
)
