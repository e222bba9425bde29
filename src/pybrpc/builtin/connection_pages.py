"""/connections and /sockets: the connections of the server, and of all channels of the process."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence

from pybrpc.builtin.connection_rates import RATES
from pybrpc.builtin.html import Child, Html, tag
from pybrpc.builtin.layout import facts, html_page, link, table, tiles
from pybrpc.builtin.page import PageEntry, PageError, PageRequest, PageResponse
from pybrpc.builtin.server_view import ConnectionView, ServerView
from pybrpc.builtin.units import count_text, duration_text, size_text, time_text

MAX_SHOWN = 1024
"""Connections of each kind on a page, as in C++ bRPC, without `?givemeall`."""
MOST = 100_000
"""Connections of each kind with `?givemeall`."""
_WIDTHS = (26, 19, 3, 12, 5, 9, 6, 10, 8, 10, 6, 10, 8, 11)
"""Widths of the columns of the text, as in C++."""
_HEAD = (
    "CreatedTime",
    "RemoteSide",
    "SSL",
    "Protocol",
    "fd",
    "InBytes/s",
    "In/s",
    "InBytes/m",
    "In/m",
    "OutBytes/s",
    "Out/s",
    "OutBytes/m",
    "Out/m",
    "Rtt/Var(ms)",
    "SocketId",
)
_ID = re.compile("[0-9]{1,18}")


def show_connections(request: PageRequest, server: ServerView) -> PageResponse:
    """Both kinds of connections, with their traffic per second and minute."""
    limit = MOST if "givemeall" in request.query else MAX_SHOWN
    RATES.look(lambda: [*server.connections(MAX_SHOWN), *server.channel_connections(MAX_SHOWN)])
    accepted = server.connections(limit)
    made = server.channel_connections(limit)
    count = max(server.connection_count, len(accepted))
    if request.wants_html:
        return _html(request, server, count, accepted, made)
    lines = [f"server_connection_count: {count}", *_lines(accepted)]
    lines += _more(count, len(accepted))
    lines += ["", f"channel_connection_count: {len(made)}"]
    if made:
        lines += _lines(made)
    return PageResponse("\n".join([*lines, ""]))


def _more(count: int, shown: int) -> list[str]:
    return [f"... {count - shown} more: /connections?givemeall"] if count > shown else []


def _lines(views: Sequence[ConnectionView]) -> list[str]:
    return [_line(_HEAD), *(_line(_cells(view)) for view in views)]


def _line(cells: Sequence[str]) -> str:
    padded = [cell.ljust(width) for cell, width in zip(cells[:-1], _WIDTHS, strict=True)]
    return "|".join([*padded, cells[-1]])


def _cells(view: ConnectionView) -> list[str]:
    rates = RATES.of(view)
    second, minute = rates.second, rates.minute
    return [
        time_text(time.time() - view.age_s),
        view.remote_side or "-",
        "Yes" if view.tls else "No",
        view.protocol or "-",
        str(view.fd),
        *(str(each) for each in (*second[:2], *minute[:2], *second[2:], *minute[2:])),
        f"{view.rtt_ms:.1f}/{view.rtt_var_ms:.1f}",
        str(view.socket_id),
    ]


def _html(
    request: PageRequest,
    server: ServerView,
    count: int,
    accepted: Sequence[ConnectionView],
    made: Sequence[ConnectionView],
) -> PageResponse:
    both = [*accepted, *made]
    return html_page(
        request,
        server,
        "Connections",
        tiles(
            [
                ("of this server", count_text(count), None),
                ("of channels", count_text(len(made)), None),
                ("bytes read", size_text(sum(view.in_bytes for view in both)), None),
                ("bytes written", size_text(sum(view.out_bytes for view in both)), None),
            ]
        ),
        tag("h2", "Accepted by this server"),
        _table(accepted),
        [tag("p", text, class_="note") for text in _more(count, len(accepted))],
        tag("h2", "Made by channels of this process"),
        _table(made),
        tag(
            "p",
            "Traffic is measured from the first look at this page on; before, it is an average.",
            class_="note",
        ),
    )


def _table(views: Sequence[ConnectionView]) -> Html:
    head = (
        "peer",
        "protocol",
        "TLS",
        "state",
        "age",
        "running",
        "in/s",
        "out/s",
        "in/min",
        "out/min",
        "unwritten",
        "rtt",
        "socket",
    )
    return table(head, [_row(view) for view in views], "----nnnnnnnnn")


def _row(view: ConnectionView) -> list[Child]:
    rates = RATES.of(view)
    second, minute = rates.second, rates.minute
    return [
        tag("code", view.remote_side or "-"),
        view.protocol or "-",
        view.tls or "-",
        tag("span", view.state, class_="good" if view.state == "open" else "warn"),
        duration_text(view.age_s),
        count_text(view.concurrency),
        _traffic(second[0], second[1]),
        _traffic(second[2], second[3]),
        _traffic(minute[0], minute[1]),
        _traffic(minute[2], minute[3]),
        size_text(view.unwritten_bytes),
        f"{view.rtt_ms:.2f} ms" if view.rtt_ms else "-",
        link(str(view.socket_id), "sockets", str(view.socket_id)),
    ]


def _traffic(size_bytes: int, messages: int) -> Html:
    return tag("span", size_text(size_bytes), title=f"{count_text(messages)} messages")


def show_sockets(request: PageRequest, server: ServerView) -> PageResponse:
    """/sockets: how many there are; /sockets/ID: all about one."""
    if not request.path:
        return _socket_count(request, server)
    if not _ID.fullmatch(request.path):
        raise PageError(400, "the path is /sockets/ID, and an ID a whole number")
    view = server.connection(int(request.path))
    if view is None:
        raise PageError(404, f"SocketId={request.path} is not valid, or has failed")
    pairs = _facts_of(view)
    if request.wants_html:
        return html_page(request, server, f"Socket {view.socket_id}", facts(pairs))
    lines = [f"# This is a broken-down Socket {view.socket_id}"]
    lines += [f"{name}: {value}" for name, value in pairs]
    return PageResponse("\n".join([*lines, ""]))


def _socket_count(request: PageRequest, server: ServerView) -> PageResponse:
    count = server.socket_count()
    if request.wants_html:
        return html_page(
            request,
            server,
            "Sockets",
            tiles([("sockets of this process", count_text(count), None)]),
            tag("p", link("All connections", "connections"), class_="note"),
        )
    return PageResponse(f"count: {count}\nUse /sockets/<SocketId> for the details of one\n")


def _facts_of(view: ConnectionView) -> list[tuple[str, str]]:
    return [
        ("state", view.state),
        ("remote_side", view.remote_side or "-"),
        ("local_side", view.local_side or "-"),
        ("protocol", view.protocol or "-"),
        ("tls", view.tls or "no"),
        ("fd", str(view.fd)),
        ("age", duration_text(view.age_s)),
        ("concurrency", str(view.concurrency)),
        ("streams", str(view.streams)),
        ("bytes_read", str(view.in_bytes)),
        ("messages_read", str(view.in_messages)),
        ("bytes_written", str(view.out_bytes)),
        ("messages_written", str(view.out_messages)),
        ("unwritten_bytes", str(view.unwritten_bytes)),
        ("rtt_ms", f"{view.rtt_ms:.3f}"),
        ("rtt_var_ms", f"{view.rtt_var_ms:.3f}"),
        *([("error", view.error)] if view.error else []),
    ]


ENTRIES = (
    PageEntry(
        "connections",
        show_connections,
        "List all connections",
        tab=True,
        usage=(("/connections?givemeall", "All of them, not only the first 1024"),),
    ),
    PageEntry(
        "sockets",
        show_sockets,
        "Check status of a Socket",
        usage=(("/sockets/ID", "All about one socket"),),
    ),
)
