"""Scraper: a client of HTTP that asks a server for a page again and again, in a thread."""

from __future__ import annotations

import contextlib
import http.client
import statistics
import threading
import time
from typing import Self

from bench.child_process import ChildFailedError
from bench.figures import Figures

ANSWER_LIMIT_S = 10.0


class Page:
    """One page of the server on 127.0.0.1:`port`, over one connection."""

    def __init__(self, port: int, path: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_LIMIT_S)
        self._path = path
        self.took_s: list[float] = []
        """Seconds from each request to the end of its answer."""
        self.size_bytes = 0
        """Bytes of the last answer."""

    def get(self) -> bytes:
        """The body of the answer. ChildFailedError if there is no good one."""
        began = time.perf_counter()
        try:
            self._connection.request("GET", self._path)  # without a User-Agent: text
            response = self._connection.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise ChildFailedError(f"{self._path}: {type(error).__name__}: {error}") from error
        if response.status != 200:
            raise ChildFailedError(f"{self._path}: {response.status} {body[:80]!r}")
        self.took_s.append(time.perf_counter() - began)
        self.size_bytes = len(body)
        return body

    def close(self) -> None:
        self._connection.close()


class Scraper:
    """Gets /metrics from 127.0.0.1:`port`, the first time after half of `every_s` seconds, until
    the end of a `with` block, which raises a ChildFailedError if a scrape has failed."""

    def __init__(self, port: int, every_s: float) -> None:
        self._page = Page(port, "/metrics")
        self._every_s = every_s
        self._stop = threading.Event()
        self._failure: ChildFailedError | None = None
        self._thread = threading.Thread(target=self._scrape, name="scraper")

    def _scrape(self) -> None:
        due = time.monotonic() + self._every_s / 2
        with contextlib.closing(self._page):
            while not self._stop.wait(max(0.0, due - time.monotonic())):
                due += self._every_s
                try:
                    self._page.get()
                except ChildFailedError as error:
                    self._failure = error
                    return

    def figures(self) -> Figures:
        """The median of the scrapes. ChildFailedError if there was none."""
        if not self._page.took_s:
            raise ChildFailedError("there was no scrape")
        return {
            "page_us": statistics.median(self._page.took_s) * 1e6,
            "page_bytes": self._page.size_bytes,
        }

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        self._thread.join()
        if self._failure is not None and exception[0] is None:
            raise self._failure
