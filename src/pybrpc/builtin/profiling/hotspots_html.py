"""The pages below /hotspots, for browsers."""

from __future__ import annotations

import time
import tracemalloc

from pybrpc.builtin.html import Html, join, tag
from pybrpc.builtin.layout import facts, form, table
from pybrpc.builtin.profiling.cost_table import cost_rows, heading, share
from pybrpc.builtin.profiling.heap_tracing import (
    DEFAULT_FRAMES,
    DEFAULT_SECONDS,
    HEAP_TRACING,
    MAX_FRAMES,
)
from pybrpc.builtin.profiling.heap_tracing import MAX_SECONDS as MAX_TRACING_SECONDS
from pybrpc.builtin.profiling.profile import Profile, shown_value
from pybrpc.builtin.profiling.sampling import MAX_SECONDS
from pybrpc.builtin.profiling.stored_profiles import STORED_PROFILES, StoredProfile

ABOUT = {
    "cpu": "Where the processor time of all threads goes: a sample every 10 ms.",
    "heap": "Which code has allocated the memory that is in use, since tracing was started.",
    "growth": "Which code has allocated what was added to memory while the profile ran.",
    "contention": "Where threads wait for locks, and how late threads and asyncio loops are.",
}
_KINDS = {"cpu": ("cpu", "wall")}


def overview(page: str) -> Html:
    """The page before a profile is taken: forms, and the profiles that are kept."""
    return join(
        tag("p", ABOUT[page], class_="lead"),
        _tracing(page) if page in ("heap", "growth") else None,
        _taking(page),
        tag("h2", "Profiles that were taken"),
        _kept(page),
    )


def _taking(page: str) -> Html | None:
    if page in ("heap", "growth") and not tracemalloc.is_tracing():
        return None
    seconds = _number("seconds", "10", "Seconds", int(MAX_SECONDS))
    if page == "heap":
        seconds = tag("input", type="hidden", name="seconds", value="1")
    mode = None
    if page == "cpu":
        mode = tag(
            "label",
            tag("input", type="checkbox", name="mode", value="wall"),
            " threads that wait, too",
        )
    button = tag("button", "Take a profile", type="submit")
    return tag("form", seconds, " ", mode, " ", button, method="get", action=f"/hotspots/{page}")


def _number(name: str, value: str, label: str, most: int) -> Html:
    field = tag("input", type="number", name=name, value=value, min=1, max=most, required=True)
    return tag("label", label, " ", field)


def _tracing(page: str) -> Html:
    """The state of tracemalloc, and a form that changes it."""
    action = f"/hotspots/{page}"
    if not tracemalloc.is_tracing():
        why = f" The last time it ended because {HEAP_TRACING.ended_because}."
        return join(
            tag(
                "p",
                "Nothing is traced: a program that allocates much runs several times as slow then.",
                why if HEAP_TRACING.ended_because else "",
            ),
            form(
                action,
                tag("input", type="hidden", name="action", value="start"),
                _number("seconds", str(int(DEFAULT_SECONDS)), "Seconds", int(MAX_TRACING_SECONDS)),
                " ",
                _number("frames", str(DEFAULT_FRAMES), "Frames of each block", MAX_FRAMES),
                " ",
                tag("button", "Start tracing", type="submit"),
            ),
        )
    in_use, peak = tracemalloc.get_traced_memory()
    needed = tracemalloc.get_tracemalloc_memory()
    values = [
        ("traced", shown_value(in_use, "bytes")),
        ("most so far", shown_value(peak, "bytes")),
        ("tracemalloc itself", shown_value(needed, "bytes")),
    ]
    if not HEAP_TRACING.is_own():
        return join(facts([*values, ("started by", "the application")]))
    return join(
        facts([*values, ("ends in", f"{HEAP_TRACING.remaining_s():.0f} s")]),
        form(
            action,
            tag("input", type="hidden", name="action", value="stop"),
            tag("button", "Stop tracing", type="submit"),
        ),
    )


def _kept(page: str) -> Html:
    rows = []
    for stored in STORED_PROFILES.latest_first(*_KINDS.get(page, (page,))):
        profile = stored.profile
        taken = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(profile.taken_at_s))
        rows.append(
            (
                tag("a", taken, href=f"/hotspots/{page}?id={stored.number}"),
                profile.kind,
                f"{profile.duration_s:.1f} s",
                shown_value(profile.total, profile.unit),
            )
        )
    return table(("Taken at", "Kind", "Length", "In all"), rows, "--nn")


def profile_view(
    page: str, stored: StoredProfile, base: Profile | None, base_number: str, graph: Html
) -> Html:
    """A profile: its graph, and the functions that cost most."""
    profile = stored.profile
    lines = heading(profile)
    if base is not None:
        lines.append(f"Compared with the {heading(base)[0]}. Red has grown, blue has shrunk.")
    same = f"/hotspots/{page}?id={stored.number}" + (f"&base={base_number}" if base else "")
    return join(
        [tag("p", line) for line in lines],
        tag(
            "p",
            tag("a", "whole graph", href=same),
            " · ",
            tag("a", "by thread", href=f"{same}&threads=1"),
            " · ",
            tag("a", "text", href=f"{same}&display_type=text&console=1"),
            " · ",
            tag("a", "take another one", href=f"/hotspots/{page}"),
        ),
        _hottest(profile),
        tag("div", graph, class_="scroll"),
        tag("h2", "Functions"),
        _functions(profile, base),
        tag("h2", "Compare with"),
        _comparable(page, stored),
    )


def _hottest(profile: Profile) -> Html | None:
    return None if profile.total else tag("p", "Nothing was found.", class_="empty")


def _functions(profile: Profile, base: Profile | None) -> Html:
    head = ["Function", "Itself", "%", "With callees", "%"]
    if base is not None:
        head.append("Change of itself")
    rows = []
    for row in cost_rows(profile, base):
        name = join(row.function, " ", tag("small", row.file))
        cells = [name, row.own, row.own_share, row.total, row.total_share]
        rows.append([*cells, row.change] if base is not None else cells)
    return table(head, rows, "-nnnnn"[: len(head)])


def _comparable(page: str, stored: StoredProfile) -> Html:
    """Links to comparisons with the other profiles of this kind."""
    profile = stored.profile
    rows = []
    for other in STORED_PROFILES.latest_first(profile.kind):
        if other.number == stored.number:
            continue
        taken = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(other.profile.taken_at_s))
        address = f"/hotspots/{page}?id={stored.number}&base={other.number}"
        total = other.profile.total
        rows.append(
            (
                tag("a", taken, href=address),
                f"{other.profile.duration_s:.1f} s",
                shown_value(total, profile.unit),
                share(total, profile.total),
            )
        )
    return table(("Taken at", "Length", "In all", "Of this one"), rows, "-nnn")
