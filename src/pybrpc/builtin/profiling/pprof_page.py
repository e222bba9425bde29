"""The pages below /pprof: profiles for `go tool pprof` and other readers of its format.

As in C++ bRPC, `/pprof/profile` needs `seconds`. The answers have the names of functions, so there
are no symbols to ask for. Of the command line there is only the program: the rest may have secrets.
"""

from __future__ import annotations

import sys

from pybrpc.base.guard import escaped
from pybrpc.builtin.page import PageEntry, PageError, PageRequest, PageResponse
from pybrpc.builtin.profiling.pprof_format import pprof_bytes
from pybrpc.builtin.profiling.taking import seconds_of, take_profile
from pybrpc.builtin.server_view import ServerView

BINARY = "application/octet-stream"
KINDS = {"profile": "cpu", "heap": "heap", "growth": "growth", "contention": "contention"}
NAMES = (*KINDS, "symbol", "cmdline")


def show_pprof(request: PageRequest, server: ServerView) -> PageResponse:
    """`/pprof/profile?seconds=N`, `/pprof/heap`, `growth`, `contention`, `symbol`, `cmdline`."""
    name = request.path
    if name == "symbol":
        return PageResponse("num_symbols: 0\n")
    if name == "cmdline":
        program = [sys.executable or "python", *sys.argv[:1]]
        return PageResponse("\n".join(map(escaped, program)) + "\n")
    if name not in KINDS:
        raise PageError(404, f"there are /pprof/{', /pprof/'.join(NAMES)}")
    default = None if name == "profile" else 10.0
    seconds = seconds_of(request.parameter("seconds"), default)
    if request.method == "HEAD":
        return PageResponse(b"", BINARY)
    kind = "wall" if name == "profile" and request.parameter("mode") == "wall" else KINDS[name]
    file = f"{kind}.pb.gz"
    return PageResponse(
        pprof_bytes(take_profile(kind, seconds, server)),
        BINARY,
        headers={"Content-Disposition": f'attachment; filename="{file}"'},
    )


ENTRY = PageEntry(
    "pprof",
    show_pprof,
    "Profiles for pprof",
    usage=(
        ("/pprof/profile?seconds=10", "CPU profile, for `go tool pprof`"),
        ("/pprof/heap", "Heap profile"),
        ("/pprof/growth", "Growth of heap"),
        ("/pprof/contention", "Waits for locks"),
    ),
)
