"""The pages of real supervisors, as their clients see them."""

from __future__ import annotations

import contextlib
import os
import signal
import urllib.error
import urllib.request
from collections.abc import Iterator

from prometheus_client.parser import text_string_to_metric_families

from pybrpc.server import Supervisor
from tests.peers.supervised import supervised

BROWSER = "Mozilla/5.0"


class Pages:
    """The pages of a supervisor."""

    def __init__(self, supervisor: Supervisor) -> None:
        self.supervisor = supervisor
        self._address = f"http://{supervisor.internal_endpoint}"

    def look(self, path: str, data: bytes | None = None, agent: str = "curl/8") -> tuple[int, str]:
        return look(f"{self._address}{path}", data, agent)

    def text(self, path: str, agent: str = "curl/8") -> str:
        status, text = self.look(path, agent=agent)
        assert status == 200, text
        return text

    def calls(self) -> float:
        """Calls that /metrics has counted."""
        return calls_in(self.text("/metrics"))


DURATIONS = "brpc_server_call_duration_seconds"


def calls_in(metrics: str) -> float:
    families = text_string_to_metric_families(metrics)
    (durations,) = [each for each in families if each.name == DURATIONS]
    counts = [each for each in durations.samples if each.name == f"{DURATIONS}_count"]
    return sum(each.value for each in counts)


def look(url: str, data: bytes | None = None, agent: str = "curl/8") -> tuple[int, str]:
    """Status and body."""
    headers = {"User-Agent": agent, "X-Pybrpc-Post": "1"}
    try:
        with urllib.request.urlopen(
            urllib.request.Request(url, data, headers), timeout=60
        ) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


@contextlib.contextmanager
def paged(app: str = "make_server", **options: object) -> Iterator[Pages]:
    with supervised(app, **{"workers": 3, "internal_port": 0, **options}) as supervisor:
        yield Pages(supervisor)


@contextlib.contextmanager
def frozen(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def pid_of(pages: Pages, number: int) -> int:
    workers = pages.supervisor.statistics().workers
    return next(each.pid for each in workers if each.number == number)
