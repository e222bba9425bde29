"""PageTarget: requests of HTTP for the pages of the server. They run in threads of their own.

Pages are no calls: they are not counted, and work when the server is full or stops. Those of one
connection run one after another in one thread: to start a thread takes as long as many requests,
and a peer may send hundreds of them in one packet.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from pybrpc.base.guard import SERVER, deliver_interrupt
from pybrpc.builtin.page import PageEntry, PageRequest, PageResponse, wants_html
from pybrpc.builtin.registry import PAGES, run_page
from pybrpc.builtin.server_view import ServerView
from pybrpc.errors import ErrorCode, RpcError
from pybrpc.protocols.http1 import HttpHeaders
from pybrpc.protocols.http1.status import ERROR_CODE_HEADER
from pybrpc.server.calls.server_call import NO_ANSWER
from pybrpc.server.http.exchange import HttpExchange, Refusal
from pybrpc.server.http.request import BodySink, HttpRequest
from pybrpc.server.http.served import note_served

MAX_RUNNING = 16
"""Pages that run at once, each for another connection. A profile runs for up to a minute."""

MAX_WAITING = 64
"""Pages of one connection that wait for the one that runs."""

MAX_BODY_BYTES = 64 * 1024


class PageRunner:
    """Runs the pages of one server. `run` is called in turns."""

    def __init__(self, view: ServerView, pages: Mapping[str, PageEntry] = PAGES) -> None:
        self._view = view
        self._pages = pages
        self._lock = threading.Lock()
        self._waiting: dict[HttpExchange, deque[PageRun]] = {}
        """By connection, while a thread runs for it. With the lock."""

    def run(self, exchange: HttpExchange, request: HttpRequest, page: PageRequest) -> None:
        with self._lock:
            waiting = self._waiting.get(exchange)
            is_full = len(self._waiting) >= MAX_RUNNING
        if is_full if waiting is None else len(waiting) >= MAX_WAITING:
            text = "too many pages run already, or wait on this connection"
            exchange.refuse(request, Refusal(text, ErrorCode.ELIMIT, 503, {"Retry-After": "1"}))
            return
        run = PageRun(exchange, request, page, self._show)
        try:
            exchange.connection.hold(run)
            # It was counted when its head came, before anybody knew that it is for a page.
            exchange.connection.server.requests -= 1
            self._add(exchange, run, page.name)
        except BaseException as error:
            exchange.refuse(request, Refusal(f"Fail to run a page: {type(error).__name__}", 0, 503))
            exchange.connection.release_hold(run)
            deliver_interrupt(error)

    def _add(self, exchange: HttpExchange, run: PageRun, name: str) -> None:
        """Have the thread of the connection run it, which is started if there is none."""
        with self._lock:
            waiting = self._waiting.get(exchange)
            if waiting is not None:
                waiting.append(run)
                return
            self._waiting[exchange] = deque()
        try:
            threading.Thread(
                target=self._run_all, args=(exchange, run), name=f"pybrpc-page-{name}", daemon=True
            ).start()
        except BaseException:
            # Only turns add, so nothing has been added since.
            with self._lock:
                del self._waiting[exchange]
            raise

    def _run_all(self, exchange: HttpExchange, first: PageRun) -> None:
        """The page, and those of its connection that come meanwhile. In a thread of its own."""
        run: PageRun | None = first
        while run is not None:
            try:
                run.run()
            finally:
                with self._lock:
                    waiting = self._waiting[exchange]
                    run = waiting.popleft() if waiting else None
                    if run is None:
                        del self._waiting[exchange]

    def _show(self, page: PageRequest) -> PageResponse:
        return run_page(page, self._view, self._pages)


class PageRun:
    """One page that is being made. It holds its connection."""

    def __init__(
        self,
        exchange: HttpExchange,
        request: HttpRequest,
        page: PageRequest,
        show: Callable[[PageRequest], PageResponse],
    ) -> None:
        self._exchange = exchange
        self._request = request
        self._page = page
        self._show = show
        self._is_gone = False

    def run(self) -> None:
        """Not in a turn. Never raises."""
        connection, request = self._exchange.connection, self._request
        try:
            sent_bytes, error_code = 0, NO_ANSWER
            if not self._is_gone and not self._exchange.replies.drops(request.position):
                sent_bytes, error_code = self._answer()
            note_served(connection, request, sent_bytes, len(self._page.body), error_code)
        except BaseException as error:
            SERVER.caught("the page /%s raised", self._page.name, error=error)
        finally:
            connection.release_hold(self)

    def _answer(self) -> tuple[int, int]:
        """Return the bytes of the answer, and its code of bRPC."""
        exchange, request = self._exchange, self._request
        try:
            response = self._show(self._page)
            error_code = int(response.headers.get(ERROR_CODE_HEADER, 0))
            data = packed(request, response)
            exchange.answer_now(request.position, data)
        except BaseException as error:
            SERVER.caught("the page /%s can't be answered", self._page.name, error=error)
            error_code = int(ErrorCode.EINTERNAL)
            data = request.error(error_code, "the page can't be sent")
            exchange.answer_now(request.position, data)
        return len(data), error_code

    def on_connection_failed(self, connection: Any, error: RpcError) -> None:
        """Its answer would be dropped."""
        self._is_gone = True


class PageTarget:
    """A Target: one page."""

    __slots__ = ("_is_internal", "_name", "_runner")

    def __init__(self, runner: PageRunner, name: str, is_internal: bool) -> None:
        self._runner = runner
        self._name = name
        self._is_internal = is_internal

    def begin(self, exchange: HttpExchange, request: HttpRequest) -> BodySink | None:
        request.max_bytes = min(request.max_bytes, MAX_BODY_BYTES)
        if (request.head.content_length or 0) > request.max_bytes:
            raise Refusal(f"a page takes at most {request.max_bytes} bytes", status=413)
        return None

    def run(self, exchange: HttpExchange, request: HttpRequest, calls: list[Any]) -> None:
        resolved = request.resolved
        head, query = resolved.head, resolved.uri.queries
        page = PageRequest(
            head.method,
            self._name,
            resolved.rest,
            query,
            head.headers,
            bytes(request.body),
            wants_html(query, head.headers),
            self._is_internal,
        )
        self._runner.run(exchange, request, page)


def packed(request: HttpRequest, response: PageResponse) -> Any:
    """The bytes of the answer of a page."""
    headers = HttpHeaders(response.headers)
    headers["Content-Type"] = response.content_type
    return request.whole(response.status, headers, response.body_bytes())
