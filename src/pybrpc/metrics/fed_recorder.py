"""FedRecorder: a Recorder of latencies or sizes that can be fed with tallies of many values."""

from __future__ import annotations

from typing import Any, Protocol

from pybrpc.metrics.recorder import Recorder
from pybrpc.metrics.tally import Tally, tally_of

MAX_TALLIES = 16
"""Tallies that wait, if no thread is folding."""


class Feed(Protocol):
    """A place where values wait that belong to a FedRecorder."""

    def flush(self) -> None:
        """Add a tally of the values to `tallies` of the FedRecorder. Any thread."""


class FedRecorder(Recorder):
    """The base of recorders whose state is made of tallies."""

    __slots__ = ("_feeds", "tallies")

    def __init__(
        self,
        name: str | None = None,
        *,
        prefix: str = "",
        help: str = "",
        metric_name: str | None = None,
    ) -> None:
        self._feeds: tuple[Feed, ...] = ()
        self.tallies: list[Tally] = []
        """Tallies that wait to be folded. For feeds, which add to it."""
        super().__init__(name, prefix=prefix, help=help, metric_name=metric_name)

    def add_feed(self, feed: Feed) -> None:
        """Values come from `feed` too: it is flushed before the value is read."""
        with self._lock:
            self._feeds = (*self._feeds, feed)

    def remove_feed(self, feed: Feed) -> None:
        """Take over what waits in `feed`, and ask it no more."""
        feed.flush()
        with self._lock:
            self._feeds = tuple(each for each in self._feeds if each is not feed)

    def fold_if_many(self) -> None:
        """Fold, if many tallies wait. For a feed that has added one."""
        if len(self.tallies) >= MAX_TALLIES:
            self._fold()

    def _flush_feeds(self) -> None:
        for feed in self._feeds:
            feed.flush()

    def _read(self) -> Any:
        self._flush_feeds()
        if self._pending or self.tallies:
            self._fold()
        return self._state

    def _take(self) -> Any:
        self._flush_feeds()
        return super()._take()

    def _clear(self) -> None:
        super()._clear()
        self.tallies = []

    def _with(self, state: Any, tally: Tally) -> Any:
        """`state` with the values of `tally` added."""
        raise NotImplementedError

    def _fold(self) -> None:
        """See `Recorder`, whose essay says why each value counts once."""
        with self._lock:
            if self._is_folding:
                return
            self._is_folding = True
            try:
                pending, tallies = self._pending, self.tallies
                number, many = len(pending), len(tallies)
                if number or many:
                    merged = self._state
                    if number:
                        merged = self._with(merged, tally_of(pending[:number]))
                    for tally in tallies[:many]:
                        merged = self._with(merged, tally)
                    # No call from here on.
                    del pending[:number]
                    del tallies[:many]
                    self._state = merged
            finally:
                self._is_folding = False
