"""Workers that answer nonsense, too much, or half: their supervisor names them, and shows the rest.

A worker runs the code of an application, so it may do anything.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from pybrpc.builtin.page import PageResponse
from pybrpc.builtin.registry import run_page
from pybrpc.metrics import Counter, PassiveStatus
from pybrpc.protocols.http1 import HttpHeaders
from pybrpc.server.workers.pages.gathered import GatheredPages
from pybrpc.server.workers.pages.messages import MAX_ANSWER_BYTES
from pybrpc.server.workers.pages.outcomes import UNANSWERED_HEADER
from tests.fakes.metrics import own_variables
from tests.fakes.odd_worker import Behaviour, OddWorker, answering, message, read_question, sizes
from tests.fakes.page_workers import PageWorkers
from tests.fakes.pages import FakeServerView, request_of

LATE_S = 60.0
HEAD = {"status": 200, "headers": {}, "content_type": "text/plain"}
INJECTED = 'a 1\n# TYPE evil counter\nevil{x="<script>"} 7\nb'
ODD = "worker 5 (pid 71)"


@contextlib.contextmanager
def one_is_odd(do: Behaviour) -> Iterator[PageWorkers]:
    """A good worker, which has counted 21 calls, and an odd one."""
    with PageWorkers(1) as workers, own_variables():
        Counter("calls").add(21)
        odd = OddWorker(do)
        workers.workers.append(odd.asked)
        try:
            yield workers
        finally:
            workers.workers.remove(odd.asked)
            odd.close()


def look(workers: PageWorkers, target: str, seconds: float = LATE_S, **fields: Any) -> PageResponse:
    pages = GatheredPages(workers, seconds).entries()
    return run_page(request_of(target, **fields), FakeServerView(), pages)


def with_body(body: object) -> bytes:
    return message(HEAD, json.dumps(body).encode())


def family(**changes: object) -> bytes:
    """A snapshot with one metric, as a worker sends it."""
    plain = {"name": "calls", "kind": "counter", "help": "", "labels": [], "divisor": 1}
    return with_body([{**plain, "values": [[[], 2]], **changes}])


def variables(**parts: object) -> bytes:
    return with_body({"recorders": {}, "variables": [], **parts})


def number(name: str) -> dict[str, object]:
    return {"name": name, "display": 3, "kind": "number", "op": "sum", "value": 1}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        sizes(100, 100) + b"{",
        with_body({})[:-1],
        sizes(2, MAX_ANSWER_BYTES + 1),
        message({**HEAD, "status": 503}, b"busy"),
        message(HEAD, b"[" * 100_000),
        message(HEAD, b"\xff"),
        family(name=INJECTED),
        family(labels=[INJECTED], values=[[["x"], 1]]),
        family(values=[[[], "1e999"]]),
        family(kind=[]),
    ],
    ids=range(11),
)
def test_metrics_of_the_others_are_shown(data: bytes) -> None:
    with one_is_odd(answering(data)) as workers:
        found = look(workers, "/metrics")
        text = found.body_bytes().decode()
        assert found.status == 200
        assert "calls_total 21\n" in text
        assert "evil" not in text
        assert found.headers[UNANSWERED_HEADER].startswith(ODD)


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "-5", "1e400"])
def test_counter_that_is_no_count_spoils_no_sum(value: str) -> None:
    body = '[{"name": "calls", "kind": "counter", "help": "", "labels": [], "divisor": 1, '
    body += f'"values": [[[], {value}]]}}]'
    data = message(HEAD, body.encode())
    with one_is_odd(answering(data)) as workers:
        text = look(workers, "/metrics").body_bytes().decode()
        assert "calls_total 21\n" in text
        list(text_string_to_metric_families(text))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        with_body({})[:-1],
        sizes(2, MAX_ANSWER_BYTES + 1),
        message(HEAD, b"[" * 100_000),
        variables(variables=[number(INJECTED)]),
        variables(variables=[{**number("x"), "display": "all"}]),
        variables(variables=[{**number("x"), "value": "7"}]),
        variables(variables=[{**number("x"), "op": []}]),
        variables(recorders={INJECTED: {}}),
        variables(recorders={"x": {}}),
        variables(recorders=7),
        variables(
            variables=[
                {"name": "x", "display": 3, "kind": "labels", "labels": ["a b"], "items": []}
            ]
        ),
    ],
    ids=range(12),
)
def test_variables_of_the_others_are_shown(data: bytes) -> None:
    with one_is_odd(answering(data)) as workers:
        for target, line in (("/vars", "calls : 21\n"), ("/brpc_metrics", "calls 21\n")):
            found = look(workers, target)
            text = found.body_bytes().decode()
            assert found.status == 200
            assert line in text
            assert "evil" not in text
            assert found.headers[UNANSWERED_HEADER].startswith(ODD)


@pytest.mark.parametrize(
    "change",
    [
        {"headers": {"X": "a\r\nSet-Cookie: evil=1"}},
        {"headers": {"X\r\nEvil": "1"}},
        {"headers": {"": "1"}},
        {"content_type": "text/html\r\nEvil: 1"},
        {"headers": 7},
    ],
)
def test_header_of_a_worker_adds_none_to_the_answer(change: dict[str, object]) -> None:
    with one_is_odd(answering(message({**HEAD, **change}, b"text"))) as workers:
        found = look(workers, "/status?worker=5")
        assert found.status == 504
        assert found.body_bytes().decode().startswith(f"{ODD}: it has answered with nonsense")
        assert not {"X", "Set-Cookie", "Evil"} & found.headers.keys()


def test_worker_that_sends_byte_after_byte_is_not_waited_for() -> None:
    is_over = threading.Event()

    def trickle(stream: socket.socket) -> None:
        read_question(stream)
        with contextlib.suppress(OSError):
            stream.sendall(sizes(10, MAX_ANSWER_BYTES))
            while not is_over.wait(0.001):
                stream.sendall(b"x")

    with one_is_odd(trickle) as workers:
        found = look(workers, "/metrics", 0.1)
        is_over.set()
        assert found.headers[UNANSWERED_HEADER] == f"{ODD}: it did not answer within 0.1 s"
        assert "calls_total 21\n" in found.body_bytes().decode()


@pytest.mark.parametrize("target", ["/metrics", "/vars"])
def test_many_that_ask_at_once_ask_the_workers_once(target: str) -> None:
    reads, may_end, started = [], threading.Event(), threading.Event()

    def read() -> int:
        reads.append(1)
        started.set()
        may_end.wait(LATE_S)
        return len(reads)

    found: list[PageResponse] = []
    with PageWorkers(1) as workers, own_variables():
        PassiveStatus(read, "reads")
        pages = GatheredPages(workers, LATE_S).entries()

        def ask() -> None:
            found.append(run_page(request_of(target), FakeServerView(), pages))

        threads = [threading.Thread(target=ask) for _ in range(10)]
        for thread in threads:
            thread.start()
        assert started.wait(LATE_S)
        may_end.set()
        for thread in threads:
            thread.join()
        # Some may have asked when the first answer was there.
        assert 1 <= len(reads) < len(threads)
        assert {each.status for each in found} == {200}


def test_post_reaches_the_others() -> None:
    with one_is_odd(answering(b"nonsense, and more than the lengths of a message")) as workers:
        headers = HttpHeaders({"X-Pybrpc-Post": "1"})
        found = look(workers, "/flags/nothing", method="POST", body=b"value=1", headers=headers)
        assert found.status == 504
        lines = found.body_bytes().decode().splitlines()
        assert lines[0].startswith("worker 0 (pid 101): 404 ")
        assert lines[1].startswith(f"{ODD}: 504 it has answered with ")
