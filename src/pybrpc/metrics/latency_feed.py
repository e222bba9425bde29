"""LatencyFeed: latencies that are recorded once, for a histogram and for a LatencyRecorder.

Recording is an append, as that of a Recorder. A tally of what waits is made for both variables when
1,024 latencies wait, when one of the variables is read, and once a second if there is a
LatencyRecorder. This module is compiled, while the variables are not: a call records here.

Each latency counts once in each of the two, whatever a signal handler raises meanwhile: see
`recorder`.
"""

from __future__ import annotations

import threading

from pybrpc.base.renewed import renew_in_child
from pybrpc.metrics.fed_recorder import FedRecorder
from pybrpc.metrics.recorder import FOLD_AT, WAIT_AT
from pybrpc.metrics.tally import tally_of


class LatencyFeed:
    """Latencies in microseconds. Any thread records; none waits for another.

    durations   a variable of all of them
    recorder    one more, a LatencyRecorder, or `None`

    In a forked child it begins empty.
    """

    __slots__ = (
        "__weakref__",
        "_durations",
        "_flush_at",
        "_is_flushing",
        "_lock",
        "_recorder",
        "_values",
    )

    def __init__(self, durations: FedRecorder, recorder: FedRecorder | None = None) -> None:
        self._durations = durations
        self._recorder = recorder
        self._flush_at = FOLD_AT
        self.renew_locks()
        renew_in_child(self)
        durations.add_feed(self)
        if recorder is not None:
            recorder.add_feed(self)

    def renew_locks(self) -> None:
        """In a forked child: make the lock free, and forget what the parent has recorded."""
        self._lock = threading.RLock()
        self._is_flushing = False
        self._values: list[int] = []

    def record(self, latency_us: int) -> None:
        """Record microseconds. OverflowError above 64 bits, if it is compiled."""
        values = self._values
        values.append(latency_us)
        if len(values) >= self._flush_at:
            self._flush_if_free()

    def record_s(self, seconds: float) -> None:
        """Record seconds, 0 or more, as whole microseconds."""
        values = self._values
        values.append(int(seconds * 1e6))
        if len(values) >= self._flush_at:
            self._flush_if_free()

    def close(self) -> None:
        """Hand all on, and leave the variables. Of what is recorded later, some may be lost."""
        self._durations.remove_feed(self)
        if self._recorder is not None:
            self._recorder.remove_feed(self)

    def flush(self) -> None:
        """Hand on what waits. Any thread; waits only for a thread that does so too."""
        self._move()
        self._durations.fold_if_many()
        if self._recorder is not None:
            self._recorder.fold_if_many()

    def _flush_if_free(self) -> None:
        if not self._is_flushing or len(self._values) >= WAIT_AT:
            self.flush()

    def _move(self) -> None:
        with self._lock:
            if self._is_flushing:
                return
            self._is_flushing = True
            try:
                values = self._values
                number = len(values)
                if number:
                    tallies = [tally_of(values[:number])]
                    durations = self._durations.tallies
                    recorder = self._recorder
                    others = [] if recorder is None else recorder.tallies
                    # No call from here on.
                    del values[:number]
                    durations += tallies
                    others += tallies
            finally:
                self._is_flushing = False

    def __repr__(self) -> str:
        return f"<LatencyFeed of {self._durations!r}, {len(self._values)} wait>"
