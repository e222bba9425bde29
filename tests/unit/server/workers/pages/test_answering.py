"""PageAnswerer: questions to a worker that starts, is busy, or is asked nonsense."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Iterator

import pytest

from pybrpc.builtin.form_token import FORM_TOKEN
from pybrpc.metrics import Adder, Counter, PassiveStatus, Snapshot
from pybrpc.metrics.merged_variables import merged_registry
from pybrpc.server.workers.pages import answering
from pybrpc.server.workers.pages.answering import MAX_RUNNING, PageAnswerer
from pybrpc.server.workers.pages.asking import AskedWorker, ask
from pybrpc.server.workers.pages.channel import PageChannel
from pybrpc.server.workers.pages.messages import (
    MAX_ANSWER_BYTES,
    METRICS,
    PAGE,
    VARIABLES,
    PageAnswer,
    PageQuestion,
)
from tests.fakes.metrics import own_variables
from tests.fakes.page_workers import PageWorkers
from tests.fakes.pages import FakeServerView, request_of

LATE_S = 60.0


@pytest.fixture
def workers() -> Iterator[PageWorkers]:
    with PageWorkers(1) as made:
        yield made


def answer_of(workers: PageWorkers, question: PageQuestion) -> PageAnswer:
    (answer,) = ask(workers.workers, question, LATE_S).values()
    assert isinstance(answer, PageAnswer), answer
    return answer


def test_page_is_that_of_the_server(workers: PageWorkers) -> None:
    workers.views[0].version = "2.4.1"
    found = answer_of(workers, PageQuestion(PAGE, request_of("/version")))
    assert (found.status, found.text()) == (200, "2.4.1")
    assert found.headers["X-Pybrpc-Worker"] == "worker 0"


def test_errors_of_pages_pass_with_their_headers(workers: PageWorkers) -> None:
    found = answer_of(workers, PageQuestion(PAGE, request_of("/version", "POST")))
    assert (found.status, found.headers["Allow"]) == (405, "GET, HEAD")
    assert answer_of(workers, PageQuestion(PAGE, request_of("/nothing"))).status == 404


def test_page_that_raises_ends_nothing(workers: PageWorkers) -> None:
    def fail() -> None:
        raise SystemExit

    workers.views[0].health_reporter = fail
    assert answer_of(workers, PageQuestion(PAGE, request_of("/health"))).status == 500
    assert answer_of(workers, PageQuestion(PAGE, request_of("/version"))).status == 200


def test_client_that_is_not_internal_stays_so(workers: PageWorkers) -> None:
    page = request_of("/connections", is_internal=False)
    assert answer_of(workers, PageQuestion(PAGE, page)).status == 403


def test_numbers_are_those_of_the_process(workers: PageWorkers) -> None:
    with own_variables():
        calls = Adder("calls")
        calls << 3
        snapshot = Snapshot.from_bytes(answer_of(workers, PageQuestion(METRICS)).body)
        assert snapshot.families["calls"].values == {(): 3}
        registry = merged_registry([answer_of(workers, PageQuestion(VARIABLES)).body])
        assert registry.dump_exposed() == [("calls", "3")]


def test_forms_are_those_of_the_supervisor(workers: PageWorkers) -> None:
    own = FORM_TOKEN.share()
    try:
        page = request_of("/flags", wants_html=True)
        found = answer_of(workers, PageQuestion(PAGE, page, "secret-of-the-supervisor"))
        assert "secret-of-the-supervisor" in found.text()
        assert own not in found.text()
    finally:
        FORM_TOKEN.adopt(own)


def test_page_that_is_too_long_is_an_error(workers: PageWorkers) -> None:
    workers.views[0].version = "x" * (MAX_ANSWER_BYTES + 1)
    found = answer_of(workers, PageQuestion(PAGE, request_of("/version")))
    assert found.status == 500
    assert "more than 8388608" in found.text()


def test_pages_above_the_limit_are_refused_until_one_ends(workers: PageWorkers) -> None:
    may_end, started = threading.Event(), threading.Semaphore(0)

    def report() -> bool:
        started.release()
        return may_end.wait(LATE_S)

    workers.views[0].health_reporter = report
    statuses: list[int] = []

    def look() -> None:
        statuses.append(answer_of(workers, PageQuestion(PAGE, request_of("/health"))).status)

    threads = [threading.Thread(target=look) for _ in range(MAX_RUNNING)]
    for thread in threads:
        thread.start()
    for _ in threads:
        assert started.acquire(timeout=LATE_S)
    assert answer_of(workers, PageQuestion(PAGE, request_of("/version"))).status == 503
    # The numbers are not kept away by pages that hang.
    for kind in (METRICS, VARIABLES):
        assert answer_of(workers, PageQuestion(kind)).status == 200
    may_end.set()
    for thread in threads:
        thread.join()
    assert statuses == [200] * MAX_RUNNING


def test_worker_that_starts_says_so() -> None:
    channel = PageChannel()
    with socket.socket(fileno=os.dup(channel.their_fd)) as end:
        channel.release_theirs()
        PageAnswerer(end).start()
        worker = AskedWorker(0, 7, "starting", channel)
        answer = ask([worker], PageQuestion(PAGE), LATE_S)[worker]
        channel.close()
        assert isinstance(answer, PageAnswer)
        assert answer.status == 503


@pytest.mark.parametrize(
    "data",
    [b"", b"\0" * 8, b"\xff" * 8, b"\0\0\0\2\0\0\0\0{}", b"\0\0\0\2\0\0\0\0[]", b"\0\0\0\1\0\0"],
)
def test_nonsense_gets_no_answer_and_ends_nothing(workers: PageWorkers, data: bytes) -> None:
    with workers.workers[0].channel.open_stream() as stream:
        stream.settimeout(LATE_S)
        stream.sendall(data)
        stream.shutdown(socket.SHUT_WR)
        assert stream.recv(1) == b""
    assert answer_of(workers, PageQuestion(PAGE, request_of("/version"))).status == 200


def test_question_of_another_kind_is_a_page(workers: PageWorkers) -> None:
    assert answer_of(workers, PageQuestion("other", request_of("/version"))).status == 200


def test_head_in_json_may_have_anything(workers: PageWorkers) -> None:
    head = json.dumps(
        {
            "kind": [],
            "token": "",
            "method": None,
            "name": {},
            "path": 1,
            "query": [[1, 2]],
            "headers": [],
            "wants_html": "yes",
            "is_internal": 0,
        }
    ).encode()
    with workers.workers[0].channel.open_stream() as stream:
        stream.settimeout(LATE_S)
        stream.sendall(len(head).to_bytes(4, "big") + bytes(4) + head)
        assert stream.recv(1) == b"\0"


def test_answerer_ends_with_the_supervisor() -> None:
    view = FakeServerView()
    channel = PageChannel()
    with socket.socket(fileno=os.dup(channel.their_fd)) as end:
        channel.release_theirs()
        answerer = PageAnswerer(end)
        answerer.serve(lambda: view)
        answerer.start()
        channel.close()
    assert repr(answerer) == "<PageAnswerer>"


def test_numbers_above_the_limit_are_refused_until_some_are_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(answering, "MAX_QUESTIONS", 3)
    may_end, started = threading.Event(), threading.Semaphore(0)

    def read() -> int:
        started.release()
        may_end.wait(LATE_S)
        return 1

    statuses: list[int] = []
    with PageWorkers(1) as workers, own_variables():
        PassiveStatus(read, "slow")

        def look() -> None:
            statuses.append(answer_of(workers, PageQuestion(METRICS)).status)

        threads = [threading.Thread(target=look) for _ in range(3)]
        for thread in threads:
            thread.start()
        for _ in threads:
            assert started.acquire(timeout=LATE_S)
        assert answer_of(workers, PageQuestion(METRICS)).status == 503
        may_end.set()
        for thread in threads:
            thread.join()
    assert statuses == [200] * 3


# --- the last numbers ---


def last_calls(workers: PageWorkers) -> object:
    """The calls that the worker has sent at its end, as its supervisor reads them."""
    (worker,) = workers.workers
    worker.channel.read_last()
    last = worker.channel.last_answer
    if last is None:
        return None
    return Snapshot.from_bytes(last.body).families["calls"].values[()]


def test_last_numbers_are_sent_without_being_asked_for(workers: PageWorkers) -> None:
    with own_variables():
        Counter("calls").add(3)
        (answerer,) = workers.answerers.values()
        answerer.finish()
        assert last_calls(workers) == 3


def test_server_without_pages_sends_no_last_numbers(workers: PageWorkers) -> None:
    with own_variables():
        Counter("calls").add(3)
        (answerer,) = workers.answerers.values()
        answerer.serve(lambda: None)
        answerer.finish()
        assert last_calls(workers) is None


def test_function_that_raises_keeps_no_last_numbers_away(workers: PageWorkers) -> None:
    def fail() -> int:
        raise SystemExit

    with own_variables():
        PassiveStatus(fail, "broken")
        Counter("calls").add(3)
        (answerer,) = workers.answerers.values()
        answerer.finish()
        assert last_calls(workers) == 3


def test_function_that_hangs_does_not_keep_the_worker_from_ending(
    workers: PageWorkers, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(answering, "LAST_S", 0.05)
    may_end = threading.Event()
    with own_variables():
        PassiveStatus(lambda: may_end.wait(LATE_S), "hangs")
        (answerer,) = workers.answerers.values()
        answerer.finish()
        assert "were not sent within 0.05 s" in caplog.text
        assert last_calls(workers) is None
        may_end.set()
        for thread in threading.enumerate():
            if thread.name == "pybrpc-worker-last":
                thread.join(LATE_S)


def test_last_numbers_for_a_supervisor_that_is_gone_are_dropped(
    workers: PageWorkers, caplog: pytest.LogCaptureFixture
) -> None:
    workers.workers[0].channel.close()
    with own_variables():
        (answerer,) = workers.answerers.values()
        answerer.finish()
    assert caplog.text == ""
