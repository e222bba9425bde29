"""CallDurations: how long calls took, by service, method, code and protocol; for Prometheus.

Two of them are exposed, of the calls of all servers and of all channels of the process:
brpc_server_call_duration_seconds and brpc_client_call_duration_seconds. They are made when first
needed, and remain: a counter must not vanish with the server that has counted.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable

from pybrpc.base.guard import LIBRARY
from pybrpc.base.renewed import renew_in_child
from pybrpc.error_codes import ErrorCode
from pybrpc.metrics.fed_recorder import FedRecorder
from pybrpc.metrics.latency_feed import LatencyFeed
from pybrpc.metrics.multi_dimension import OVERFLOW, MultiDimension
from pybrpc.metrics.numbers import MICROSECONDS
from pybrpc.metrics.percentile import Percentile
from pybrpc.metrics.registry import exposed
from pybrpc.metrics.variable import MetricValue

LABELS = ("service", "method", "code", "protocol")
MAX_SETS = 4096
"""Sets of labels of one side; all further ones share one histogram."""
MAX_CODES = 64
"""Pairs of protocol and code of one method: handlers choose codes. All further ones share one."""
SUCCESS = "OK"
NO_RESPONSE = -1
"""As the code of a call that ended without a response, because its peer was gone."""

_NAMES = {0: SUCCESS, NO_RESPONSE: "NO_RESPONSE", **{int(code): code.name for code in ErrorCode}}


def code_label(code: int) -> str:
    """The label of an error code: its name, such as "ELIMIT", or the number of an unknown one."""
    return _NAMES.get(code) or str(code)


class Durations(Percentile):
    """Microseconds, which Prometheus sees as seconds."""

    __slots__ = ()

    def metric_values(self) -> Iterable[MetricValue]:
        """A histogram in seconds."""
        return (MetricValue("", "histogram", self.get_value(), MICROSECONDS),)


class CallDurations:
    """The durations of the calls of one side, "server" or "client"."""

    def __init__(self, side: str) -> None:
        self._side = side
        self._name = f"brpc_{side}_call_duration_seconds"
        self._lock = threading.RLock()
        self._family: MultiDimension[Durations] | None = None
        renew_in_child(self)

    def renew_locks(self) -> None:
        """See `renew_in_child`."""
        self._lock = threading.RLock()

    def exposed(self) -> MultiDimension[Durations]:
        """The variable. If a variable of the user has its name, it stays hidden."""
        family = self._family
        if family is None or exposed.find(self._name) is not family:
            with self._lock:
                family = self._family
                if family is None:
                    help_text = f"Duration of calls, as the {self._side} sees it"
                    family = self._family = MultiDimension(
                        Durations, LABELS, help=help_text, max_stats=MAX_SETS
                    )
                self._expose(family)
        return family

    def _expose(self, family: MultiDimension[Durations]) -> None:
        try:
            family.expose(self._name)
        except ValueError as error:
            LIBRARY.warning("The durations of calls have no metric %s: %s", self._name, error)


SERVER_DURATIONS = CallDurations("server")
CLIENT_DURATIONS = CallDurations("client")


class CodedFeeds:
    """The feeds of one method: one for each protocol and code. Any thread."""

    __slots__ = ("__weakref__", "_durations", "_feeds", "_lock", "_method", "_service")

    def __init__(self, durations: CallDurations, full_name: str) -> None:
        self._durations = durations
        """`full_name`: of the method; or the path of an application, "/app"."""
        is_path = full_name.startswith("/")
        service, _, method = ("", "", full_name) if is_path else full_name.rpartition(".")
        self._service, self._method = service, method
        self._feeds: dict[tuple[str, str], LatencyFeed] = {}
        self.renew_locks()
        renew_in_child(self)

    def renew_locks(self) -> None:
        """See `renew_in_child`."""
        self._lock = threading.RLock()

    def feed_of(self, protocol: str, code: int, recorder: FedRecorder | None = None) -> LatencyFeed:
        """The feed of calls that end with `code`. `recorder` gets the durations too: always the
        same one for the same code."""
        key = protocol, code_label(code)
        feed = self._feeds.get(key)
        return self._made(key, recorder) if feed is None else feed

    def _made(self, key: tuple[str, str], recorder: FedRecorder | None) -> LatencyFeed:
        protocol, label = key
        with self._lock:
            if label != SUCCESS and len(self._feeds) >= MAX_CODES:
                key = protocol, label = OVERFLOW, OVERFLOW
            feed = self._feeds.get(key)
            if feed is None:
                durations = self._durations.exposed()
                stats = durations.get_stats(self._service, self._method, label, protocol)
                feed = self._feeds[key] = LatencyFeed(stats, recorder)
        return feed

    def close(self) -> None:
        """Hand all on, and leave the variables."""
        with self._lock:
            feeds, self._feeds = self._feeds, {}
        for feed in feeds.values():
            feed.close()
