"""HttpFrontend: what a running server has for HTTP. All in turns, but for its making."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pybrpc.builtin.page import PageEntry
from pybrpc.builtin.registry import PAGES
from pybrpc.builtin.server_view import ServerView
from pybrpc.server.connections.server_connection import ServerConnection
from pybrpc.server.http.body_threads import BodyThreads
from pybrpc.server.http.exchange import HttpExchange
from pybrpc.server.http.page_target import PageRunner
from pybrpc.server.http.router import HttpRouter, Mount
from pybrpc.server.http_safety import HttpSettings
from pybrpc.server.routing.routes import Routes
from pybrpc.server.settings import MAX_WORKERS


class HttpFrontend:
    """Makes the exchanges of connections, which share a router and the threads of pages."""

    __slots__ = ("_router", "_threads", "mounts", "view")

    def __init__(
        self,
        view: ServerView,
        routes: Routes,
        settings: HttpSettings,
        mounts: Iterable[Mount] = (),
        max_workers: int = MAX_WORKERS,
        pages: Mapping[str, PageEntry] = PAGES,
    ) -> None:
        """`max_workers`: threads of plain generators that send responses."""
        self.view = view
        self.mounts = tuple(mounts)
        self._threads = BodyThreads(max_workers)
        self._router = HttpRouter(routes, PageRunner(view, pages), settings, self.mounts)

    def new_exchange(self, connection: ServerConnection) -> HttpExchange:
        """The exchange of a connection that has turned out to speak HTTP."""
        return HttpExchange(connection, self._router, self._threads)

    def __repr__(self) -> str:
        return f"<HttpFrontend, {self._router!r}>"
