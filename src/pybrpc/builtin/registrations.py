"""The registrations of a server, as a part of pages.

Clients that may not see internal pages don't see where the naming service is.
"""

from __future__ import annotations

from pybrpc.base.guard import escaped
from pybrpc.builtin.html import Html, tag
from pybrpc.builtin.layout import table
from pybrpc.builtin.page import PageRequest
from pybrpc.builtin.server_view import RegistrationView, ServerView


def registration_lines(request: PageRequest, server: ServerView) -> list[str]:
    """A line of text for each; none if there are none."""
    shown = (str(_shown_to(request, each)) for each in server.registrations())
    return [f"registration: {escaped(' '.join(text.split()))}" for text in shown]


def registration_section(request: PageRequest, server: ServerView) -> Html | None:
    """A table; `None` if there are none."""
    rows = [
        (
            each.url,
            each.node or "-",
            "registered" if each.is_registered else "not registered",
            each.failures,
            each.error or "-",
        )
        for each in (_shown_to(request, each) for each in server.registrations())
    ]
    if not rows:
        return None
    head = ("naming service", "address", "state", "failures in a row", "last error")
    return tag("section", tag("h2", "Registrations"), table(head, rows, "---n-"))


def _shown_to(request: PageRequest, view: RegistrationView) -> RegistrationView:
    if request.is_internal:
        return view
    scheme, _, _ = view.url.partition("://")
    return RegistrationView(f"{scheme}://...", view.node, view.is_registered, "", view.failures)
